//! Devices and networks to try HETERO with.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod slow;

use hetero::HeteroDevice;
use ir::{
    Bytes, ElementType, Model, Node, Op, Port, Tensor,
    device::{CompiledModel, Config, Device, DeviceError, DeviceResult, Host, HostTensor, Property, Support},
    op::*,
};
use plugin_cpu::CpuDevice;
use runtime::Core;
use std::sync::Arc;

/// The CPU, which refuses some nodes.
pub(crate) struct RestrictedCpu {
    name: &'static str,
    takes: Box<dyn Fn(&Node) -> bool + Send + Sync>,
    cpu: CpuDevice,
}

impl RestrictedCpu {
    pub(crate) fn new(name: &'static str, takes: impl Fn(&Node) -> bool + Send + Sync + 'static) -> Self {
        Self { name, takes: Box::new(takes), cpu: CpuDevice::new() }
    }
}

impl Device for RestrictedCpu {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> String {
        "a part of the CPU".to_owned()
    }

    fn query(&self, model: &Model, config: &Config) -> DeviceResult<Support> {
        let mut support = self.cpu.query(model, config)?;
        let computes = |node: &Node| !matches!(node.op, Op::Parameter(_) | Op::OpResult(_) | Op::Constant(_));
        for (_, node) in model.nodes().filter(|(_, node)| computes(node) && !(self.takes)(node)) {
            support.refused.push((node.name.clone(), format!("{} is not for it", node.op.type_name())));
            support.supported.retain(|name| *name != node.name);
        }
        Ok(support)
    }

    fn compile(
        &self,
        model: &Model,
        config: &Config,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        if let Some((node, reason)) = self.query(model, config)?.refused.into_iter().next() {
            return Err(DeviceError::Unsupported { device: self.name.to_owned(), node, reason });
        }
        self.cpu.compile(model, config, host)
    }

    fn import(
        &self,
        from: Bytes,
        config: &Config,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        self.cpu.import(from, config, host)
    }

    fn properties(&self) -> Vec<Property> {
        self.cpu.properties()
    }
}

/// An engine with the CPU, HETERO, and what is given.
pub(crate) fn core(devices: impl IntoIterator<Item = Arc<dyn Device>>) -> Core {
    let core = Core::new();
    core.register(Arc::new(CpuDevice::new()));
    core.register(Arc::new(HeteroDevice::new()));
    devices.into_iter().for_each(|device| core.register(device));
    core
}

/// An engine whose `CPU2` refuses ops by type.
pub(crate) fn core_without(refused: &'static [&'static str]) -> Core {
    let cpu2 = RestrictedCpu::new("CPU2", move |node| !refused.contains(&node.op.type_name()));
    core([Arc::new(cpu2) as Arc<dyn Device>])
}

pub(crate) fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Numbers from -1 to 1 that look random.
pub(crate) fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| (i * 2654435761 + seed * 40503) % 2001;
    (0..count).map(|i| number(i) as f32 / 1000.0 - 1.0).collect()
}

pub(crate) fn input(shape: &[usize], seed: usize) -> HostTensor {
    HostTensor::from_vec(shape, numbers(shape.iter().product(), seed)).unwrap()
}

/// All outputs, after an inference with these inputs.
pub(crate) fn answers(core: &Core, model: &Model, device: &str, inputs: &[HostTensor]) -> Vec<Tensor> {
    let compiled = core.compile_model(model, device, &config(&[("INFERENCE_NUM_THREADS", "1")])).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    for (i, input) in inputs.iter().enumerate() {
        request.set_input(i, input.clone()).unwrap();
    }
    request.infer().unwrap();
    (0..compiled.outputs().len()).map(|i| request.output(i).unwrap().to_tensor().unwrap()).collect()
}

fn convolution(model: &mut Model, x: Port, channels: [usize; 2], kernel: usize) -> Port {
    let [inputs, outputs] = channels;
    let terms = inputs * kernel * kernel;
    let weights: Vec<f32> =
        numbers(outputs * terms, model.len()).into_iter().map(|w| w / (terms as f32).sqrt()).collect();
    let weights = Tensor::from_slice(&[outputs, inputs, kernel, kernel], &weights).unwrap();
    let weights = model.add_constant(format!("weights{}", model.len()), weights).into();
    let op = Convolution {
        strides: vec![1; 2],
        pads_begin: vec![0; 2],
        pads_end: vec![0; 2],
        dilations: vec![1; 2],
        auto_pad: AutoPad::SameUpper,
    };
    model.add(format!("conv{}", model.len()), op, &[x, weights]).unwrap().into()
}

/// A residual block on `[batch, 3, side, side]`, flattened by its own shape, four classes.
pub(crate) fn residual(shape: &str) -> Model {
    let mut model = Model::new("residual");
    let x = model.add_parameter("x", ElementType::F32, shape.parse().unwrap()).into();
    model.names_mut(x).push("image".to_owned());
    let x = convolution(&mut model, x, [3, 8], 3);
    let y = model.add("relu", Unary::Relu, &[x]).unwrap().into();
    let y = convolution(&mut model, y, [8, 8], 3);
    let sum = model.add("sum", Binary::new(BinaryKind::Add), &[x, y]).unwrap().into();
    let axes = model.add_constant("axes", Tensor::from_i64s(&[2, 3])).into();
    let mean = Reduce { kind: ReduceKind::Mean, keep_dims: true };
    let mean = model.add("mean", mean, &[sum, axes]).unwrap().into();
    let dims = model.add("shape", ShapeOf::default(), &[mean]).unwrap().into();
    let zero = model.add_constant("zero", Tensor::from_i64s(&[0])).into();
    let batch = Gather::default();
    let axis = model.add_constant("axis", Tensor::scalar(0i64)).into();
    let batch = model.add("batch", batch, &[dims, zero, axis]).unwrap().into();
    let eight = model.add_constant("eight", Tensor::from_i64s(&[8])).into();
    let pattern = model.add("pattern", Concat { axis: 0 }, &[batch, eight]).unwrap().into();
    let flat = model.add("flat", Reshape::default(), &[mean, pattern]).unwrap().into();
    let weights = Tensor::from_slice(&[8, 4], &numbers(32, 9)).unwrap();
    let weights = model.add_constant("dense weights", weights).into();
    let product = MatMul { transpose_a: false, transpose_b: false };
    let scores = model.add("dense", product, &[flat, weights]).unwrap().into();
    model.names_mut(scores).push("dense/MatMul:0".to_owned());
    let classes = model.add("classes", Softmax { axis: 1 }, &[scores]).unwrap().into();
    model.add_result("result", classes).unwrap();
    model
}
