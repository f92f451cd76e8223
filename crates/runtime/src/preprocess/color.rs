//! Colours as callers have them and as models want them.

use super::chain::Chain;
use crate::error::Result;
use ir::{
    Dim, ElementType, Tensor,
    op::{Binary, BinaryKind, Frame, FrameToColors, Gather, Reduce, ReduceKind},
};

/// The channels of an image, or how a frame of video lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColorFormat {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Brightness alone.
    Gray,
    /// Red, green, blue, and a channel that means nothing.
    Rgbx,
    /// Blue, green, red, and a channel that means nothing.
    Bgrx,
    /// A frame of brightness and, below, U and V of four pixels side by side: `[N, H * 3 / 2, W, 1]`.
    Nv12,
    /// The same as two inputs: `[N, H, W, 1]` and `[N, H / 2, W / 2, 2]`, called by the input's name and `/uv`.
    Nv12Planes,
    /// A frame of brightness and, below, all of U and then all of V: `[N, H * 3 / 2, W, 1]`.
    I420,
    /// The same as three inputs: `[N, H, W, 1]` and twice `[N, H / 2, W / 2, 1]`, called by the input's name, `/u`, `/v`.
    I420Planes,
}

impl ColorFormat {
    /// How the frame lies, and its inputs beside the first: name and channels.
    pub(super) fn frame(self) -> Option<(Frame, &'static [(&'static str, i64)])> {
        Some(match self {
            Self::Nv12 => (Frame::Nv12, &[]),
            Self::Nv12Planes => (Frame::Nv12, &[("uv", 2)]),
            Self::I420 => (Frame::I420, &[]),
            Self::I420Planes => (Frame::I420, &[("u", 1), ("v", 1)]),
            _ => return None,
        })
    }

    /// What the channels are: `R`, `G`, `B`, `Y` or `X`. Frames become BGR.
    pub(super) fn channels(self) -> &'static str {
        match self {
            Self::Rgb => "RGB",
            Self::Gray => "Y",
            Self::Rgbx => "RGBX",
            Self::Bgrx => "BGRX",
            Self::Bgr | Self::Nv12 | Self::Nv12Planes | Self::I420 | Self::I420Planes => "BGR",
        }
    }

    /// True when channels of this format are made of `self`'s by arithmetic, not picked.
    pub(super) fn computes(self, wanted: Self) -> bool {
        wanted == Self::Gray && self != Self::Gray
    }
}

/// The rows of a whole frame for an image of `height`.
pub(super) fn frame_rows(height: Dim) -> Dim {
    height.value().map_or(Dim::ANY_DIM, |height| Dim::exactly(height.saturating_add(height / 2)))
}

/// Half of a dimension of a plane of colours.
pub(super) fn half(dim: Dim) -> Dim {
    dim.value().map_or(Dim::ANY_DIM, |dim| Dim::exactly(dim / 2))
}

/// A frame, whose further planes are `planes`, becomes BGR.
pub(super) fn frame_to_bgr(chain: &mut Chain, frame: Frame, planes: &[ir::Port]) -> Result<()> {
    chain.then(FrameToColors { frame, blue_first: true }, planes)
}

/// Turns channels at `axis` into others.
pub(super) fn convert(chain: &mut Chain, from: ColorFormat, to: ColorFormat, axis: usize) -> Result<()> {
    if to.frame().is_some() {
        return Err(chain.fail(format!("models do not take {to:?}; name what the channels of its input are")));
    }
    let (have, want) = (from.channels(), to.channels());
    if from.computes(to) {
        // ITU-R BT.601.
        let weight = |channel| match channel {
            'R' => 0.299,
            'G' => 0.587,
            'B' => 0.114,
            _ => 0.0,
        };
        let weights: Vec<f64> = have.chars().map(weight).collect();
        let mut dims = vec![1; chain.ty().shape.rank().expect("the caller found the axis")];
        dims[axis] = weights.len();
        let weights = Tensor::from_f64s(chain.ty().element_type, &dims, &weights);
        let weights = chain.constant("gray/weights", weights.expect("as many as there are channels"));
        chain.then(Binary::new(BinaryKind::Multiply), &[weights])?;
        let axis = chain.integers("gray/axis", &[axis as i64]);
        return chain.then(Reduce { kind: ReduceKind::Sum, keep_dims: true }, &[axis]);
    }
    // What means nothing is filled with what is there.
    let place = |channel| have.find(channel).unwrap_or(0) as i64;
    let places: Vec<i64> = want.chars().map(place).collect();
    pick(chain, &places, axis)
}

/// Picks channels at `axis` by number, unless that changes nothing.
pub(super) fn pick(chain: &mut Chain, places: &[i64], axis: usize) -> Result<()> {
    let count = chain.ty().shape.dims().expect("the caller found the axis")[axis];
    if count == Dim::exactly(places.len() as i64) && places.iter().enumerate().all(|(i, p)| i as i64 == *p) {
        return Ok(());
    }
    let places = chain.integers("channels/places", places);
    let axis = chain.constant("channels/axis", Tensor::scalar(axis as i64));
    chain.then(Gather::default(), &[places, axis])
}

/// The type that frames may have.
pub(super) fn frame_type(ty: ElementType) -> bool {
    ty == ElementType::U8 || ty.is_float()
}
