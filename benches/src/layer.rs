//! Models of one layer, run through the CPU device, whose own profile says how long the layer takes: what brings data
//! into the layer's layout and back is not part of it.

use anyhow::{Context, Result, ensure};
use ir::{
    ElementType, Model, NodeId, Op, PartialShape, Port, Tensor,
    device::{Config, Device, Host, HostTensor, LayerStatus, PortIndex, ProfileRow},
};
use optimizer::work::{self, Work};
use plugin_cpu::CpuDevice;
use samples::arrays;
use std::{any::Any, sync::Arc, time::Duration};

/// The name of the node that is measured.
const LAYER: &str = "layer";

/// A host with no other devices.
struct Alone;

impl Host for Alone {
    fn device(&self, name: &str) -> ir::device::DeviceResult<Arc<dyn Device>> {
        Err(ir::device::DeviceError::NoSuchDevice { name: name.to_owned(), available: vec![] })
    }

    fn shared(
        &self,
        _key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        make()
    }
}

/// One compiled layer.
pub struct Layer {
    request: Box<dyn ir::device::InferRequest>,
    /// What it has to do.
    pub work: Work,
    /// How the device computes it.
    pub exec: String,
}

/// The data of a layer, random and small enough that sums stay finite.
fn random(shape: &[usize], seed: u64) -> Result<Tensor> {
    let bytes = arrays::random(ElementType::F32, shape, seed)?;
    let scaled: Vec<f64> = bytes.to_f64s().into_iter().map(|v| v / 255.0 - 0.5).collect();
    Ok(Tensor::from_f64s(ElementType::F32, shape, &scaled)?)
}

impl Layer {
    /// A layer with data of shape `data` (NCHW) and further, constant inputs of the shapes `constants`, random, or
    /// those that `tensors` gives.
    pub fn new(
        op: impl Into<Op>,
        data: &[usize],
        constants: &[&[usize]],
        tensors: Vec<Tensor>,
    ) -> Result<Self> {
        let mut model = Model::new(LAYER);
        let parameter = model.add_parameter("data", ElementType::F32, PartialShape::fixed(data));
        let mut inputs: Vec<Port> = vec![parameter.into()];
        for (i, shape) in constants.iter().enumerate() {
            inputs.push(model.add_constant(format!("constant{i}"), random(shape, 1 + i as u64)?).into());
        }
        for (i, tensor) in tensors.into_iter().enumerate() {
            inputs.push(model.add_constant(format!("tensor{i}"), tensor).into());
        }
        let id: NodeId = model.add(LAYER, op.into(), &inputs)?;
        model.add_result("result", id.into())?;
        model.infer()?;
        let work = work::of(&model, id).context("shapes are known")?;
        let config = [("INFERENCE_NUM_THREADS", "1"), ("PERF_COUNT", "YES")];
        let config: Config = config.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let host: Arc<dyn Host> = Arc::new(Alone);
        let mut request = CpuDevice::new().compile(&model, &config, &host)?.create_request()?;
        request.set_tensor(PortIndex::Input(0), HostTensor::from(&random(data, 0)?))?;
        let mut layer = Self { request, work, exec: String::new() };
        layer.run()?;
        Ok(layer)
    }

    /// Runs once; the time that the layer took.
    pub fn run(&mut self) -> Result<Duration> {
        self.request.infer()?;
        let rows = self.request.profile();
        let own = |row: &&ProfileRow| row.name == LAYER && row.status == LayerStatus::Executed;
        let is_reorder = |row: &ProfileRow| row.exec_type.starts_with("reorder");
        // What brings data into the layer's layout goes by its name; a layer that only reorders is measured itself.
        let only_reorders = rows.iter().filter(own).all(is_reorder);
        let mut time = None;
        for row in rows.iter().filter(own).filter(|row| only_reorders || !is_reorder(row)) {
            *time.get_or_insert(Duration::ZERO) += row.real_time;
            self.exec.clone_from(&row.exec_type);
        }
        ensure!(time.is_some(), "the layer did not run by itself: {rows:?}");
        Ok(time.unwrap_or_default())
    }
}
