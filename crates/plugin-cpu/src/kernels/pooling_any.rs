//! Pools of up to three dimensions on row-major planes, with every kind of padding.

use super::pooling::Reduction;
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};
use ir::op::Window;

/// Reduces windows of `planes` planes of `src`, each `windows` inputs large, to `dst`.
///
/// # Panics
/// If a slice is not as long as the windows say.
pub(crate) fn run(
    isa: Isa,
    pool: &mut Pool,
    reduction: Reduction,
    planes: usize,
    windows: &[Window; 3],
    src: &[f32],
    dst: &mut [f32],
) {
    let [depth, height, width] = windows;
    let input: usize = windows.iter().map(|window| window.input).product();
    let rows = depth.output * height.output;
    assert!(src.len() == planes * input && dst.len() == planes * rows * width.output);
    let out = Shards::new(dst);
    pool.run(&|share| {
        for at in share.part(planes * rows) {
            let src = &src[at / rows * input..][..input];
            let (z, y) = (at % rows / height.output, at % height.output);
            // SAFETY: row `at`, within `dst` and this thread's own.
            let dst =
                unsafe { std::slice::from_raw_parts_mut(out.get().add(at * width.output), width.output) };
            isa.dispatch(Row { reduction, windows, src, place: [z, y], dst });
        }
    });
}

struct Row<'a> {
    reduction: Reduction,
    windows: &'a [Window; 3],
    src: &'a [f32],
    place: [usize; 2],
    dst: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let ([depth, height, width], [z, y]) = (self.windows, self.place);
        let is_max = matches!(self.reduction, Reduction::Max | Reduction::MaxWithZeros);
        self.dst.fill(if is_max { f32::NEG_INFINITY } else { 0.0 });
        for tap_z in depth.taps(z) {
            for tap_y in height.taps(y) {
                let row = depth.index(z, tap_z) * height.input + height.index(y, tap_y);
                let src = &self.src[row * width.input..][..width.input];
                for tap in 0..width.kernel {
                    let places = width.positions(tap);
                    if places.is_empty() {
                        continue;
                    }
                    let dst = &mut self.dst[places.clone()];
                    let src = &src[width.index(places.start, tap)..];
                    match (is_max, width.stride) {
                        (true, 1) => dst.iter_mut().zip(src).for_each(greater),
                        (true, step) => dst.iter_mut().zip(src.iter().step_by(step)).for_each(greater),
                        (false, 1) => dst.iter_mut().zip(src).for_each(add),
                        (false, step) => dst.iter_mut().zip(src.iter().step_by(step)).for_each(add),
                    }
                }
            }
        }
        match self.reduction {
            Reduction::SumOver(whole) => {
                let scale = 1.0 / whole as f32;
                self.dst.iter_mut().for_each(|y| *y *= scale);
            }
            Reduction::Mean => {
                let rows = depth.taps(z).len() * height.taps(y).len();
                for (x, sum) in self.dst.iter_mut().enumerate() {
                    *sum /= (rows * width.taps(x).len()) as f32;
                }
            }
            _ => {}
        }
    }
}

#[inline(always)]
fn greater((y, x): (&mut f32, &f32)) {
    *y = if *x > *y { *x } else { *y };
}

#[inline(always)]
fn add((y, x): (&mut f32, &f32)) {
    *y += x;
}
