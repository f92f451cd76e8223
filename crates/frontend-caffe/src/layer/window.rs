//! Kernel, padding, stride and dilation as layers of windows have them.

use crate::scope::{Params, Problem, malformed};

/// One value a spatial dimension from `name` (one for all, or one each), else from `name_h` and `name_w`. `None` where
/// nothing is said.
pub(super) fn spatial(
    params: &Params,
    list: &'static str,
    stem: &str,
    rank: usize,
) -> Result<Option<Vec<usize>>, Problem> {
    let values = params.sizes(list)?;
    let sides = (params.maybe_size(&format!("{stem}_h"))?, params.maybe_size(&format!("{stem}_w"))?);
    Ok(match (values.len(), sides) {
        (0, (None, None)) => None,
        (_, (Some(height), Some(width))) if rank == 2 => Some(vec![height, width]),
        // A side alone: the other is as if nothing was said.
        (0, (height, width)) if rank == 2 => {
            let default = usize::from(stem == "stride");
            Some(vec![height.unwrap_or(default), width.unwrap_or(default)])
        }
        (1, _) => Some(vec![values[0]; rank]),
        (n, _) if n == rank => Some(values),
        (n, _) => {
            return malformed(format!("`{list}` has {n} values; its input has {rank} spatial dimensions"));
        }
    })
}

/// The same for values that must be there and above 0.
pub(super) fn positive(
    params: &Params,
    list: &'static str,
    stem: &str,
    rank: usize,
    default: Option<usize>,
) -> Result<Vec<usize>, Problem> {
    let found = spatial(params, list, stem, rank)?.or(default.map(|value| vec![value; rank]));
    match found {
        Some(values) if values.iter().all(|value| *value > 0) => Ok(values),
        Some(values) => malformed(format!("`{list}` is {values:?}, expected positive numbers")),
        None => malformed(format!("`{list}` is missing")),
    }
}

/// Padding as ops have it.
pub(super) fn padding(params: &Params, rank: usize) -> Result<Vec<i64>, Problem> {
    let pads = spatial(params, "pad", "pad", rank)?.unwrap_or(vec![0; rank]);
    Ok(pads.into_iter().map(|pad| i64::try_from(pad).unwrap_or(i64::MAX)).collect())
}
