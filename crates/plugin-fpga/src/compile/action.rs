//! What nodes become on the overlay.

use super::image::{Lanes, Span};
use crate::instruction::Pooling;
use ir::Port;

/// What a node becomes.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// It is known before a run.
    Fixed,
    /// An input of the model.
    Input,
    /// An output of the model.
    Output,
    /// Its output is its input, under another shape or type.
    Same(Port),
    /// The array.
    Convolve(Port, Box<Filters>),
    /// A window that slides over each channel.
    Pool(Port, Pool),
    /// Each channel is scaled and shifted.
    Affine(Port, Affine),
    /// Two feature maps are added, or the second is subtracted.
    Add([Port; 2], Sign),
    /// Local response normalisation.
    Normalise(Port, Norm),
    /// An activation.
    Activate(Port, Curve),
    /// Channels of several feature maps, one behind the other.
    Concat(Vec<Port>),
    /// Runs of channels: of each output the word where it begins, and how its channels lie.
    Split(Port, Vec<(usize, Lanes)>),
}

impl Action {
    /// The feature maps that it reads.
    pub(crate) fn reads(&self) -> &[Port] {
        match self {
            Self::Fixed | Self::Input | Self::Output => &[],
            Self::Add(ports, _) => ports,
            Self::Concat(ports) => ports,
            Self::Same(port)
            | Self::Convolve(port, _)
            | Self::Pool(port, _)
            | Self::Affine(port, _)
            | Self::Normalise(port, _)
            | Self::Activate(port, _)
            | Self::Split(port, _) => std::slice::from_ref(port),
        }
    }
}

/// Addition or subtraction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

/// Filters of the array, and how they slide.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Filters {
    /// The constant that holds the weights.
    pub(crate) weights: Port,
    /// The element of the weights that the first tap of the first channels is.
    pub(crate) base: isize,
    /// Elements from one group, output channel of a group, input channel of a group, row, column to the next.
    pub(crate) steps: [isize; 5],
    /// Groups of the model.
    pub(crate) groups: usize,
    /// Input channels of a group.
    pub(crate) inputs: usize,
    /// Output channels of a group.
    pub(crate) outputs: usize,
    /// Along rows and columns.
    pub(crate) spans: [Span; 2],
    /// What is done to the sums.
    pub(crate) affine: Affine,
}

impl Filters {
    /// Multiplications and additions that the model asks for, for each place of the output.
    pub(crate) fn flops(&self) -> u64 {
        let taps = self.inputs * self.spans[0].kernel * self.spans[1].kernel;
        2 * (self.groups * self.outputs * taps) as u64
    }
}

/// A scale and a shift for each channel.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Affine {
    pub(crate) scales: Vec<f32>,
    pub(crate) shifts: Vec<f32>,
}

impl Affine {
    /// Nothing happens.
    pub(crate) fn identity(channels: usize) -> Self {
        Self { scales: vec![1.0; channels], shifts: vec![0.0; channels] }
    }

    /// This, then `next`.
    pub(crate) fn then(&mut self, next: &Self) {
        let own = self.scales.iter_mut().zip(&mut self.shifts);
        for ((scale, shift), (next_scale, next_shift)) in own.zip(next.scales.iter().zip(&next.shifts)) {
            *scale *= next_scale;
            *shift = *shift * next_scale + next_shift;
        }
    }
}

/// A window over each channel.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Pool {
    pub(crate) kind: Pooling,
    /// Along rows and columns.
    pub(crate) spans: [Span; 2],
}

impl Pool {
    /// The window cannot be divided: the mean counts padding on both sides.
    pub(crate) fn is_whole(&self) -> bool {
        self.kind == Pooling::AveragePadded && self.spans[0].pad > 0
    }
}

/// Local response normalisation: values x (bias + weight x sum of squares)^-power.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Norm {
    pub(crate) size: u8,
    pub(crate) weight: f32,
    pub(crate) bias: f32,
    pub(crate) power: f64,
}

/// An activation.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Curve {
    /// Negative values times a slope.
    Relu(f32),
    /// A slope for each channel.
    Slopes(Vec<f32>),
    /// Bounds.
    Clamp([f32; 2]),
    /// `alpha (e^x - 1)` for negative values.
    Elu(f64),
}
