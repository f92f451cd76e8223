//! Orders of dimensions, and tensors copied into them.

use ir::{AlignedBytes, Tensor, aligned_zeros};

/// Dimension `i` of a transpose's output is dimension `order[i]` of its input.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub(crate) struct Permutation(Vec<usize>);

impl Permutation {
    /// From a Transpose's order input; an empty one reverses. `None` when it is no permutation of `rank` axes.
    pub(crate) fn from_order(order: &[i64], rank: usize) -> Option<Self> {
        if order.is_empty() {
            return Some(Self((0..rank).rev().collect()));
        }
        let axes: Vec<usize> = order.iter().map(|o| usize::try_from(*o).ok()).collect::<Option<_>>()?;
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        (sorted.len() == rank && sorted.iter().enumerate().all(|(i, a)| i == *a)).then_some(Self(axes))
    }

    /// From axes that are known to be a permutation.
    pub(crate) fn new(axes: Vec<usize>) -> Self {
        debug_assert!(
            Self::from_order(&axes.iter().map(|a| *a as i64).collect::<Vec<_>>(), axes.len()).is_some()
        );
        Self(axes)
    }

    /// The axes as a Transpose takes them.
    pub(crate) fn order(&self) -> Vec<i64> {
        self.0.iter().map(|a| *a as i64).collect()
    }

    pub(crate) fn axes(&self) -> &[usize] {
        &self.0
    }

    pub(crate) fn rank(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.0.iter().enumerate().all(|(i, a)| i == *a)
    }

    pub(crate) fn inverse(&self) -> Self {
        let mut inverse = vec![0; self.0.len()];
        for (i, a) in self.0.iter().enumerate() {
            inverse[*a] = i;
        }
        Self(inverse)
    }

    /// The order that a transpose by `self` and then one by `next` come to.
    pub(crate) fn then(&self, next: &Self) -> Self {
        Self(next.0.iter().map(|a| self.0[*a]).collect())
    }

    /// A list that runs along the input's dimensions, brought into the output's order.
    pub(crate) fn apply<T: Clone>(&self, list: &[T]) -> Vec<T> {
        self.0.iter().map(|a| list[*a].clone()).collect()
    }

    /// What is left of the order when output dimensions `dropped` go, each with the input's that it came from.
    pub(crate) fn without(&self, dropped: &[usize]) -> Self {
        let gone: Vec<usize> = dropped.iter().map(|d| self.0[*d]).collect();
        let kept = (0..self.0.len()).filter(|i| !dropped.contains(i)).map(|i| self.0[i]);
        Self(kept.map(|a| a - gone.iter().filter(|g| **g < a).count()).collect())
    }

    /// True when only dimensions of size 1 change places: the elements stay in order. `is_one` tells of the
    /// input's dimensions.
    pub(crate) fn moves_only_ones(&self, is_one: impl Fn(usize) -> bool) -> bool {
        let moved: Vec<usize> = self.0.iter().copied().filter(|a| !is_one(*a)).collect();
        moved.is_sorted()
    }
}

/// `tensor` with its dimensions in another order. Elements of whole bytes only; `None` for packed types.
pub(crate) fn transposed(tensor: &Tensor, order: &Permutation) -> Option<Tensor> {
    let shape = order.apply(tensor.shape());
    if order.moves_only_ones(|axis| tensor.shape()[axis] == 1) || tensor.is_empty() {
        return tensor.reshaped(shape).ok();
    }
    let (dims, order) = coalesced(tensor.shape(), order);
    let mut out = aligned_zeros(tensor.bytes().len());
    match tensor.element_type().bits() {
        8 => copy::<1>(tensor, &mut out, &dims, &order),
        16 => copy::<2>(tensor, &mut out, &dims, &order),
        32 => copy::<4>(tensor, &mut out, &dims, &order),
        64 => copy::<8>(tensor, &mut out, &dims, &order),
        _ => return None,
    }
    Tensor::from_aligned(tensor.element_type(), shape, out).ok()
}

/// The same transpose with dimensions of size 1 dropped and dimensions that stay together merged.
fn coalesced(shape: &[usize], order: &Permutation) -> (Vec<usize>, Vec<usize>) {
    // Runs of input axes that follow each other in the output, in output order.
    let mut runs: Vec<Vec<usize>> = Vec::new();
    let axes = order.axes().iter().copied().filter(|a| shape[*a] != 1);
    for axis in axes {
        match runs.last_mut() {
            Some(run)
                if (run[run.len() - 1] + 1..axis).all(|a| shape[a] == 1) && run[run.len() - 1] < axis =>
            {
                run.push(axis);
            }
            _ => runs.push(vec![axis]),
        }
    }
    let mut by_input: Vec<usize> = (0..runs.len()).collect();
    by_input.sort_by_key(|r| runs[*r][0]);
    let dims = by_input.iter().map(|r| runs[*r].iter().map(|a| shape[*a]).product()).collect();
    let order = (0..runs.len()).map(|r| by_input.iter().position(|b| *b == r).expect("every run")).collect();
    (dims, order)
}

/// Elements of the source's innermost dimension that are taken at a time: each goes to its own place in the
/// output, which then fills in order. A cache line of f32 is read whole.
const BLOCK: usize = 16;

fn copy<const N: usize>(tensor: &Tensor, out: &mut AlignedBytes, dims: &[usize], order: &[usize]) {
    let (from, _) = tensor.bytes().as_chunks::<N>();
    let (to, _) = out.as_chunks_mut::<N>();
    let rank = dims.len();
    let mut strides = vec![1; rank];
    for i in (0..rank - 1).rev() {
        strides[i] = strides[i + 1] * dims[i + 1];
    }
    let last = rank - 1;
    if order[last] == last {
        // Rows stay whole.
        let row = dims[last];
        let (outer, steps): (Vec<usize>, Vec<usize>) =
            order[..last].iter().map(|a| (dims[*a], strides[*a])).unzip();
        let mut rows = to.chunks_exact_mut(row);
        odometer(&outer, &steps, |at| {
            rows.next().expect("as many rows").copy_from_slice(&from[at..at + row]);
        });
        return;
    }
    // Where the source's innermost dimension stands in the output, and the step that it takes there.
    let place = order.iter().position(|a| *a == last).expect("a permutation");
    let step: usize = order[place + 1..].iter().map(|a| dims[*a]).product();
    let (before, behind) = (&order[..place], &order[place + 1..]);
    let sizes =
        |axes: &[usize]| -> (Vec<usize>, Vec<usize>) { axes.iter().map(|a| (dims[*a], strides[*a])).unzip() };
    let (outer, outer_steps) = sizes(before);
    let (inner, inner_steps) = sizes(behind);
    let mut plane = 0;
    odometer(&outer, &outer_steps, |start| {
        for first in (0..dims[last]).step_by(BLOCK) {
            let width = BLOCK.min(dims[last] - first);
            let base = plane + first * step;
            let mut column = 0;
            odometer(&inner, &inner_steps, |at| {
                let source = &from[start + at + first..][..width];
                for (i, element) in source.iter().enumerate() {
                    to[base + i * step + column] = *element;
                }
                column += 1;
            });
        }
        plane += dims[last] * step;
    });
}

/// Calls `f` with the offset of every index of `sizes` in row-major order.
fn odometer(sizes: &[usize], steps: &[usize], mut f: impl FnMut(usize)) {
    let Some((&size, outer)) = sizes.split_last() else { return f(0) };
    let step = steps[outer.len()];
    let rounds: usize = outer.iter().product();
    let mut index = vec![0; outer.len()];
    let mut start = 0;
    for _ in 0..rounds {
        for i in 0..size {
            f(start + i * step);
        }
        for axis in (0..outer.len()).rev() {
            index[axis] += 1;
            start += steps[axis];
            if index[axis] < outer[axis] {
                break;
            }
            start -= steps[axis] * outer[axis];
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(tensor: &Tensor, order: &Permutation) -> Vec<i64> {
        let (shape, data) = (tensor.shape(), tensor.to_i64s());
        let mut strides = vec![1; shape.len()];
        for i in (0..shape.len().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * shape[i + 1];
        }
        let target = order.apply(shape);
        (0..data.len())
            .map(|mut n| {
                let mut at = 0;
                for i in (0..target.len()).rev() {
                    at += n % target[i] * strides[order.axes()[i]];
                    n /= target[i];
                }
                data[at]
            })
            .collect()
    }

    #[test]
    fn tensors_are_copied_into_any_order() {
        let mut cases = 0;
        for shape in
            [&[3, 3, 5, 40][..], &[2, 1, 17, 3], &[4], &[2, 3], &[1, 33, 1, 16], &[2, 0, 3], &[2, 2, 3, 2, 5]]
        {
            let count: usize = shape.iter().product();
            let values: Vec<i64> = (0..count as i64).collect();
            let mut axes: Vec<usize> = (0..shape.len()).collect();
            permutations(&mut axes, 0, &mut |axes| {
                let order = Permutation::new(axes.to_vec());
                for ty in [ir::ElementType::I64, ir::ElementType::I32, ir::ElementType::I16] {
                    let tensor = Tensor::from_i64_values(ty, shape, &values).unwrap();
                    let copied = transposed(&tensor, &order).unwrap();
                    assert_eq!(copied.shape(), order.apply(shape));
                    assert_eq!(copied.to_i64s(), plain(&tensor, &order), "{shape:?} by {order:?}");
                    assert_eq!(transposed(&copied, &order.inverse()).unwrap(), tensor);
                    cases += 1;
                }
            });
        }
        assert!(cases > 400);
    }

    fn permutations(axes: &mut Vec<usize>, k: usize, f: &mut dyn FnMut(&[usize])) {
        if k == axes.len() {
            return f(axes);
        }
        for i in k..axes.len() {
            axes.swap(k, i);
            permutations(axes, k + 1, f);
            axes.swap(k, i);
        }
    }

    #[test]
    fn orders_compose_and_shrink() {
        let to_nhwc = Permutation::new(vec![0, 2, 3, 1]);
        let to_nchw = Permutation::new(vec![0, 3, 1, 2]);
        assert_eq!(to_nhwc.inverse(), to_nchw);
        assert!(to_nhwc.then(&to_nchw).is_identity());
        // NCHW seen as NHWC, H and W reduced away: [N, C] stays as it is.
        assert!(to_nhwc.without(&[1, 2]).is_identity());
        assert_eq!(to_nhwc.without(&[0]), Permutation::new(vec![1, 2, 0]));
        assert!(to_nhwc.moves_only_ones(|a| a >= 2));
        assert!(!to_nhwc.moves_only_ones(|a| a == 0));
        assert_eq!(Permutation::from_order(&[0, 0], 2), None);
        assert_eq!(Permutation::from_order(&[0, -1], 2), None);
    }
}
