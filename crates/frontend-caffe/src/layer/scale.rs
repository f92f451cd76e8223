//! Factors and summands along some of the axes.

use crate::scope::{Converted, Params, Problem, Scope, axis_of, malformed};
use ir::{
    Port,
    op::{BinaryKind, Unsqueeze},
};

/// Multiplies by weights, or by a second bottom; then adds a bias, if there is one.
pub(super) fn scale(s: &mut Scope) -> Converted {
    let params = s.params("scale_param");
    let with_bias = params.flag("bias_term", false)?;
    let place = Place::of(&params)?;
    let data = s.input(0)?;
    let (factor, first_blob) = factor_of(s, place, "scale")?;
    let scaled = s.binary("scaled", BinaryKind::Multiply, data, factor)?;
    if !with_bias {
        return Ok(vec![scaled]);
    }
    let shape = s.model.ty(factor).shape.sizes();
    let shape = match shape {
        Some(shape) => shape,
        None => {
            return malformed(
                "its bias has no known shape; give the network's inputs shapes (--input_shape)",
            );
        }
    };
    let bias = s.weights(first_blob, "bias", &shape)?;
    Ok(vec![s.binary("biased", BinaryKind::Add, scaled, bias)?])
}

/// Adds weights, or a second bottom.
pub(super) fn bias(s: &mut Scope) -> Converted {
    let place = Place::of(&s.params("bias_param"))?;
    let data = s.input(0)?;
    let (summand, _) = factor_of(s, place, "bias")?;
    Ok(vec![s.binary("biased", BinaryKind::Add, data, summand)?])
}

/// Which axes of the data the weights lie along.
#[derive(Clone, Copy)]
struct Place {
    axis: i64,
    count: i64,
}

impl Place {
    fn of(params: &Params) -> Result<Self, Problem> {
        Ok(Self { axis: params.int("axis", 1)?, count: params.int("num_axes", 1)? })
    }
}

/// The second operand in as many dimensions as the data has, and the first blob that it leaves.
fn factor_of(s: &mut Scope, Place { axis, count }: Place, what: &str) -> Result<(Port, usize), Problem> {
    let data = s.input(0)?;
    let dims = s.dims(data)?;
    let rank = dims.len();
    if let Some(&other) = s.inputs.get(1) {
        let own = s.rank(other)?;
        let axis = if own == 0 { 0 } else { axis_of(axis, rank, "axis", false)? };
        return Ok((spread(s, other, axis, rank, own)?, 0));
    }
    let (axis, end) = match count {
        0 => (0, 0),
        -1 => (axis_of(axis, rank, "axis", false)?, rank),
        count => {
            let axis = axis_of(axis, rank, "axis", false)?;
            match usize::try_from(count).ok().and_then(|count| axis.checked_add(count)) {
                Some(end) if end <= rank => (axis, end),
                _ => {
                    return malformed(format!(
                        "`num_axes` is {count} from axis {axis} on, of {rank} dimensions"
                    ));
                }
            }
        }
    };
    // The weights' own number is the size of the one axis that they lie along.
    let alone = end == axis + 1 && dims[axis].is_none();
    let unknown = if alone { Some(s.raw_blob(0, what, "one a channel")?.len()) } else { None };
    let mut shape = vec![1; rank];
    for i in axis..end {
        match dims[i].or(unknown) {
            Some(size) => shape[i] = size,
            None => return malformed("its weights lie along dimensions of unknown size (--input_shape)"),
        }
    }
    Ok((s.weights(0, what, &shape)?, 1))
}

/// A tensor of `own` dimensions, which begin at `axis` of `rank`, in as many.
fn spread(s: &mut Scope, port: Port, axis: usize, rank: usize, own: usize) -> Result<Port, Problem> {
    if own == 0 || axis == 0 && own == rank {
        return Ok(port);
    }
    let Some(end) = axis.checked_add(own).filter(|end| *end <= rank) else {
        return malformed(format!(
            "its second bottom has {own} dimensions, too many from axis {axis} on of {rank}"
        ));
    };
    let added: Vec<i64> = (0..axis).chain(end..rank).map(|axis| axis as i64).collect();
    let axes = s.i64s("new_axes", &added);
    s.add("spread", Unsqueeze, &[port, axes])
}

/// `a * x + y`, one `a` a channel.
pub(super) fn axpy(s: &mut Scope) -> Converted {
    let [a, x, y] = s.exactly()?;
    let (rank, own) = (s.rank(x)?, s.rank(a)?);
    let a = spread(s, a, 0, rank, own)?;
    let product = s.binary("product", BinaryKind::Multiply, a, x)?;
    Ok(vec![s.binary("sum", BinaryKind::Add, product, y)?])
}
