//! What a network's inputs go through before its body: another layout, channels reversed, mean and scale.
//!
//! The steps are put right behind the input, in the order layout, reverse, mean, scale; [`crate::optimize`] then
//! takes them into the first convolutions as far as that is exact.

use crate::{graph::add_binary, identity::add_transpose, permutation::Permutation};
use ir::{
    Layout, Model, ModelError, NodeId, Op, PartialShape, Port, Tensor,
    op::{BinaryKind, Gather},
};
use thiserror::Error;

/// Why an input can't be preprocessed as asked.
#[derive(Debug, Error, Clone, PartialEq)]
#[non_exhaustive]
pub enum PreprocessingError {
    /// The list has neither one number nor one a channel.
    #[error("{what} of input `{input}` has {found} numbers, expected 1 or {channels}, one for each channel")]
    Count {
        /// Mean or scale.
        what: &'static str,
        /// The input's name.
        input: String,
        /// The length of the list.
        found: usize,
        /// The number of channels.
        channels: usize,
    },
    /// The channels can't be found.
    #[error("input `{input}` of shape {shape} and layout {layout} has no known number of channels; {advice}")]
    Channels {
        /// The input's name.
        input: String,
        /// Its shape.
        shape: PartialShape,
        /// Its layout.
        layout: Layout,
        /// A way out.
        advice: &'static str,
    },
    /// Arithmetic on an input that isn't floating point.
    #[error("input `{input}` holds {found}; mean and scale need floating-point elements")]
    ElementType {
        /// The input's name.
        input: String,
        /// Its element type.
        found: ir::ElementType,
    },
    /// A scale of zero or a number that isn't finite.
    #[error("{what} of input `{input}` holds {value}, which is of no use")]
    Number {
        /// Mean or scale.
        what: &'static str,
        /// The input's name.
        input: String,
        /// The number.
        value: f64,
    },
    /// The mean image is of another shape.
    #[error("a mean image of shape {found:?} does not fit input `{input}` of shape {shape}")]
    MeanImage {
        /// The input's name.
        input: String,
        /// Its shape.
        shape: PartialShape,
        /// The image's shape.
        found: Vec<usize>,
    },
    /// The layouts don't name the same dimensions, or not as many as the input has.
    #[error("input `{input}` of shape {shape} can't go from layout {from} to {to}")]
    Layout {
        /// The input's name.
        input: String,
        /// Its shape.
        shape: PartialShape,
        /// The layout that it has.
        from: Layout,
        /// The layout that was asked for.
        to: Layout,
    },
    /// The model refuses the nodes.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The steps of one input. The default does nothing.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Preprocessing {
    /// Reverse the channels (RGB to BGR).
    pub reverse_channels: bool,
    /// Subtracted before `mean`: one number an element, of the shape that the input has but for its batch.
    pub mean_image: Option<Tensor>,
    /// Subtracted: nothing, one number, or one a channel in the order that the network was trained with.
    pub mean: Vec<f64>,
    /// Divided by, likewise.
    pub scale: Vec<f64>,
}

/// Puts the steps behind input `parameter`, whose channels are dimension `C` of `layout`, or else of the
/// parameter's own layout, or else the dimension of size 3 (or 1 or 4) where an image has its channels. Where every
/// list has one number and nothing is reversed, any input will do.
///
/// # Panics
/// When `parameter` is no Parameter.
pub fn embed(
    model: &mut Model,
    parameter: NodeId,
    layout: &Layout,
    steps: &Preprocessing,
) -> Result<(), PreprocessingError> {
    if *steps == Preprocessing::default() {
        return Ok(());
    }
    // One number for all needs no channels.
    let by_channel = steps.reverse_channels || steps.mean.len() > 1 || steps.scale.len() > 1;
    let (axis, channels) = if by_channel { channels(model, parameter, layout)? } else { (0, 1) };
    let input = model.node(parameter).name.clone();
    let ty = model.ty(parameter.into()).element_type;
    let rank = model.ty(parameter.into()).shape.rank().unwrap_or(0);
    if !(ty.is_float() || steps.mean.is_empty() && steps.scale.is_empty() && steps.mean_image.is_none()) {
        return Err(PreprocessingError::ElementType { input, found: ty });
    }
    let list = |what: &'static str, values: &[f64], usable: fn(f64) -> bool| {
        if let Some(value) = values.iter().copied().find(|v| !usable(*v)) {
            return Err(PreprocessingError::Number { what, input: input.clone(), value });
        }
        let mut shape = vec![1; rank];
        match values.len() {
            1 => {}
            n if n == channels => shape[axis] = n,
            found => return Err(PreprocessingError::Count { what, input: input.clone(), found, channels }),
        }
        Ok(Tensor::from_f64s(ty, &shape, values).expect("as many values as places"))
    };
    let chain = |model: &mut Model, consumers: &[(NodeId, usize)], at: Port| {
        for (user, index) in consumers {
            model.set_input(*user, *index, at);
        }
    };
    let consumers = model.consumers(parameter.into());
    let mut at = Port::from(parameter);
    if steps.reverse_channels {
        let picks: Vec<i64> = (0..channels as i64).rev().collect();
        let picks = model.add_constant(format!("{input}/reverse_channels/order"), Tensor::from_i64s(&picks));
        let along = model.add_constant(format!("{input}/reverse_channels/axis"), Tensor::scalar(axis as i64));
        let gather = Gather { batch_dims: 0 };
        at =
            model.add(format!("{input}/reverse_channels"), gather, &[at, picks.into(), along.into()])?.into();
    }
    if let Some(image) = &steps.mean_image {
        let fits =
            image.element_type() == ty && model.ty(at).shape.broadcast(&image.shape().into()).is_some();
        if !fits || image.shape().len() != rank {
            let shape = model.ty(at).shape.clone();
            return Err(PreprocessingError::MeanImage { input, shape, found: image.shape().to_vec() });
        }
        let constant = model.add_constant(format!("{input}/mean_image/value"), image.clone());
        at = add_binary(model, format!("{input}/mean_image"), BinaryKind::Subtract, at, constant.into())?
            .into();
    }
    for (what, values, kind) in
        [("mean", &steps.mean, BinaryKind::Subtract), ("scale", &steps.scale, BinaryKind::Divide)]
    {
        if values.is_empty() {
            continue;
        }
        let usable: fn(f64) -> bool =
            if what == "scale" { |v| v.is_finite() && v != 0.0 } else { |v: f64| v.is_finite() };
        let tensor = list(what, values, usable)?;
        let constant = model.add_constant(format!("{input}/{what}/value"), tensor);
        at = add_binary(model, format!("{input}/{what}"), kind, at, constant.into())?.into();
    }
    chain(model, &consumers, at);
    Ok(())
}

/// The axis and the number of the channels.
fn channels(model: &Model, parameter: NodeId, layout: &Layout) -> Result<(usize, usize), PreprocessingError> {
    let Op::Parameter(op) = &model.node(parameter).op else {
        panic!("{} is no Parameter", model.node(parameter).op.type_name())
    };
    let layout = if layout.is_empty() { &op.layout } else { layout };
    let fail = |advice| PreprocessingError::Channels {
        input: model.node(parameter).name.clone(),
        shape: op.shape.clone(),
        layout: layout.clone(),
        advice,
    };
    let dims = op.shape.dims().ok_or_else(|| fail("give the input a shape"))?;
    let size = |axis: usize| dims[axis].size();
    if !layout.is_empty() {
        let axis = layout.index_of("C", dims.len()).ok_or_else(|| fail("name one dimension C"))?;
        return Ok((axis, size(axis).ok_or_else(|| fail("fix the number of channels in the shape"))?));
    }
    let plausible = |axis: usize| size(axis).filter(|c| [1, 3, 4].contains(c)).map(|c| (axis, c));
    match dims.len() {
        4.. => {
            let (first, last) = (plausible(1), plausible(dims.len() - 1));
            match (first, last) {
                (Some(found), None) | (None, Some(found)) => Ok(found),
                _ => Err(fail("give the input a layout, as in `--layout data(nhwc)`")),
            }
        }
        _ => Err(fail("give the input a layout, as in `--layout data(nhwc)`")),
    }
}

/// Gives input `parameter`, whose dimensions mean `from`, the layout `to`: its shape is reordered and a transpose
/// behind it feeds the body as before. The input's layout becomes `to`.
///
/// # Panics
/// When `parameter` is no Parameter.
pub fn change_input_layout(
    model: &mut Model,
    parameter: NodeId,
    from: &Layout,
    to: &Layout,
) -> Result<(), PreprocessingError> {
    let Op::Parameter(op) = &model.node(parameter).op else {
        panic!("{} is no Parameter", model.node(parameter).op.type_name())
    };
    let shape = op.shape.clone();
    let name = model.node(parameter).name.clone();
    let order = order(&name, &shape, from, to)?;
    let consumers = model.consumers(parameter.into());
    let dims = shape.dims().map(|dims| PartialShape::new(order.apply(dims))).unwrap_or(shape);
    model.set_parameter_shape(parameter, dims);
    if let Op::Parameter(op) = &mut model.node_mut(parameter).op {
        op.layout = to.clone();
    }
    model.infer_node(parameter)?;
    if !order.is_identity() {
        let back = add_transpose(model, &format!("{name}/transposed"), parameter.into(), &order.inverse())?;
        for (user, index) in consumers {
            model.set_input(user, index, back.into());
        }
    }
    Ok(())
}

/// Gives output `result`, whose dimensions mean `from`, the layout `to`, by a transpose in front of it.
///
/// # Panics
/// When `result` is no Result.
pub fn change_output_layout(
    model: &mut Model,
    result: NodeId,
    from: &Layout,
    to: &Layout,
) -> Result<(), PreprocessingError> {
    let source = model.node(result).inputs()[0];
    let name = model.node(source.node).name.clone();
    let order = order(&name, &model.ty(source).shape.clone(), from, to)?;
    if !order.is_identity() {
        let moved = add_transpose(model, &format!("{name}/transposed"), source, &order)?;
        let names = std::mem::take(model.names_mut(source));
        *model.names_mut(moved.into()) = names;
        model.set_input(result, 0, moved.into());
    }
    let Op::OpResult(op) = &mut model.node_mut(result).op else { panic!("the node is no Result") };
    op.layout = to.clone();
    model.infer_node(result)?;
    Ok(())
}

fn order(
    input: &str,
    shape: &PartialShape,
    from: &Layout,
    to: &Layout,
) -> Result<Permutation, PreprocessingError> {
    let axes = from.order_to(to).filter(|axes| shape.rank().is_none_or(|rank| rank == axes.len()));
    let axes = axes.map(|axes| axes.into_iter().map(|a| a as i64).collect::<Vec<_>>());
    let order = axes.and_then(|axes| Permutation::from_order(&axes, axes.len()));
    order.ok_or_else(|| PreprocessingError::Layout {
        input: input.to_owned(),
        shape: shape.clone(),
        from: from.clone(),
        to: to.clone(),
    })
}
