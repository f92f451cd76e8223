//! Networks written as formulas, and the one check that optimising them changes nothing but their form.
#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

use ir::{ElementType, Model, NodeId, Op, Port, Tensor, op::*};
use optimizer::{Options, Report};
use std::{
    cell::{Cell, RefCell},
    ops::{Add, Div, Mul, Sub},
};

pub struct Net {
    pub model: RefCell<Model>,
    count: Cell<usize>,
}

/// What comes out of a node of a network under construction.
#[derive(Clone, Copy)]
pub struct Expr<'n> {
    pub net: &'n Net,
    pub port: Port,
}

impl Default for Net {
    fn default() -> Self {
        Self { model: RefCell::new(Model::new("net")), count: Cell::new(0) }
    }
}

impl Net {
    pub fn input(&self, shape: &str) -> Expr<'_> {
        let name = format!("x{}", self.model.borrow().parameters().len());
        let shape = shape.parse().unwrap();
        let id = self.model.borrow_mut().add_parameter(name, ElementType::F32, shape);
        Expr { net: self, port: id.into() }
    }

    pub fn tensor(&self, tensor: Tensor) -> Expr<'_> {
        let id = self.model.borrow_mut().add_constant(self.name("const"), tensor);
        Expr { net: self, port: id.into() }
    }

    /// Numbers from a fixed sequence between -1 and 1.
    pub fn weights(&self, shape: &[usize]) -> Expr<'_> {
        let seed = self.count.get() as u64;
        self.tensor(noise(shape, seed))
    }

    pub fn ints(&self, values: &[i64]) -> Expr<'_> {
        self.tensor(Tensor::from_i64s(values))
    }

    pub fn scalar(&self, value: f32) -> Expr<'_> {
        self.tensor(Tensor::scalar(value))
    }

    pub fn op<'n>(&'n self, op: impl Into<Op>, inputs: &[Expr<'n>]) -> Expr<'n> {
        let op = op.into();
        let name = self.name(op.type_name());
        let ports: Vec<Port> = inputs.iter().map(|e| e.port).collect();
        let id = self.model.borrow_mut().add(name, op, &ports).unwrap_or_else(|e| panic!("{e}"));
        Expr { net: self, port: id.into() }
    }

    fn name(&self, kind: &str) -> String {
        self.count.set(self.count.get() + 1);
        format!("{}_{}", kind.to_lowercase(), self.count.get())
    }

    /// The network with these outputs.
    pub fn model(&self, outputs: &[Expr]) -> Model {
        let mut model = self.model.borrow().clone();
        for (i, output) in outputs.iter().enumerate() {
            model.add_result(format!("y{i}"), output.port).unwrap();
        }
        model
    }
}

pub fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_slice(shape, &values).unwrap()
}

/// A convolution that pads by `pad` on all sides.
pub fn convolution(rank: usize, pad: i64) -> Convolution {
    Convolution {
        strides: vec![1; rank],
        pads_begin: vec![pad; rank],
        pads_end: vec![pad; rank],
        dilations: vec![1; rank],
        auto_pad: AutoPad::Explicit,
    }
}

impl<'n> Expr<'n> {
    pub fn unary(self, op: Unary) -> Self {
        self.net.op(op, &[self])
    }

    pub fn sigmoid(self) -> Self {
        self.unary(Unary::Sigmoid)
    }

    pub fn relu(self) -> Self {
        self.unary(Unary::Relu)
    }

    pub fn clamp(self, min: f64, max: f64) -> Self {
        self.net.op(Clamp { min, max }, &[self])
    }

    pub fn binary(self, kind: BinaryKind, other: Self) -> Self {
        self.net.op(Binary::new(kind), &[self, other])
    }

    pub fn max(self, other: Self) -> Self {
        self.binary(BinaryKind::Maximum, other)
    }

    pub fn min(self, other: Self) -> Self {
        self.binary(BinaryKind::Minimum, other)
    }

    pub fn pow(self, exponent: f32) -> Self {
        self.binary(BinaryKind::Power, self.net.scalar(exponent))
    }

    pub fn transpose(self, order: &[i64]) -> Self {
        self.net.op(Transpose, &[self, self.net.ints(order)])
    }

    pub fn to_nchw(self) -> Self {
        self.transpose(&[0, 3, 1, 2])
    }

    pub fn to_nhwc(self) -> Self {
        self.transpose(&[0, 2, 3, 1])
    }

    pub fn reshape(self, pattern: &[i64]) -> Self {
        self.net.op(Reshape { special_zero: false }, &[self, self.net.ints(pattern)])
    }

    pub fn conv(self, weights: &[usize], pad: i64) -> Self {
        self.net.op(convolution(weights.len() - 2, pad), &[self, self.net.weights(weights)])
    }

    /// As TensorFlow's frontend writes a convolution of NHWC data by HWIO weights.
    pub fn tf_conv(self, weights: &[usize], pad: i64) -> Self {
        let weights = self.net.weights(weights).transpose(&[3, 2, 0, 1]);
        self.net.op(convolution(2, pad), &[self.to_nchw(), weights]).to_nhwc()
    }

    pub fn matmul(self, weights: &[usize]) -> Self {
        self.net.op(MatMul::default(), &[self, self.net.weights(weights)])
    }

    pub fn reduce(self, kind: ReduceKind, axes: &[i64], keep_dims: bool) -> Self {
        self.net.op(Reduce { kind, keep_dims }, &[self, self.net.ints(axes)])
    }

    pub fn pad(self, begin: &[i64], end: &[i64], value: f32) -> Self {
        let net = self.net;
        net.op(
            Pad { pad_mode: PadMode::Constant },
            &[self, net.ints(begin), net.ints(end), net.scalar(value)],
        )
    }

    pub fn concat(self, others: &[Self], axis: i64) -> Self {
        let inputs: Vec<Self> = [self].into_iter().chain(others.iter().copied()).collect();
        self.net.op(Concat { axis }, &inputs)
    }

    pub fn split(self, axis: i64, parts: usize) -> Vec<Self> {
        let axis = self.net.tensor(Tensor::scalar(axis));
        let first = self.net.op(Split { num_splits: parts }, &[self, axis]);
        (0..parts).map(|i| Self { port: first.port.node.output(i), ..first }).collect()
    }

    pub fn named(self, name: &str) -> Self {
        self.net.model.borrow_mut().node_mut(self.port.node).name = name.to_owned();
        self.net.model.borrow_mut().names_mut(self.port).push(format!("{name}:0"));
        self
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => { $(
        impl<'n> $trait for Expr<'n> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                self.binary(BinaryKind::$method(), other)
            }
        }
        impl<'n> $trait<f32> for Expr<'n> {
            type Output = Self;
            fn $method(self, other: f32) -> Self {
                self.$method(self.net.scalar(other))
            }
        }
    )* };
}

trait KindOf {
    fn add() -> Self;
    fn sub() -> Self;
    fn mul() -> Self;
    fn div() -> Self;
}
impl KindOf for BinaryKind {
    fn add() -> Self {
        Self::Add
    }
    fn sub() -> Self {
        Self::Subtract
    }
    fn mul() -> Self {
        Self::Multiply
    }
    fn div() -> Self {
        Self::Divide
    }
}
operators!(Add add, Sub sub, Mul mul, Div div);

/// An optimised network.
pub struct Optimized {
    pub model: Model,
    pub report: Report,
}

/// Optimises a network and demands that it answers as before.
#[track_caller]
pub fn optimized(outputs: &[Expr]) -> Optimized {
    let before = outputs[0].net.model(outputs);
    let mut model = before.clone();
    let report = optimizer::optimize(&mut model, &Options::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_same_answers(&before, &model, 1e-5);
    Optimized { model, report }
}

/// Demands that two models give the same answers to the same noise; unknown dimensions are 2.
#[track_caller]
pub fn assert_same_answers(a: &Model, b: &Model, tolerance: f64) {
    let inputs: Vec<Tensor> = (a.parameters().iter().enumerate())
        .map(|(i, id)| {
            let dims = a.ty((*id).into()).shape.dims().unwrap().to_vec();
            let shape: Vec<usize> = dims.iter().map(|d| d.size().unwrap_or(2)).collect();
            noise(&shape, 77 + i as u64)
        })
        .collect();
    let (want, found) = (ir::evaluate(a, &inputs).unwrap(), ir::evaluate(b, &inputs).unwrap());
    assert_eq!(want.len(), found.len());
    for (want, found) in want.iter().zip(&found) {
        assert_eq!(want.shape(), found.shape(), "before:\n{a}after:\n{b}");
        assert_eq!(want.element_type(), found.element_type());
        let (want, found) = (want.to_f64s(), found.to_f64s());
        let scale = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        for (i, (w, f)) in want.iter().zip(&found).enumerate() {
            assert!(
                (w - f).abs() <= tolerance * scale || w == f,
                "element {i} is {f}, was {w}\nbefore:\n{a}after:\n{b}"
            );
        }
    }
}

impl Optimized {
    /// The types of the computing nodes, in topological order.
    pub fn ops(&self) -> Vec<String> {
        let order = self.model.topological_order().unwrap();
        let nodes = order.into_iter().map(|id| self.model.node(id));
        let computing =
            nodes.filter(|n| !matches!(n.op, Op::Parameter(_) | Op::Constant(_) | Op::OpResult(_)));
        computing.map(|n| n.op.type_name().to_owned()).collect()
    }

    /// Demands these computing nodes, `A B C`.
    #[track_caller]
    pub fn are(self, ops: &str) -> Self {
        assert_eq!(self.ops().join(" "), ops, "\n{}{:#?}", self.model, self.report.refusals);
        self
    }

    /// Demands that `rule` was refused for a reason that says `reason`.
    #[track_caller]
    pub fn refused(self, rule: &str, reason: &str) -> Self {
        let found = self.report.refusals.iter().any(|r| r.rule == rule && r.reason.contains(reason));
        assert!(found, "no refusal of `{rule}` says `{reason}`: {:#?}", self.report.refusals);
        self
    }

    /// The one node of a type.
    #[track_caller]
    pub fn node(&self, kind: &str) -> (NodeId, &ir::Node) {
        let mut found = self.model.nodes().filter(|(_, n)| n.op.type_name() == kind);
        let node = found.next().unwrap_or_else(|| panic!("no {kind} in\n{}", self.model));
        assert!(found.next().is_none(), "more than one {kind} in\n{}", self.model);
        node
    }

    pub fn names(&self) -> Vec<String> {
        let order = self.model.topological_order().unwrap();
        let nodes = order.into_iter().map(|id| self.model.node(id));
        let computing =
            nodes.filter(|n| !matches!(n.op, Op::Parameter(_) | Op::Constant(_) | Op::OpResult(_)));
        computing.map(|n| n.name.clone()).collect()
    }
}
