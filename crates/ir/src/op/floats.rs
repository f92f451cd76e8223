//! Elements as f64, in which the reference semantics compute.

use super::OpError;
use crate::element_count;

/// Zeros for a tensor of `shape`; an error where its size overflows or the memory isn't there.
pub(crate) fn zeros(shape: &[usize]) -> Result<Vec<f64>, OpError> {
    let mut values = Vec::new();
    let count = element_count(shape).filter(|count| values.try_reserve_exact(*count).is_ok());
    let count =
        count.ok_or_else(|| OpError::shape(format!("an output {shape:?} does not fit into memory")))?;
    values.resize(count, 0.0);
    Ok(values)
}

/// A tensor seen along one axis: element `i` of a line is at `line.start + i * step`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    /// Elements of a line.
    pub(crate) len: usize,
    /// From one element of a line to the next.
    pub(crate) step: usize,
    count: usize,
}

impl Lines {
    /// The lines of a tensor of `shape` along `axis`; none when it is empty.
    pub(crate) fn new(shape: &[usize], axis: usize) -> Self {
        let count = if shape.contains(&0) { 0 } else { shape.iter().product::<usize>() / shape[axis] };
        Self {
            len: shape[axis],
            step: if count == 0 { 0 } else { shape[axis + 1..].iter().product() },
            count,
        }
    }

    /// Where each line starts.
    pub(crate) fn starts(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |line| line / self.step * self.step * self.len + line % self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        assert!(zeros(&[usize::MAX / 16]).is_err());
        assert!(zeros(&[usize::MAX, 2]).is_err());
        assert!(zeros(&[0, usize::MAX]).unwrap().is_empty());
    }

    #[test]
    fn lines_cover_every_element_once() {
        for (shape, axis) in [(&[2, 3, 4][..], 1), (&[5], 0), (&[2, 1, 3], 1), (&[2, 3], 1), (&[2, 0, 3], 2)]
        {
            let lines = Lines::new(shape, axis);
            let mut seen: Vec<usize> = lines
                .starts()
                .flat_map(|start| (0..lines.len).map(move |i| start + i * lines.step))
                .collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..shape.iter().product()), "{shape:?} {axis}");
        }
    }
}
