//! An output in the caller's form.

use super::{OutputSettings, chain::Chain};
use crate::error::Result;
use ir::{Model, NodeId, Op};

pub(super) fn apply(model: &mut Model, id: NodeId, settings: &OutputSettings) -> Result<()> {
    let source = model.node(id).inputs()[0];
    let name = model.node(source.node).name.clone();
    let Op::OpResult(result) = &model.node(id).op else { unreachable!("results are Results") };
    let mut result = result.clone();
    let model_layout = settings.model_layout.clone().unwrap_or_else(|| result.layout.clone());
    let mut chain = Chain { model, name, at: source };
    chain.custom(settings.custom.as_ref())?;
    if let Some(layout) = &settings.layout {
        if let Some(order) = chain.order(&model_layout, layout)? {
            chain.transpose(&order)?;
        }
        result.layout = layout.clone();
    }
    if let Some(ty) = settings.element_type {
        chain.convert(ty)?;
    }
    let Chain { model, name, at } = chain;
    if at != source {
        // The tensor that the caller sees keeps the name by which the caller knows it.
        let names = std::mem::take(model.names_mut(source));
        *model.names_mut(at) = if names.is_empty() { vec![name] } else { names };
        model.set_input(id, 0, at);
    }
    model.node_mut(id).op = result.into();
    Ok(())
}
