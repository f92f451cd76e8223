//! Where data enters, and what only hands it on.

use crate::{
    error::Names,
    graph::is_learning_phase,
    proto::attr_value::Value,
    scope::{Converted, Problem, Scope, malformed, refuse},
    tensor,
};
use ir::{
    Dim, ElementType, PartialShape, Tensor,
    op::{Broadcast, Constant, Parameter},
};

/// Constants that repeat one value beyond this size are broadcast from a scalar instead.
const MOST_SPLAT_BYTES: usize = 1 << 20;

pub(super) fn constant(s: &mut Scope) -> Converted {
    s.ignore(&["dtype"]);
    let Some(Value::Tensor(proto)) = s.value("value") else { return malformed("it holds no tensor") };
    if let Some((value, shape)) = tensor::splat(proto, MOST_SPLAT_BYTES).map_err(Problem::Refused)? {
        let value = s.constant("value", value);
        let shape = s.i64s("shape", &shape);
        return s.one(Broadcast::default(), &[value, shape]);
    }
    let tensor = tensor::decode(proto).map_err(Problem::Refused)?;
    s.one(Constant::new(tensor), &[])
}

pub(super) fn placeholder(s: &mut Scope) -> Converted {
    let ty = s.dtype("dtype", ElementType::F32)?;
    let shape = declared_shape(s)?;
    if is_learning_phase(&s.node.name) {
        let inference =
            Tensor::from_i64_values(ty, &[], &[0]).map_err(|e| Problem::Malformed(e.to_string()))?;
        return s.one(Constant::new(inference), &[]);
    }
    s.one(Parameter::new(ty, shape), &[])
}

/// A scalar or a boolean keeps its default: learning phases, keep probabilities. Data is an input.
pub(super) fn placeholder_with_default(s: &mut Scope) -> Converted {
    s.ignore(&["dtype"]);
    let [default] = s.exactly()?;
    let shape = declared_shape(s)?;
    let ty = s.ty(default).clone();
    if ty.element_type == ElementType::Boolean || ty.shape.rank() == Some(0) {
        return Ok(vec![default]);
    }
    s.one(Parameter::new(ty.element_type, shape), &[])
}

fn declared_shape(s: &mut Scope) -> Result<PartialShape, Problem> {
    let dims = match s.value("shape") {
        Some(Value::Shape(shape)) => tensor::dimensions(shape).map_err(Problem::Malformed)?,
        _ => None,
    };
    // Before version 24 a placeholder of unknown shape was written as one without dimensions.
    let dims = dims.filter(|dims| !dims.is_empty() || s.producer >= 24);
    // Some exporters leave it out and say it elsewhere.
    let elsewhere = match s.value("_output_shapes") {
        Some(Value::List(list)) if list.shape.len() == 1 => {
            tensor::dimensions(&list.shape[0]).map_err(Problem::Malformed)?
        }
        _ => None,
    };
    let dims = if dims.as_ref().is_none_or(|dims| dims.is_empty()) { elsewhere.or(dims) } else { dims };
    Ok(match dims {
        Some(dims) => PartialShape::new(dims.into_iter().map(|dim| dim.map_or(Dim::ANY_DIM, Dim::dim))),
        None => PartialShape::UNKNOWN,
    })
}

/// The first input; what is printed or checked besides does not concern the result.
pub(super) fn identity(s: &mut Scope) -> Converted {
    s.ignore(&["message", "shape", "first_n", "summarize", "U"]);
    Ok(vec![s.input(0)?])
}

pub(super) fn identities(s: &mut Scope) -> Converted {
    s.ignore(&["T"]);
    Ok(s.inputs.clone())
}

/// Only what is alive behind a switch is converted at all: either output is the data.
pub(super) fn switch(s: &mut Scope) -> Converted {
    let [data, _] = s.exactly()?;
    Ok(vec![data, data])
}

/// Of the inputs of a `Merge`, the one that arrives. `alive` are the positions that can arrive; `undecided` names
/// what the switches before it depend on.
pub(crate) fn merge(s: &mut Scope, alive: &[usize], undecided: &[String]) -> Converted {
    s.ignore(&["N"]);
    let &[arrives] = alive else {
        let predicates = Names(undecided);
        return refuse(format!(
            "which of its inputs arrives depends on a predicate that is not constant ({predicates}); \
             freeze it with --input 'name->False'"
        ));
    };
    let index = s.constant("value_index", Tensor::scalar(arrives as i32));
    Ok(vec![s.input(0)?, index])
}
