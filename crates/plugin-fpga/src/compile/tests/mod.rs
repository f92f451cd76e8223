//! Compiled networks on the simulator, beside the reference semantics of their ops.

mod buffers;
mod networks;
mod table;

use super::compile;
use crate::{
    architecture::Architecture,
    executor::Executor,
    number::{from_fp16, to_fp16},
    program::{Feature, Program},
    sim::Simulator,
};
use ir::{
    ElementType, Model, NodeId, Port, Tensor,
    op::{Binary, BinaryKind, Convolution, MaxPool, Unary},
};
use std::sync::Arc;

/// An overlay with all units: C_vec 8, K_vec 16, and as deep a stream buffer as asked for.
fn architecture(precision: &str, depth: u32) -> Architecture {
    let name = format!("2x2x8x16_{precision}_sb{depth}_fcd64_actk4_poolk4_normk1_owk2_image64x64x2048_test");
    name.parse().unwrap()
}

/// The positions of a feature's elements, in the order of its shape.
fn elements(feature: &Feature, vector: u32) -> Vec<usize> {
    let pitch = feature.pitch(vector) as usize;
    let places = (feature.height * feature.width) as usize;
    let mut all = Vec::new();
    for piece in &feature.channels {
        for channel in 0..piece.count {
            let lane = (piece.word * vector + channel) as usize;
            all.extend((0..places).map(|place| place * pitch * vector as usize + lane));
        }
    }
    all
}

/// Runs a program; inputs and outputs as the model has them.
fn run(program: &Arc<Program>, architecture: &Architecture, inputs: &[Tensor]) -> Vec<Vec<f32>> {
    let mut loaded = Simulator::new().load(architecture, program).unwrap();
    let vector = architecture.input_vector;
    let words = |feature: &Feature| (feature.height * feature.width * feature.pitch(vector)) as usize;
    for (feature, tensor) in program.inputs.iter().zip(inputs) {
        let mut values = vec![0; words(feature) * vector as usize];
        for (at, value) in elements(feature, vector).into_iter().zip(tensor.to_f64s()) {
            values[at] = to_fp16(value as f32);
        }
        loaded.write(feature.address, &values).unwrap();
    }
    loaded.launch().unwrap();
    let read = |feature: &Feature| {
        let mut values = vec![0; words(feature) * vector as usize];
        loaded.read(feature.address, &mut values).unwrap();
        elements(feature, vector).into_iter().map(|at| from_fp16(values[at])).collect()
    };
    program.outputs.iter().map(read).collect()
}

/// Numbers of which every run makes the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn tensor(&mut self, shape: &[usize], scale: f32) -> Tensor {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| self.next() * scale).collect();
        Tensor::from_slice(shape, &values).unwrap()
    }

    fn below(&mut self, end: usize) -> usize {
        self.next();
        (self.0 >> 33) as usize % end
    }
}

/// A network while it is built.
struct Net {
    model: Model,
    numbers: Numbers,
}

impl Net {
    fn new(seed: u64) -> Self {
        Self { model: Model::new("net"), numbers: Numbers(seed) }
    }

    fn input(&mut self, shape: &[usize]) -> Port {
        let name = format!("input{}", self.model.parameters().len());
        self.model.add_parameter(name, ElementType::F32, ir::PartialShape::fixed(shape)).into()
    }

    fn constant(&mut self, shape: &[usize], scale: f32) -> Port {
        let tensor = self.numbers.tensor(shape, scale);
        let name = format!("constant{}", self.model.len());
        self.model.add_constant(name, tensor).into()
    }

    fn add(&mut self, op: impl Into<ir::Op>, inputs: &[Port]) -> Port {
        let name = format!("node{}", self.model.len());
        self.model.add(name, op, inputs).unwrap().into()
    }

    fn result(&mut self, port: Port) -> NodeId {
        let name = format!("result{}", self.model.results().len());
        self.model.add_result(name, port).unwrap()
    }

    fn channels(&self, port: Port) -> usize {
        self.model.ty(port).shape.sizes().unwrap()[1]
    }

    /// A convolution with the same size of image at stride 1.
    fn convolution(&mut self, from: Port, outputs: usize, kernel: usize, stride: usize) -> Port {
        let inputs = self.channels(from);
        let scale = 1.5 / ((inputs * kernel * kernel) as f32).sqrt();
        let weights = self.constant(&[outputs, inputs, kernel, kernel], scale);
        let pad = (kernel / 2) as i64;
        let op = Convolution {
            strides: vec![stride; 2],
            pads_begin: vec![pad; 2],
            pads_end: vec![pad; 2],
            dilations: vec![1; 2],
            ..Convolution::default()
        };
        self.add(op, &[from, weights])
    }

    fn bias(&mut self, from: Port) -> Port {
        let channels = self.channels(from);
        let rank = self.model.ty(from).shape.rank().unwrap();
        let shape = if rank == 4 { vec![1, channels, 1, 1] } else { vec![1, channels] };
        let bias = self.constant(&shape, 0.5);
        self.add(Binary::new(BinaryKind::Add), &[from, bias])
    }

    fn relu(&mut self, from: Port) -> Port {
        self.add(Unary::Relu, &[from])
    }

    fn sum(&mut self, a: Port, b: Port) -> Port {
        self.add(Binary::new(BinaryKind::Add), &[a, b])
    }

    fn max_pool(&mut self, from: Port, kernel: usize, stride: usize, pad: i64) -> Port {
        let op = MaxPool {
            strides: vec![stride; 2],
            kernel: vec![kernel; 2],
            pads_begin: vec![pad; 2],
            pads_end: vec![pad; 2],
            ..MaxPool::default()
        };
        self.add(op, &[from])
    }

    fn inputs(&mut self) -> Vec<Tensor> {
        let shapes: Vec<Vec<usize>> = self
            .model
            .parameters()
            .iter()
            .map(|id| self.model.ty((*id).into()).shape.sizes().unwrap())
            .collect();
        shapes.iter().map(|shape| self.numbers.tensor(shape, 1.0)).collect()
    }

    /// The largest error of each output on an overlay, as a part of the largest number of the reference.
    fn errors(&mut self, architecture: &Architecture) -> Vec<f32> {
        let inputs = self.inputs();
        let program = Arc::new(compile(&self.model, architecture).unwrap());
        let found = run(&program, architecture, &inputs);
        let expected = ir::evaluate(&self.model, &inputs).unwrap();
        let error = |(found, expected): (&Vec<f32>, &Tensor)| {
            let expected = expected.to_f64s();
            assert_eq!(found.len(), expected.len());
            let largest = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
            let pairs = found.iter().zip(&expected);
            let error = pairs.fold(0.0f64, |most, (a, b)| most.max((f64::from(*a) - b).abs()));
            (error / largest.max(1e-3)) as f32
        };
        found.iter().zip(&expected).map(error).collect()
    }

    /// Demands that the answers are those of the reference, as well as the precision allows; FP16's better.
    fn check(&mut self) {
        let state = self.numbers.0;
        let half = self.errors(&architecture("fp16", 4096));
        self.numbers.0 = state;
        let eleven = self.errors(&architecture("fp11", 4096));
        for (half, eleven) in half.iter().zip(&eleven) {
            assert!(*half < 6e-3, "FP16 errs by {half}\n{}", self.model);
            assert!(*eleven < 0.15, "FP11 errs by {eleven}\n{}", self.model);
        }
    }
}
