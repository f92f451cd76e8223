//! What the flags say about inputs and outputs of a converted network: batch, layout, mean, scale, channel order.

use crate::{
    Error, Framework, Request,
    grammar::{ChannelValues, LayoutSpec},
};
use ir::{Dim, Layout, Model, NodeId, Op, PartialShape, Tensor};
use optimizer::preprocessing::{self, Preprocessing};
use std::collections::HashMap;

/// Gives every input the batch: dimension `N` of its layout, else the first.
pub(crate) fn set_batch(model: &mut Model, request: &Request) -> Result<(), Error> {
    let Some(batch) = request.batch else { return Ok(()) };
    for (id, layout) in input_layouts(model, request)? {
        let Op::Parameter(parameter) = &model.node(id).op else { continue };
        let fail = |problem: &str| Error::Port {
            flag: "--batch",
            port: model.node(id).name.clone(),
            shape: parameter.shape.to_string(),
            problem: problem.to_owned(),
        };
        let mut dims = match parameter.shape.dims() {
            Some(dims) => dims.to_vec(),
            None => return Err(fail("its rank is not known; give it a shape with --input_shape instead")),
        };
        let axis = match &layout {
            Some(layout) => layout.source.index_of("N", dims.len()),
            None => Some(0),
        };
        let Some(dim) = axis.and_then(|axis| dims.get_mut(axis)) else {
            return Err(fail("it has no batch dimension; give shapes with --input_shape instead"));
        };
        *dim = Dim::exactly(i64::from(batch));
        model.set_parameter_shape(id, PartialShape::new(dims));
    }
    Ok(model.infer()?)
}

/// Embeds mean, scale and channel order, then changes layouts: the inputs see them the other way round.
pub(crate) fn preprocess(model: &mut Model, request: &Request) -> Result<(), Error> {
    let inputs = input_layouts(model, request)?;
    let ids: Vec<NodeId> = inputs.iter().map(|(id, _)| *id).collect();
    let mean = by_input("--mean_values", &request.mean_values, model, &ids)?;
    let mut scale = by_input("--scale_values", &request.scale_values, model, &ids)?;
    if let Some(all) = request.scale {
        // Numbers that are no data (indices, flags) are left alone.
        let is_data = |id: &NodeId| model.ty((*id).into()).element_type.is_float();
        scale = ids.iter().map(|id| if is_data(id) { vec![f64::from(all)] } else { Vec::new() }).collect();
    }
    let mut mean_images = mean_image(model, request, &inputs)?;
    let mut reversed = 0;
    for (((id, spec), mean), scale) in inputs.iter().zip(mean).zip(scale) {
        let layout = layout_of(model, request, *id, spec.as_ref());
        let reverse_channels = request.reverse_input_channels && has_three_channels(model, *id, &layout);
        reversed += usize::from(reverse_channels);
        let steps = Preprocessing { reverse_channels, mean_image: mean_images.remove(id), mean, scale };
        preprocessing::embed(model, *id, &layout, &steps)?;
    }
    if request.reverse_input_channels && reversed == 0 {
        let inputs =
            ids.iter().map(|id| format!("{} {}", model.node(*id).name, model.ty((*id).into()).shape));
        return Err(Error::NothingToReverse { inputs: inputs.collect() });
    }
    for (id, spec) in inputs {
        if let Some(LayoutSpec { source, target, .. }) = spec {
            check_rank(model, id, &source)?;
            preprocessing::change_input_layout(model, id, &source, target.as_ref().unwrap_or(&source))?;
        }
    }
    for (id, LayoutSpec { source, target, .. }) in output_layouts(model, request) {
        preprocessing::change_output_layout(model, id, &source, target.as_ref().unwrap_or(&source))?;
    }
    Ok(model.infer()?)
}

/// The mean image, for the one input that holds images.
fn mean_image(
    model: &Model,
    request: &Request,
    inputs: &[(NodeId, Option<LayoutSpec>)],
) -> Result<HashMap<NodeId, Tensor>, Error> {
    let Some(file) = &request.mean_file else { return Ok(HashMap::new()) };
    let is_image = |(id, _): &&(NodeId, _)| model.ty((*id).into()).shape.rank() == Some(4);
    let images: Vec<_> = inputs.iter().filter(is_image).collect();
    let [(id, spec)] = images[..] else {
        let inputs = inputs.iter().map(|(id, _)| model.node(*id).name.clone()).collect();
        return Err(Error::InputCount { flag: "--mean_file", given: 1, inputs });
    };
    let layout = layout_of(model, request, *id, spec.as_ref());
    let tensor = file.tensor(&model.ty((*id).into()).shape, &layout)?;
    Ok(HashMap::from([(*id, tensor)]))
}

/// The layout of an input: what the user says, else Caffe's, which has but one for images; empty where nobody knows.
fn layout_of(model: &Model, request: &Request, id: NodeId, spec: Option<&LayoutSpec>) -> Layout {
    let is_image = model.ty(id.into()).shape.rank() == Some(4);
    match spec {
        Some(spec) => spec.source.clone(),
        None if is_image && request.source.framework() == Framework::Caffe => {
            "nchw".parse().expect("a layout that is written right")
        }
        None => Layout::default(),
    }
}

/// The inputs, each with what the user says about its layout.
fn input_layouts(model: &Model, request: &Request) -> Result<Vec<(NodeId, Option<LayoutSpec>)>, Error> {
    let mut inputs: Vec<(NodeId, Option<LayoutSpec>)> =
        model.parameters().iter().map(|id| (*id, None)).collect();
    for (i, spec) in request.layouts.iter().enumerate() {
        let found = match &spec.port {
            Some(name) => inputs.iter_mut().find(|(id, _)| is_called(model, *id, name)),
            None if request.layouts.len() > model.parameters().len() => {
                let inputs = names(model, model.parameters());
                return Err(Error::InputCount { flag: "--layout", given: request.layouts.len(), inputs });
            }
            None => inputs.get_mut(i),
        };
        match (found, &spec.port) {
            (Some((_, layout)), _) => *layout = Some(spec.clone()),
            (None, Some(name)) if !model.results().iter().any(|id| is_called(model, *id, name)) => {
                let known = [names(model, model.parameters()), names(model, model.results())].concat();
                return Err(Error::UnknownPort {
                    flag: "--layout",
                    name: name.clone(),
                    kind: "input or output",
                    known,
                });
            }
            _ => {}
        }
    }
    Ok(inputs)
}

/// What the user says about layouts of outputs.
fn output_layouts(model: &Model, request: &Request) -> Vec<(NodeId, LayoutSpec)> {
    let named = request.layouts.iter().filter_map(|spec| Some((spec.port.as_ref()?, spec)));
    let found = |(name, spec): (&String, &LayoutSpec)| {
        let id = model.results().iter().find(|id| is_called(model, **id, name))?;
        Some((*id, spec.clone()))
    };
    named
        .filter(|(name, _)| !model.parameters().iter().any(|id| is_called(model, *id, name)))
        .filter_map(found)
        .collect()
}

/// True when an input or output goes by `name`: its own, its tensor's, or its tensor's node's.
fn is_called(model: &Model, id: NodeId, name: &str) -> bool {
    let node = model.node(id);
    let port = node.inputs().first().copied().unwrap_or(id.into());
    let tensor = model.output(port);
    node.name == name || tensor.names.iter().any(|n| n == name) || model.node(port.node).name == name
}

/// What users call inputs or outputs.
fn names(model: &Model, ids: &[NodeId]) -> Vec<String> {
    let name = |id: &NodeId| {
        let node = model.node(*id);
        node.inputs().first().map_or(&node.name, |port| &model.node(port.node).name).clone()
    };
    ids.iter().map(name).collect()
}

/// The values that a flag gives, along the inputs.
fn by_input(
    flag: &'static str,
    given: &[ChannelValues],
    model: &Model,
    inputs: &[NodeId],
) -> Result<Vec<Vec<f64>>, Error> {
    let mut found = vec![Vec::new(); inputs.len()];
    let is_by_order = given.iter().any(|values| values.input.is_none());
    if is_by_order && given.len() != inputs.len() {
        return Err(Error::InputCount { flag, given: given.len(), inputs: names(model, inputs) });
    }
    for (i, ChannelValues { input, values }) in given.iter().enumerate() {
        let at = match input {
            None => i,
            Some(name) => inputs.iter().position(|id| is_called(model, *id, name)).ok_or_else(|| {
                Error::UnknownPort { flag, name: name.clone(), kind: "input", known: names(model, inputs) }
            })?,
        };
        found[at] = values.iter().map(|value| f64::from(*value)).collect();
    }
    Ok(found)
}

/// An image in colours: by its layout, else by where images have their channels.
fn has_three_channels(model: &Model, id: NodeId, layout: &Layout) -> bool {
    let Some(dims) = model.ty(id.into()).shape.dims() else { return false };
    let is_three = |axis: usize| dims.get(axis).and_then(|dim| dim.size()) == Some(3);
    if layout.is_empty() {
        return dims.len() == 4 && (is_three(1) || is_three(3));
    }
    layout.index_of("C", dims.len()).is_some_and(is_three)
}

fn check_rank(model: &Model, id: NodeId, layout: &Layout) -> Result<(), Error> {
    let shape = &model.ty(id.into()).shape;
    match (shape.rank(), layout.rank()) {
        (Some(found), Some(said)) if found != said => Err(Error::Port {
            flag: "--layout",
            port: model.node(id).name.clone(),
            shape: shape.to_string(),
            problem: format!("the layout {layout} has {said} dimensions, the shape has {found}"),
        }),
        _ => Ok(()),
    }
}
