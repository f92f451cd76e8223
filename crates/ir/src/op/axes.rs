//! Axes and other integers that ops take as inputs or attributes.

use super::{Inputs, OpError};
use crate::{ElementType, Tensor, shape::MAX_RANK};

/// The axis that `value` means in a tensor of `rank` dimensions: negative values count from the end.
pub(crate) fn axis(value: i64, rank: usize) -> Result<usize, OpError> {
    let from_end = if value < 0 { value.checked_add_unsigned(rank as u64) } else { Some(value) };
    from_end.and_then(|v| usize::try_from(v).ok()).filter(|v| *v < rank).ok_or_else(|| match rank {
        0 => OpError::value(format!("axis {value} in a scalar, which has none")),
        _ => OpError::value(format!("axis {value} is outside -{rank}..={} of {rank} dimensions", rank - 1)),
    })
}

/// [`axis`] of each; none may come twice.
pub(crate) fn distinct_axes(values: &[i64], rank: usize) -> Result<Vec<usize>, OpError> {
    let mut axes = Vec::new();
    for value in values {
        let axis = axis(*value, rank)?;
        if axes.contains(&axis) {
            return Err(OpError::value(format!("axis {axis} comes twice in {values:?}")));
        }
        axes.push(axis);
    }
    Ok(axes)
}

/// Refuses more dimensions than [`MAX_RANK`].
pub(crate) fn check_rank(rank: usize) -> Result<usize, OpError> {
    if rank > MAX_RANK {
        return Err(OpError::shape(format!("{rank} dimensions are more than {MAX_RANK}, the most")));
    }
    Ok(rank)
}

/// The elements of an integer input that is called `what`.
pub(crate) fn integers(tensor: &Tensor, what: &str) -> Result<Vec<i64>, OpError> {
    let ty = tensor.element_type();
    if !ty.is_integer() {
        return Err(OpError::element_type(format!("{what} is {ty}, expected integers")));
    }
    Ok(tensor.to_i64s())
}

/// The only element of an integer input that is called `what`.
pub(crate) fn integer(tensor: &Tensor, what: &str) -> Result<i64, OpError> {
    match integers(tensor, what)?[..] {
        [value] => Ok(value),
        _ => Err(OpError::shape(format!("{what} has {} elements, expected one", tensor.len()))),
    }
}

/// The axes that input `i` holds, for a tensor of `rank` dimensions; `None` where they are not known.
pub(crate) fn known_axes(inputs: &Inputs, i: usize, rank: usize) -> Result<Option<Vec<usize>>, OpError> {
    let (ty, shape) = (inputs.element_type(i), inputs.shape(i));
    if !ty.is_integer() && ty != ElementType::Dynamic {
        return Err(OpError::element_type(format!("the axes are {ty}, expected integers")));
    }
    if shape.rank().is_some_and(|rank| rank > 1) {
        return Err(OpError::shape(format!("the axes are {shape}, expected a vector")));
    }
    inputs.tensor(i).map(|axes| axes_of(axes, rank)).transpose()
}

/// The axes that `tensor` holds, for a tensor of `rank` dimensions.
pub(crate) fn axes_of(tensor: &Tensor, rank: usize) -> Result<Vec<usize>, OpError> {
    distinct_axes(&integers(tensor, "the axes")?, rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::OpErrorKind;

    #[test]
    fn axes_count_from_either_end() {
        for (value, rank, want) in [(0, 3, Some(0)), (-1, 3, Some(2)), (-3, 3, Some(0)), (3, 3, None)] {
            assert_eq!(axis(value, rank).ok(), want, "{value} of {rank}");
        }
        for (value, rank) in [(-4, 3), (i64::MIN, 3), (i64::MAX, 3), (0, 0), (-1, 0)] {
            assert_eq!(axis(value, rank).unwrap_err().kind(), OpErrorKind::Value, "{value} of {rank}");
        }
        assert!(distinct_axes(&[0, -2], 2).is_err());
    }
}
