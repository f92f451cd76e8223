//! Arithmetic on weights: large constants, so one copy and no detour over wider types.

use ir::{ElementType, Tensor, aligned_zeros};

/// `weights` with every element multiplied by the factor of its place along `axes` (ascending; `factors` runs over
/// their places in row-major order). `None` for types other than f32 and f64, f16.
pub(crate) fn scaled(weights: &Tensor, axes: &[usize], factors: &[f64]) -> Option<Tensor> {
    let places = Places::new(weights.shape(), axes)?;
    if places.count != factors.len() {
        return None;
    }
    if weights.element_type() != ElementType::F32 {
        let mut values = weights.element_type().is_float().then(|| weights.to_f64s())?;
        places.for_each(|place, from| {
            values[from..from + places.block].iter_mut().for_each(|v| *v *= factors[place])
        });
        return Tensor::from_f64s(weights.element_type(), weights.shape(), &values).ok();
    }
    let factors: Vec<f32> = factors.iter().map(|f| *f as f32).collect();
    let mut out = aligned_zeros(weights.bytes().len());
    let to: &mut [f32] = bytemuck::cast_slice_mut(&mut out);
    let (from, _) = weights.bytes().as_chunks::<4>();
    if axes == [weights.shape().len() - 1] {
        for (to, from) in to.chunks_exact_mut(factors.len()).zip(from.chunks_exact(factors.len())) {
            for ((to, from), factor) in to.iter_mut().zip(from).zip(&factors) {
                *to = f32::from_le_bytes(*from) * factor;
            }
        }
    } else {
        places.for_each(|place, at| {
            let range = at..at + places.block;
            for (to, from) in to[range.clone()].iter_mut().zip(&from[range]) {
                *to = f32::from_le_bytes(*from) * factors[place];
            }
        });
    }
    Tensor::from_aligned(ElementType::F32, weights.shape().to_vec(), out).ok()
}

/// For every place along `kept` (ascending) the sum over all elements of `weights` there, each times the value of
/// its place along `summed`. What an added constant comes to behind the weights.
pub(crate) fn summed(weights: &Tensor, kept: &[usize], summed: &[usize], values: &[f64]) -> Option<Vec<f64>> {
    if weights.element_type() != ElementType::F32 {
        return None;
    }
    let shape = weights.shape();
    let (to, from) = (steps(shape, kept), steps(shape, summed));
    if summed.iter().map(|a| shape[*a]).product::<usize>() != values.len() {
        return None;
    }
    let mut sums = vec![0.0; kept.iter().map(|a| shape[*a]).product()];
    let mut index = vec![0; shape.len()];
    let (mut place, mut source) = (0, 0);
    for weight in weights.bytes().as_chunks::<4>().0 {
        sums[place] += f64::from(f32::from_le_bytes(*weight)) * values[source];
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += to[axis];
            source += from[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= to[axis] * shape[axis];
            source -= from[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    Some(sums)
}

/// The slices of `tensor` along `axis` in the order of `picks`: slice `i` is the source's `picks[i]`.
pub(crate) fn gathered(tensor: &Tensor, axis: usize, picks: &[usize]) -> Option<Tensor> {
    let shape = tensor.shape();
    let width = tensor.element_type().bits();
    if !width.is_multiple_of(8) || picks.iter().any(|p| *p >= shape[axis]) {
        return None;
    }
    let block = shape[axis + 1..].iter().product::<usize>() * width / 8;
    let mut target = shape.to_vec();
    target[axis] = picks.len();
    let mut out = Vec::with_capacity(tensor.bytes().len());
    for outer in tensor.bytes().chunks_exact((block * shape[axis]).max(1)) {
        for pick in picks {
            out.extend_from_slice(&outer[pick * block..][..block]);
        }
    }
    Tensor::new(tensor.element_type(), target, out.into()).ok()
}

/// Tensors of one type and shape put together along a new first dimension.
pub(crate) fn stacked(tensors: &[&Tensor]) -> Option<Tensor> {
    let first = tensors.first()?;
    let fits = |t: &&Tensor| t.shape() == first.shape() && t.element_type() == first.element_type();
    if !tensors.iter().all(fits) || !first.element_type().bits().is_multiple_of(8) {
        return None;
    }
    let bytes: Vec<u8> = tensors.iter().flat_map(|t| t.bytes().iter().copied()).collect();
    let shape = [&[tensors.len()], first.shape()].concat();
    Tensor::new(first.element_type(), shape, bytes.into()).ok()
}

/// The step that a counter over `axes` takes along each dimension of `shape`.
fn steps(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    let mut steps = vec![0; shape.len()];
    let mut step = 1;
    for axis in axes.iter().rev() {
        steps[*axis] = step;
        step *= shape[*axis];
    }
    steps
}

/// How elements of one place along some axes lie in memory: in blocks.
struct Places {
    /// The number of places.
    count: usize,
    /// Elements that lie together.
    block: usize,
    /// Dimensions before the block, and the place's step along each.
    outer: Vec<(usize, usize)>,
}

impl Places {
    fn new(shape: &[usize], axes: &[usize]) -> Option<Self> {
        let last = *axes.last()?;
        let steps = steps(shape, axes);
        Some(Self {
            count: axes.iter().map(|a| shape[*a]).product(),
            block: shape[last + 1..].iter().product(),
            outer: shape.iter().copied().zip(steps).take(last + 1).collect(),
        })
    }

    /// Calls `f` with place and first element of every block, in memory order.
    fn for_each(&self, mut f: impl FnMut(usize, usize)) {
        let blocks: usize = self.outer.iter().map(|(size, _)| size).product();
        let mut index = vec![0; self.outer.len()];
        let mut place = 0;
        for n in 0..blocks {
            f(place, n * self.block);
            for (i, (size, step)) in index.iter_mut().zip(&self.outer).rev() {
                *i += 1;
                place += step;
                if *i < *size {
                    break;
                }
                place -= step * size;
                *i = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(shape: &[usize]) -> Tensor {
        let count: usize = shape.iter().product();
        Tensor::from_slice(shape, &(0..count).map(|v| v as f32).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn factors_go_to_their_places() {
        let w = counting(&[2, 3, 2]);
        let along = |axes: &[usize], factors: &[f64]| scaled(&w, axes, factors).unwrap().to_f64s();
        assert_eq!(along(&[0], &[1.0, 2.0]), [0., 1., 2., 3., 4., 5., 12., 14., 16., 18., 20., 22.]);
        assert_eq!(along(&[2], &[0.0, 1.0]), [0., 1., 0., 3., 0., 5., 0., 7., 0., 9., 0., 11.]);
        assert_eq!(along(&[0, 2], &[1., 0., 0., 2.]), [0., 0., 2., 0., 4., 0., 0., 14., 0., 18., 0., 22.]);
        assert_eq!(scaled(&w, &[1], &[1.0]), None);
    }

    #[test]
    fn sums_run_over_everything_else() {
        let w = counting(&[2, 3, 2]);
        assert_eq!(summed(&w, &[0], &[1], &[1.0, 0.0, 10.0]).unwrap(), [0. + 1. + 90., 6. + 7. + 210.]);
        assert_eq!(summed(&w, &[0, 1], &[2], &[0.0, 1.0]).unwrap(), [1., 3., 5., 7., 9., 11.]);
    }

    #[test]
    fn slices_are_picked_and_stacked() {
        let w = counting(&[2, 2, 2]);
        assert_eq!(gathered(&w, 1, &[1, 0]).unwrap().to_f64s(), [2., 3., 0., 1., 6., 7., 4., 5.]);
        assert_eq!(gathered(&w, 1, &[2]), None);
        let two = stacked(&[&w, &w]).unwrap();
        assert_eq!(two.shape(), [2, 2, 2, 2]);
        assert_eq!(stacked(&[&w, &counting(&[2])]), None);
    }
}
