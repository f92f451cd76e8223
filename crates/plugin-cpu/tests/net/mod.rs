//! A small residual network on the device, as a program would use it.

use ir::{
    ElementType, Model, Port, Tensor,
    device::{
        CompiledModel, Config, Device, DeviceError, DeviceResult, Host, HostTensor, InferRequest, PortIndex,
    },
    op::*,
};
use plugin_cpu::CpuDevice;
use std::{any::Any, sync::Arc};

/// An engine without other devices.
struct Alone;

impl Host for Alone {
    fn device(&self, name: &str) -> DeviceResult<Arc<dyn Device>> {
        Err(DeviceError::NoSuchDevice { name: name.to_owned(), available: Vec::new() })
    }

    fn shared(
        &self,
        _: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        make()
    }
}

/// Numbers from -1 to 1 that look random.
pub(crate) fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| (i * 2654435761 + seed * 40503) % 2001;
    (0..count).map(|i| number(i) as f32 / 1000.0 - 1.0).collect()
}

fn convolution(model: &mut Model, x: Port, channels: [usize; 2], kernel: usize) -> Port {
    let [inputs, outputs] = channels;
    let terms = inputs * kernel * kernel;
    let weights = numbers(outputs * terms, model.len()).into_iter().map(|w| w / (terms as f32).sqrt());
    let weights =
        Tensor::from_slice(&[outputs, inputs, kernel, kernel], &weights.collect::<Vec<_>>()).unwrap();
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

/// Two residual blocks on `[batch, 3, side, side]`, global pooling, ten classes.
pub(crate) fn residual(shape: &str) -> Model {
    let mut model = Model::new("residual");
    let x = model.add_parameter("x", ElementType::F32, shape.parse().unwrap()).into();
    let mut x = convolution(&mut model, x, [3, 20], 3);
    for block in 0..2 {
        let y = convolution(&mut model, x, [20, 12], 1);
        let y = model.add(format!("relu{block}"), Unary::Relu, &[y]).unwrap().into();
        let y = convolution(&mut model, y, [12, 20], 3);
        let sum = model.add(format!("sum{block}"), Binary::new(BinaryKind::Add), &[x, y]).unwrap().into();
        x = model.add(format!("out{block}"), Unary::Relu, &[sum]).unwrap().into();
    }
    let axes = model.add_constant("axes", Tensor::from_i64s(&[2, 3])).into();
    let mean = Reduce { kind: ReduceKind::Mean, keep_dims: false };
    let mean = model.add("mean", mean, &[x, axes]).unwrap().into();
    let weights = Tensor::from_slice(&[20, 10], &numbers(200, 9)).unwrap();
    let weights = model.add_constant("dense weights", weights).into();
    let product = MatMul { transpose_a: false, transpose_b: false };
    let scores = model.add("dense", product, &[mean, weights]).unwrap().into();
    let classes = model.add("classes", Softmax { axis: 1 }, &[scores]).unwrap().into();
    model.add_result("result", classes).unwrap();
    model
}

/// A model on the device, with settings.
pub(crate) fn compile(model: &Model, settings: &[(&str, &str)]) -> Arc<dyn CompiledModel> {
    let config: Config = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let host: Arc<dyn Host> = Arc::new(Alone);
    CpuDevice::new().compile(model, &config, &host).unwrap()
}

/// Sets input 0.
pub(crate) fn set_input(request: &mut dyn InferRequest, shape: &[usize], seed: usize) {
    let input = HostTensor::from_vec(shape, numbers(shape.iter().product(), seed)).unwrap();
    request.set_tensor(PortIndex::Input(0), input).unwrap();
}
