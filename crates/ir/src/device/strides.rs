//! Elements that lie apart: where they are, and their way to memory without gaps and back.

/// The strides in bytes of elements without gaps, row-major. `None` on overflow.
pub(super) fn dense_strides(shape: &[usize], size: usize) -> Option<Vec<usize>> {
    let mut strides = vec![size; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].checked_mul(shape[axis].max(1))?;
    }
    Some(strides)
}

/// True when elements of `size` bytes lie without gaps: no stride matters along an axis of one place.
pub(super) fn is_dense(shape: &[usize], strides: &[usize], size: usize) -> bool {
    shape.contains(&0) || run(shape, strides, size).0 == 0
}

/// The bytes from the first element to the end of the last, or why these strides can't be.
pub(super) fn span(shape: &[usize], strides: &[usize], size: usize) -> Result<usize, String> {
    if strides.len() != shape.len() {
        return Err(format!("has {} dimensions, but {} strides", shape.len(), strides.len()));
    }
    if shape.contains(&0) {
        return Ok(0);
    }
    // From the closest axis to the widest, each must step over all that the ones before reach.
    let mut axes: Vec<(usize, usize)> = strides.iter().copied().zip(shape.iter().copied()).collect();
    axes.retain(|(_, dim)| *dim > 1);
    axes.sort_unstable();
    let mut reach = size;
    for (stride, dim) in axes {
        if stride < reach {
            return Err(format!("has elements that overlap at strides of {strides:?} bytes"));
        }
        let more = stride.checked_mul(dim - 1).and_then(|way| way.checked_add(reach));
        reach = more.ok_or_else(|| format!("is too large to address at strides of {strides:?} bytes"))?;
    }
    Ok(reach)
}

/// Axes before those whose elements lie without gaps, and the bytes of one such run.
fn run(shape: &[usize], strides: &[usize], size: usize) -> (usize, usize) {
    let mut run = size;
    let mut outer = shape.len();
    while outer > 0 && (shape[outer - 1] == 1 || strides[outer - 1] == run) {
        outer -= 1;
        run *= shape[outer];
    }
    (outer, run)
}

/// Calls `each` with the first byte of every run of elements without gaps, in order; every run has the number of
/// bytes that comes back with it. Takes no memory.
pub(super) fn for_each_run(
    shape: &[usize],
    strides: &[usize],
    size: usize,
    mut each: impl FnMut(usize, usize),
) {
    if shape.contains(&0) {
        return;
    }
    let (outer, bytes) = run(shape, strides, size);
    let axes = || shape[..outer].iter().zip(&strides[..outer]).rev();
    for number in 0..axes().map(|(dim, _)| dim).product() {
        let mut rest = number;
        let mut start = 0;
        for (dim, stride) in axes() {
            start += rest % dim * stride;
            rest /= dim;
        }
        each(start, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_as_long_as_they_can_be() {
        let runs = |shape: &[usize], strides: &[usize]| {
            let mut runs = Vec::new();
            for_each_run(shape, strides, 4, |start, len| runs.push((start, len)));
            runs
        };
        assert_eq!(runs(&[2, 3], &[12, 4]), [(0, 24)]);
        assert_eq!(runs(&[2, 3], &[20, 4]), [(0, 12), (20, 12)]);
        assert_eq!(runs(&[2, 1, 2], &[4, 99, 8]), [(0, 4), (8, 4), (4, 4), (12, 4)]);
        assert_eq!(runs(&[], &[]), [(0, 4)]);
        assert_eq!(runs(&[0, 5], &[1, 1]), []);
        assert_eq!(dense_strides(&[2, 3, 4], 2), Some(vec![24, 8, 2]));
    }

    #[test]
    fn strides_that_overlap_or_overflow_are_refused() {
        assert_eq!(span(&[2, 3], &[20, 4], 4), Ok(32));
        assert_eq!(span(&[3, 2], &[4, 20], 4), Ok(32));
        assert_eq!(span(&[1, 2], &[0, 4], 4), Ok(8));
        assert!(span(&[2, 3], &[8, 4], 4).is_err());
        assert!(span(&[2], &[0], 4).is_err());
        assert!(span(&[3], &[usize::MAX / 2], 4).is_err());
        assert!(span(&[3], &[4, 4], 4).is_err());
    }
}
