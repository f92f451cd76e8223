//! Convolution on the blocked layout, weights packed when it is made.

use super::post::{PostOps, Sum};
use crate::{
    isa::Isa,
    pool::{Pool, Shards, part},
};

/// The geometry of a two-dimensional convolution (one dimension is a height of one).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ConvShape {
    /// Images.
    pub(crate) batch: usize,
    /// Groups; both channel counts are multiples.
    pub(crate) groups: usize,
    /// Input channels of all groups.
    pub(crate) in_channels: usize,
    /// Output channels of all groups.
    pub(crate) out_channels: usize,
    /// Input height and width.
    pub(crate) input: [usize; 2],
    /// Output height and width.
    pub(crate) output: [usize; 2],
    /// Kernel height and width.
    pub(crate) kernel: [usize; 2],
    /// Distance of the windows.
    pub(crate) stride: [usize; 2],
    /// Distance of the taps.
    pub(crate) dilation: [usize; 2],
    /// Zeros above and left of the input; those below and right follow from the output's size.
    pub(crate) pad_begin: [usize; 2],
}

/// An input in blocked layout.
#[derive(Clone, Copy)]
pub(crate) struct Blocked<'a> {
    /// Starts at the first channel block of the first image.
    pub(crate) data: &'a [f32],
    /// Elements from one image to the next (more than an image when it is part of a concatenation).
    pub(crate) batch_stride: usize,
}

/// An output in blocked layout; fields as [`Blocked`].
pub(crate) struct BlockedMut<'a> {
    /// Starts at the first channel block of the first image.
    pub(crate) data: &'a mut [f32],
    /// Elements from one image to the next.
    pub(crate) batch_stride: usize,
}

/// The tensor that [`Sum`] adds.
#[derive(Clone, Copy)]
pub(crate) enum Addend<'a> {
    /// There is none.
    None,
    /// A tensor of the output's shape in blocked layout.
    Of(Blocked<'a>),
    /// What the output holds before.
    Output,
}

/// A convolution, ready to run.
pub(crate) struct Conv {
    isa: Isa,
    shape: ConvShape,
    weights: Vec<f32>,
    post: PostOps,
}

impl Conv {
    /// Packs the weights, `[out_channels, in_channels / groups, kernel height, kernel width]`.
    ///
    /// # Panics
    /// If the lengths do not fit the shape.
    pub(crate) fn new(isa: Isa, shape: ConvShape, weights: &[f32], post: PostOps) -> Self {
        assert_eq!(
            weights.len(),
            shape.out_channels * shape.in_channels / shape.groups * shape.kernel[0] * shape.kernel[1]
        );
        assert!(post.bias.as_ref().is_none_or(|bias| bias.len() == shape.out_channels));
        Self { isa, shape, weights: weights.to_vec(), post }
    }

    /// The name of the kernel, for profiles.
    pub(crate) fn name(&self) -> &'static str {
        "direct"
    }

    /// Runs it: `src` is `[batch, in_channels, input]`, `dst` `[batch, out_channels, output]`, both blocked.
    pub(crate) fn run(&self, pool: &mut Pool, src: Blocked, dst: BlockedMut, addend: Addend) {
        let shape = &self.shape;
        let b = self.isa.block();
        let (ic, oc) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
        let [ih, iw] = shape.input;
        let [oh, ow] = shape.output;
        let [kh, kw] = shape.kernel;
        let blocks = shape.out_channels.div_ceil(b);
        assert!(dst.data.len() >= (shape.batch - 1) * dst.batch_stride + blocks * oh * ow * b);
        let out = Shards::new(dst.data);
        let add_in_place = matches!(addend, Addend::Output);
        pool.run(&|index, count| {
            for at in part(shape.batch * blocks * oh, index, count) {
                let (n, o, y) = (at / oh / blocks, at / oh % blocks, at % oh);
                for x in 0..ow {
                    let place = n * dst.batch_stride + ((o * oh + y) * ow + x) * b;
                    let mut sums = [0.0f32; 16];
                    for lane in 0..b.min(shape.out_channels - o * b) {
                        let c = o * b + lane;
                        let mut sum = self.post.bias.as_ref().map_or(0.0, |bias| bias[c]);
                        for i in 0..ic {
                            let channel = c / oc * ic + i;
                            for ky in 0..kh {
                                for kx in 0..kw {
                                    let sy = y * shape.stride[0] + ky * shape.dilation[0];
                                    let sx = x * shape.stride[1] + kx * shape.dilation[1];
                                    let (Some(sy), Some(sx)) = (
                                        sy.checked_sub(shape.pad_begin[0]),
                                        sx.checked_sub(shape.pad_begin[1]),
                                    ) else {
                                        continue;
                                    };
                                    if sy < ih && sx < iw {
                                        let at = n * src.batch_stride
                                            + ((channel / b * ih + sy) * iw + sx) * b
                                            + channel % b;
                                        sum +=
                                            src.data[at] * self.weights[((c * ic + i) * kh + ky) * kw + kx];
                                    }
                                }
                            }
                        }
                        sums[lane] = sum;
                    }
                    // SAFETY: `place` is a block within `dst`, checked above, and of this thread only.
                    unsafe {
                        let to = out.get().add(place);
                        let mut old = [0.0f32; 16];
                        let add = match addend {
                            Addend::Of(addend) => addend.data[place..][..b].as_ptr(),
                            _ if add_in_place => {
                                to.copy_to_nonoverlapping(old.as_mut_ptr(), b);
                                old.as_ptr()
                            }
                            _ => {
                                assert_eq!(self.post.sum, Sum::None);
                                old.as_ptr()
                            }
                        };
                        to.copy_from_nonoverlapping(sums.as_ptr(), b);
                        let lanes = b.min(shape.out_channels - o * b);
                        self.post.finish(self.isa, to, add, 1, o * b, lanes);
                    }
                }
            }
        });
    }
}
