//! Lowering: a model whose shapes are all known becomes a [`Plan`]. Nodes are looked at in order; each gives steps,
//! joins another node's work, or is known already. What has no kernel here runs the reference.
//!
//! | file | part |
//! |---|---|
//! | `constants.rs` | what is known at compile |
//! | `fuse.rs` | which nodes join which |
//! | `algorithms.rs` | how each convolution is computed |
//! | `build.rs` | values, layouts, places; steps in order |
//! | the others | ops by family |

mod algorithms;
mod build;
mod constants;
mod convolution;
mod deconvolution;
mod detection;
mod elementwise;
mod expand;
mod fuse;
mod interpolate;
mod matmul;
mod movement;
mod normalization;
#[cfg(test)]
mod op_speed;
#[cfg(test)]
mod op_tests;
mod picks;
mod pointwise;
mod pooling;
mod precision;
mod product;
mod recurrent;
mod reduction;
mod reference;
mod region;
mod sets;
mod shape;
#[cfg(test)]
mod tests;
mod volume;

use crate::{config::Settings, isa::Isa, plan::Plan, weights::Shelf};
use build::Builder;
use constants::Constants;
use fuse::Fusions;
use ir::{Model, Node, NodeId, Op, device::DeviceResult};
use std::sync::Arc;

/// The plan of a model, which shares packed weights with its other plans; `None` when shapes are not known.
pub(crate) fn lower(model: &Model, settings: &Settings, shelf: &Arc<Shelf>) -> DeviceResult<Option<Plan>> {
    lower_for(Isa::best(), model, settings, shelf)
}

/// [`lower`] for an instruction set.
pub(crate) fn lower_for(
    isa: Isa,
    model: &Model,
    settings: &Settings,
    shelf: &Arc<Shelf>,
) -> DeviceResult<Option<Plan>> {
    let widened = precision::widened(model)?;
    let model = widened.as_ref().unwrap_or(model);
    let order = model.topological_order()?;
    let fixed = |output: &ir::Output| {
        let ty = &output.ty;
        ty.shape.is_fixed() && ty.element_type != ir::ElementType::Dynamic
    };
    if !order.iter().all(|id| model.node(*id).outputs().iter().all(fixed)) {
        return Ok(None);
    }
    let constants = Constants::new(model, &order);
    let mut builder = Builder::new(model, isa, *settings, constants, Fusions::default(), shelf.clone());
    fuse::find(&mut builder, &order);
    expand::find(&mut builder, &order);
    builder.algorithms = algorithms::choose(&builder, &order);
    for (i, id) in model.parameters().iter().enumerate() {
        builder.input((*id).into(), i);
    }
    for id in &order {
        let node = model.node(*id);
        let known = (0..node.outputs().len()).all(|i| builder.constants.has(id.output(i)));
        if matches!(node.op, Op::Parameter(_) | Op::OpResult(_)) || known {
            continue;
        }
        if let Some(head) = builder.fusions.turn(*id) {
            node_steps(&mut builder, head);
        }
    }
    for (i, id) in model.results().iter().enumerate() {
        builder.output(*id, model.node(*id).inputs()[0], i);
    }
    Ok(Some(builder.finish(&order)))
}

/// Adds the steps of a node and of those that join it.
fn node_steps(builder: &mut Builder, id: NodeId) {
    let outputs: Vec<_> = (0..builder.model.node(id).outputs().len()).map(|i| id.output(i)).collect();
    if outputs.iter().all(|port| builder.shape_of(*port).contains(&0)) {
        // There is nothing to compute.
        for port in outputs {
            let empty = builder.plain_value(port);
            builder.define(port, empty);
        }
        return;
    }
    let done = match builder.model.node(id).op {
        Op::Convolution(_) | Op::GroupConvolution(_) => {
            let pair = expand::lower(builder, id);
            let alone = pair.or_else(|| convolution::lower(builder, id));
            alone.or_else(|| volume::lower(builder, id))
        }
        Op::ConvolutionBackpropData(_) | Op::GroupConvolutionBackpropData(_) => {
            deconvolution::lower(builder, id).or_else(|| volume::lower(builder, id))
        }
        Op::MatMul(_) => product::lower(builder, id).or_else(|| matmul::lower(builder, id)),
        Op::MaxPool(_) | Op::MaxPool8(_) | Op::AvgPool(_) => {
            pooling::lower(builder, id).or_else(|| pooling::any(builder, id))
        }
        Op::Reduce(_) => reduction::lower(builder, id),
        Op::Softmax(_) => reduction::softmax(builder, id),
        Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => shape::reinterpret(builder, id),
        Op::Transpose(_) => shape::transpose(builder, id),
        Op::Lrn(_) => normalization::local_response(builder, id),
        Op::Mvn(_) | Op::MvnSpatial(_) | Op::NormalizeL2(_) | Op::LogSoftmax(_) => {
            normalization::lower(builder, id)
        }
        Op::Interpolate(_) => interpolate::lower(builder, id).or_else(|| movement::lower(builder, id)),
        Op::Concat(_) => shape::concat(builder, id),
        Op::Split(_) | Op::VariadicSplit(_) => shape::split(builder, id),
        Op::DetectionOutput(_) | Op::NonMaxSuppression(_) => detection::lower(builder, id),
        Op::RecurrentCell(_) | Op::RecurrentSequence(_) => recurrent::lower(builder, id),
        Op::RegionYolo(_) | Op::RoiPooling(_) | Op::PsRoiPooling(_) => region::lower(builder, id),
        _ => elementwise::lower(builder, id)
            .or_else(|| pointwise::lower(builder, id))
            .or_else(|| movement::lower(builder, id))
            .or_else(|| picks::lower(builder, id)),
    };
    if done.is_none() {
        reference::lower(builder, id);
    }
}

/// True for nodes that profiles speak of.
pub(crate) fn has_row(node: &Node) -> bool {
    !matches!(node.op, Op::Constant(_) | Op::OpResult(_))
}
