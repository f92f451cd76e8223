//! Inputs and outputs in the caller's form: other element types and layouts, mean and scale, as part of the model.

use crate::{Error, error::Result};
use ir::{
    ElementType, Layout, Model, NodeId, Op, PartialShape, Port, Tensor,
    op::{Binary, BinaryKind, Convert, Gather, Transpose},
};

/// What a caller will give for one input. What isn't set stays as the model has it.
#[derive(Clone, Debug, Default)]
pub struct InputSettings {
    /// The element type of the caller's tensor: u8 for images.
    pub element_type: Option<ElementType>,
    /// The layout of the caller's tensor.
    pub layout: Option<Layout>,
    /// The layout that the model's input has, where the model doesn't say.
    pub model_layout: Option<Layout>,
    /// Subtracted, one a channel or one for all. In the order of the caller's channels, after any reversal.
    pub mean: Vec<f32>,
    /// Divided by, after the mean.
    pub scale: Vec<f32>,
    /// Reverse the channels first: BGR to RGB.
    pub reverse_channels: bool,
}

/// In which form a caller wants one output. What isn't set stays as the model has it.
#[derive(Clone, Debug, Default)]
pub struct OutputSettings {
    /// The element type of the caller's tensor.
    pub element_type: Option<ElementType>,
    /// The layout of the caller's tensor.
    pub layout: Option<Layout>,
    /// The layout that the model's output has, where the model doesn't say.
    pub model_layout: Option<Layout>,
}

/// Makes the model take and give what the settings say, by ops at its edges that devices fuse. Entries stand in the
/// order of the model's inputs and outputs; lists may be shorter.
pub fn apply_settings(model: &mut Model, inputs: &[InputSettings], outputs: &[OutputSettings]) -> Result<()> {
    for (side, given, have) in
        [("input", inputs.len(), model.parameters().len()), ("output", outputs.len(), model.results().len())]
    {
        if given > have {
            return Err(Error::NoSuchIndex { side, index: given - 1, count: have });
        }
    }
    for (settings, id) in inputs.iter().zip(model.parameters().to_vec()) {
        apply_input(model, id, settings)?;
    }
    model.infer()?;
    for (settings, id) in outputs.iter().zip(model.results().to_vec()) {
        apply_output(model, id, settings)?;
    }
    Ok(model.infer()?)
}

fn apply_input(model: &mut Model, id: NodeId, settings: &InputSettings) -> Result<()> {
    let name = model.node(id).name.clone();
    let fail = |reason: String| Error::Settings { port: name.clone(), reason };
    let consumers = model.consumers(id.into());
    let Op::Parameter(parameter) = &model.node(id).op else { unreachable!("parameters are Parameters") };
    let mut parameter = parameter.clone();
    let model_type = parameter.element_type;
    let model_layout = settings.model_layout.clone().unwrap_or_else(|| parameter.layout.clone());
    let layout = settings.layout.clone().unwrap_or_else(|| model_layout.clone());

    let order = order_between(&layout, &model_layout).map_err(&fail)?;
    if let (Some(order), Some(dims)) = (&order, parameter.shape.dims()) {
        if dims.len() != order.len() {
            return Err(fail(format!("layout {layout} does not fit shape {}", parameter.shape)));
        }
        let mut given = dims.to_vec();
        order.iter().zip(dims).for_each(|(to, dim)| given[*to] = *dim);
        parameter.shape = PartialShape::new(given);
    }
    parameter.element_type = settings.element_type.unwrap_or(model_type);
    parameter.layout = layout.clone();
    let shape = parameter.shape.clone();
    let given_type = parameter.element_type;
    model.node_mut(id).op = parameter.into();
    model.infer_node(id)?;

    let mut at: Port = id.into();
    let rank = shape.rank();
    let channels = || {
        let axis = rank.and_then(|rank| layout.index_of("C", rank)).ok_or_else(|| {
            fail(format!("mean, scale and channel reversal need to know where the channels are, but the layout is {layout}"))
        })?;
        Ok::<_, Error>((axis, shape.dims().expect("the rank is known")[axis].size()))
    };
    // What gives out the input in another form goes by the input's name, in profiles too.
    let add =
        |model: &mut Model, op: Op, inputs: &[Port]| model.add(name.as_str(), op, inputs).map(Port::from);
    let adjusts = !settings.mean.is_empty() || !settings.scale.is_empty();
    // Arithmetic happens in the model's type, or in f32 where that is an integer.
    let work_type = if model_type.is_float() || !adjusts { model_type } else { ElementType::F32 };
    if given_type != work_type {
        at = add(model, Convert::to(work_type).into(), &[at])?;
    }
    if settings.reverse_channels {
        let (axis, size) = channels()?;
        let size = size.ok_or_else(|| fail("the number of channels must be known to reverse them".into()))?;
        let indices: Vec<i64> = (0..size as i64).rev().collect();
        let indices = model.add_constant(format!("{name}/reverse/indices"), Tensor::from_i64s(&indices));
        let axis = model.add_constant(format!("{name}/reverse/axis"), Tensor::scalar(axis as i64));
        at = add(model, Gather::default().into(), &[at, indices.into(), axis.into()])?;
    }
    for (values, kind, suffix) in
        [(&settings.mean, BinaryKind::Subtract, "mean"), (&settings.scale, BinaryKind::Divide, "scale")]
    {
        if values.is_empty() {
            continue;
        }
        let (axis, size) = channels()?;
        if values.len() != 1 && size.is_some_and(|size| size != values.len()) {
            let size = size.unwrap_or_default();
            return Err(fail(format!(
                "{} {suffix} values for {size} channels; give one, or one each",
                values.len()
            )));
        }
        let mut dims = vec![1; rank.expect("the channels were found")];
        dims[axis] = values.len();
        let wide: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        let tensor = Tensor::from_f64s(work_type, &dims, &wide).expect("as many values as the shape says");
        let constant = model.add_constant(format!("{name}/{suffix}/values"), tensor);
        at = add(model, Binary::new(kind).into(), &[at, constant.into()])?;
    }
    if work_type != model_type {
        at = add(model, Convert::to(model_type).into(), &[at])?;
    }
    if let Some(order) = order {
        at = add_transpose(model, &name, at, &order)?;
    }
    for (node, input) in consumers {
        model.set_input(node, input, at);
    }
    Ok(())
}

fn apply_output(model: &mut Model, id: NodeId, settings: &OutputSettings) -> Result<()> {
    let source = model.node(id).inputs()[0];
    let name = model.node(source.node).name.clone();
    let fail = |reason: String| Error::Settings { port: name.clone(), reason };
    let Op::OpResult(result) = &model.node(id).op else { unreachable!("results are Results") };
    let mut result = result.clone();
    let model_layout = settings.model_layout.clone().unwrap_or_else(|| result.layout.clone());
    let mut at = source;
    if let Some(layout) = &settings.layout {
        if let Some(order) = order_between(&model_layout, layout).map_err(&fail)? {
            at = add_transpose(model, &name, at, &order)?;
        }
        result.layout = layout.clone();
    }
    if let Some(ty) = settings.element_type.filter(|ty| *ty != model.ty(at).element_type) {
        at = model.add(name.as_str(), Convert::to(ty), &[at])?.into();
    }
    if at != source {
        // The tensor that the caller sees keeps the name by which the caller knows it.
        let names = std::mem::take(model.names_mut(source));
        *model.names_mut(at) = if names.is_empty() { vec![name] } else { names };
        model.set_input(id, 0, at);
    }
    model.node_mut(id).op = result.into();
    Ok(())
}

/// The transposition from one layout to another; nothing when there is nothing to do.
fn order_between(from: &Layout, to: &Layout) -> std::result::Result<Option<Vec<usize>>, String> {
    if from == to || from.is_empty() || to.is_empty() {
        return if from.is_empty() != to.is_empty() {
            Err(format!("cannot go from layout {from} to {to}: say both, the caller's and the model's"))
        } else {
            Ok(None)
        };
    }
    let order = from
        .order_to(to)
        .ok_or_else(|| format!("layouts {from} and {to} do not name the same dimensions"))?;
    Ok(Some(order).filter(|order| order.iter().enumerate().any(|(i, o)| i != *o)))
}

fn add_transpose(model: &mut Model, name: &str, from: Port, order: &[usize]) -> Result<Port> {
    let order: Vec<i64> = order.iter().map(|i| *i as i64).collect();
    let order = model.add_constant(format!("{name}/order"), Tensor::from_i64s(&order));
    Ok(model.add(name, Transpose, &[from, order.into()])?.into())
}
