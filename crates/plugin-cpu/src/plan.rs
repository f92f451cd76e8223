//! A model lowered for one set of input shapes.

use crate::{config::Settings, stream::Stream};
use ir::{
    Model, Op, Tensor,
    device::{DeviceError, DeviceResult, LayerStatus, ProfileRow},
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// The plans of one model.
pub(crate) struct Plans {
    model: Model,
    settings: Settings,
}

impl Plans {
    /// Lowers the model as far as its shapes are known.
    pub(crate) fn new(model: Model, settings: Settings) -> DeviceResult<Self> {
        model.topological_order()?;
        Ok(Self { model, settings })
    }

    /// Runs the model; `cancelled` is looked at between layers.
    pub(crate) fn run(
        &self,
        inputs: &[Tensor],
        _stream: &mut Stream,
        cancelled: &AtomicBool,
        profile: &mut Vec<ProfileRow>,
    ) -> DeviceResult<Vec<Tensor>> {
        let model = &self.model;
        profile.clear();
        let mut values: Vec<Vec<Tensor>> = vec![Vec::new(); model.capacity()];
        for id in model.topological_order()? {
            if cancelled.load(Ordering::Relaxed) {
                return Err(DeviceError::Cancelled);
            }
            let node = model.node(id);
            let start = Instant::now();
            values[id.index()] = if let Op::Parameter(_) = node.op {
                let at = model.parameters().iter().position(|p| *p == id).expect("a parameter is listed");
                vec![inputs[at].clone()]
            } else {
                let arguments: Vec<Tensor> =
                    node.inputs().iter().map(|p| values[p.node.index()][p.index].clone()).collect();
                node.op.operator().evaluate(&arguments).map_err(|source| model.op_error(node, source))?
            };
            if self.settings.profile
                && !matches!(node.op, Op::Parameter(_) | Op::Constant(_) | Op::OpResult(_))
            {
                profile.push(ProfileRow {
                    name: node.name.clone(),
                    status: LayerStatus::Executed,
                    layer_type: node.op.type_name().to_owned(),
                    exec_type: "ref_any".to_owned(),
                    real_time: start.elapsed(),
                    cpu_time: start.elapsed(),
                });
            }
        }
        Ok(model.results().iter().map(|id| values[id.index()][0].clone()).collect())
    }
}
