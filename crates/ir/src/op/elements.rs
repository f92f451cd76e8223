//! Elements of any type, moved as bytes: strided copies and choices along an axis.

use super::{OpError, OpErrorKind, Places};
use crate::{ALIGNMENT, AlignedBytes, ElementType, Tensor, element_count};

/// Zeroed memory for a tensor; an error where its size overflows or the memory isn't there.
pub(crate) fn allocate(ty: ElementType, shape: &[usize]) -> Result<AlignedBytes, OpError> {
    let (mut bytes, len) = reserve(ty, shape)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// The error of [`allocate`], before work is done that grows with the output.
pub(crate) fn check_fits(ty: ElementType, shape: &[usize]) -> Result<(), OpError> {
    reserve(ty, shape).map(|_| ())
}

fn reserve(ty: ElementType, shape: &[usize]) -> Result<(AlignedBytes, usize), OpError> {
    let len = element_count(shape).and_then(|n| ty.byte_len(n)).filter(|n| isize::try_from(*n).is_ok());
    let mut bytes = AlignedBytes::new(ALIGNMENT);
    match len {
        Some(len) if bytes.try_reserve_exact(len).is_ok() => Ok((bytes, len)),
        _ => {
            let message = format!("an output {ty}{shape:?} does not fit into memory");
            Err(OpError::new(OpErrorKind::Unsupported, message))
        }
    }
}

/// Applies `f`, which moves whole bytes, to `data`: packed types are widened for it and packed again.
pub(crate) fn bytewise(
    data: &Tensor,
    f: impl FnOnce(&Tensor) -> Result<Tensor, OpError>,
) -> Result<Tensor, OpError> {
    let ty = data.element_type();
    match ty.bits() {
        0 => Err(OpError::element_type("the element type is not known")),
        bits if bits.is_multiple_of(8) => f(data),
        _ => {
            let moved = f(&Tensor::from_i64_values(ElementType::I8, data.shape(), &data.to_i64s())?)?;
            Ok(Tensor::from_i64_values(ty, moved.shape(), &moved.to_i64s())?)
        }
    }
}

/// Row-major strides in elements.
pub(crate) fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1isize;
    for (i, size) in shape.iter().enumerate().rev() {
        strides[i] = stride;
        // Only an empty tensor can wrap here, and nobody walks it.
        stride = stride.wrapping_mul(*size as isize);
    }
    strides
}

/// A new tensor whose element at an index is the one of `data` at `start` + the sum of index times stride.
/// All of these must lie in `data`.
pub(crate) fn strided(
    data: &Tensor,
    start: usize,
    shape: &[usize],
    strides: &[isize],
) -> Result<Tensor, OpError> {
    bytewise(data, |data| {
        let ty = data.element_type();
        let mut out = allocate(ty, shape)?;
        if !out.is_empty() {
            let (dims, run) = merge(shape, strides);
            let size = ty.bits() / 8;
            match (size, run) {
                (1, 1) => copy_elements::<1>(&mut out, data.bytes(), start, &dims),
                (2, 1) => copy_elements::<2>(&mut out, data.bytes(), start, &dims),
                (4, 1) => copy_elements::<4>(&mut out, data.bytes(), start, &dims),
                (8, 1) => copy_elements::<8>(&mut out, data.bytes(), start, &dims),
                _ => copy_runs(&mut out, data.bytes(), start, &dims, size, run),
            }
        }
        Ok(Tensor::from_aligned(ty, shape.to_vec(), out)?)
    })
}

impl Places {
    /// Of data of `shape`, to as many elements: index `at` along an axis takes from `place(axis, at)` along it.
    pub(crate) fn along(shape: &[usize], place: impl Fn(usize, usize) -> usize) -> Self {
        let strides = row_major(shape);
        let axis = |i: usize| (0..shape[i]).map(|at| Some(place(i, at) * strides[i] as usize)).collect();
        Self { base: 0, axes: (0..shape.len()).map(axis).collect() }
    }
}

/// Size and stride of one dimension.
type Dimension = (usize, isize);

/// The dimensions with neighbours put together where they lie together, and the length of the innermost
/// contiguous run, which is no longer among them.
fn merge(shape: &[usize], strides: &[isize]) -> (Vec<Dimension>, usize) {
    let mut dims: Vec<Dimension> = Vec::new();
    for (size, stride) in shape.iter().copied().zip(strides.iter().copied()).filter(|d| d.0 != 1) {
        match dims.last_mut() {
            Some(last) if last.1 == stride * size as isize => *last = (last.0 * size, stride),
            _ => dims.push((size, stride)),
        }
    }
    match dims.last() {
        Some((size, 1)) => {
            let run = *size;
            dims.pop();
            (dims, run)
        }
        _ => (dims, 1),
    }
}

/// Calls `f` with the offset of each innermost row.
fn rows(start: usize, outer: &[Dimension], mut f: impl FnMut(isize)) {
    let mut index = vec![0; outer.len()];
    let mut offset = start as isize;
    loop {
        f(offset);
        let mut axis = outer.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            let (size, stride) = outer[axis];
            index[axis] += 1;
            offset += stride;
            if index[axis] < size {
                break;
            }
            offset -= stride * size as isize;
            index[axis] = 0;
        }
    }
}

fn copy_elements<const SIZE: usize>(out: &mut [u8], data: &[u8], start: usize, dims: &[Dimension]) {
    let (outer, (count, step)) = match dims.split_last() {
        Some((inner, outer)) => (outer, *inner),
        None => (dims, (1, 0)),
    };
    let elements = data.as_chunks::<SIZE>().0;
    let mut slots = out.as_chunks_mut::<SIZE>().0.iter_mut();
    rows(start, outer, |mut offset| {
        for slot in slots.by_ref().take(count) {
            *slot = elements[offset as usize];
            offset += step;
        }
    });
}

fn copy_runs(out: &mut [u8], data: &[u8], start: usize, dims: &[Dimension], size: usize, run: usize) {
    let mut slots = out.chunks_exact_mut(run * size);
    rows(start, dims, |offset| {
        let from = offset as usize * size;
        slots.next().expect("one slot a row").copy_from_slice(&data[from..from + run * size]);
    });
}

/// A new tensor that holds, along `axis`, what stands in `data` at the positions `from`; where there is none,
/// `fill`, which is one element as bytes, or else zeros.
pub(crate) fn take(
    data: &Tensor,
    axis: usize,
    from: &[Option<usize>],
    fill: Option<&[u8]>,
) -> Result<Tensor, OpError> {
    bytewise(data, |data| {
        let ty = data.element_type();
        let mut shape = data.shape().to_vec();
        let length = std::mem::replace(&mut shape[axis], from.len());
        let mut out = allocate(ty, &shape)?;
        if !out.is_empty() {
            let inner = shape[axis + 1..].iter().product::<usize>() * (ty.bits() / 8);
            let mut slots = out.chunks_exact_mut(inner);
            for outer in 0..shape[..axis].iter().product() {
                for (position, slot) in from.iter().zip(&mut slots) {
                    match (position, fill) {
                        (Some(i), _) => {
                            let at = (outer * length + i) * inner;
                            slot.copy_from_slice(&data.bytes()[at..at + inner]);
                        }
                        (None, Some(fill)) => {
                            for element in slot.chunks_exact_mut(fill.len()) {
                                element.copy_from_slice(fill);
                            }
                        }
                        (None, None) => {}
                    }
                }
            }
        }
        Ok(Tensor::from_aligned(ty, shape, out)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_size_and_packed_types_move_alike() {
        let values: Vec<i64> = (0..6).collect();
        let types = [ElementType::U4, ElementType::I8, ElementType::F16, ElementType::I32, ElementType::F64];
        for ty in types {
            let data = Tensor::from_i64_values(ty, &[2, 3], &values).unwrap();
            // The transposed matrix, with its rows in reverse.
            let y = strided(&data, 2, &[3, 2], &[-1, 3]).unwrap();
            assert_eq!((y.element_type(), y.to_i64s()), (ty, vec![2, 5, 1, 4, 0, 3]), "{ty}");
            let y = take(&data, 1, &[Some(2), None, Some(0)], None).unwrap();
            assert_eq!(y.to_i64s(), [2, 0, 0, 5, 0, 3], "{ty}");
        }
    }

    #[test]
    fn dimensions_that_lie_together_become_one_run() {
        assert_eq!(merge(&[2, 3, 4], &[12, 4, 1]), (vec![], 24));
        assert_eq!(merge(&[2, 3, 4], &[24, 4, 1]), (vec![(2, 24)], 12));
        assert_eq!(merge(&[3, 1, 2], &[1, 7, 3]), (vec![(3, 1), (2, 3)], 1));
        assert_eq!(merge(&[], &[]), (vec![], 1));
    }

    #[test]
    fn what_does_not_fit_into_memory_is_refused() {
        for shape in [vec![1 << 60], vec![1 << 40, 1 << 40], vec![usize::MAX, 2]] {
            let err = allocate(ElementType::F32, &shape).unwrap_err();
            assert_eq!(err.kind(), OpErrorKind::Unsupported, "{shape:?}");
        }
        assert!(allocate(ElementType::F32, &[usize::MAX, 0]).unwrap().is_empty());
    }
}
