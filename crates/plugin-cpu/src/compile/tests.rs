//! Whole plans against the reference, on every instruction set.

use super::lower_for;
use crate::{arena::Arena, config::Settings, isa::Isa, plan::Plans, pool::Pool, stream::Stream};
use ir::{
    ElementType, Model, NodeId, Op, Port, Tensor,
    device::{Config, LayerStatus, ProfileRow},
    op::*,
};
use std::sync::atomic::AtomicBool;

pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Numbers from -1 to 1, bytes, or truths.
    pub(super) fn input(&mut self, ty: &PortType) -> Tensor {
        let shape = ty.shape.sizes().unwrap();
        if ty.element_type == ElementType::F32 {
            return self.tensor(&shape);
        }
        let most = if ty.element_type == ElementType::Boolean { 2 } else { 256 };
        let numbers: Vec<f64> = (0..shape.iter().product()).map(|_| self.below(most) as f64).collect();
        Tensor::from_f64s(ty.element_type, &shape, &numbers).unwrap()
    }

    /// Numbers from -1 to 1.
    pub(super) fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let n: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..n).map(|_| self.below(2001) as f32 / 1000.0 - 1.0).collect();
        Tensor::from_slice(shape, &numbers).unwrap()
    }
}

/// A network under construction.
pub(super) struct Net {
    pub(super) model: Model,
    pub(super) random: Random,
}

impl Net {
    pub(super) fn new(seed: u64) -> Self {
        Self { model: Model::new("net"), random: Random(seed) }
    }

    pub(super) fn input(&mut self, shape: &str) -> Port {
        self.model.add_parameter("x", ElementType::F32, shape.parse().unwrap()).into()
    }

    pub(super) fn add(&mut self, op: impl Into<Op>, inputs: &[Port]) -> Port {
        let op = op.into();
        let name = format!("{}_{}", op.type_name(), self.model.len());
        self.model.add(name, op, inputs).unwrap().into()
    }

    pub(super) fn result(&mut self, port: Port) -> NodeId {
        let name = format!("out_{}", self.model.results().len());
        self.model.add_result(name, port).unwrap()
    }

    pub(super) fn shape(&self, port: Port) -> Vec<usize> {
        self.model.ty(port).shape.sizes().unwrap()
    }

    pub(super) fn constant(&mut self, shape: &[usize]) -> Port {
        let tensor = self.random.tensor(shape);
        self.model.add_constant("c", tensor).into()
    }

    pub(super) fn integers(&mut self, values: &[i64]) -> Port {
        self.model.add_constant("i", Tensor::from_i64s(values)).into()
    }

    pub(super) fn binary(&mut self, kind: BinaryKind, a: Port, b: Port) -> Port {
        self.add(Binary::new(kind), &[a, b])
    }

    pub(super) fn conv(&mut self, x: Port, channels: usize, kernel: usize, stride: usize) -> Port {
        let inputs = self.shape(x)[1];
        // As networks have them: the sum of products stays in range.
        let scale = 1.0 / ((inputs * kernel * kernel) as f32).sqrt();
        let weights = self.random.tensor(&[channels, inputs, kernel, kernel]);
        let weights: Vec<f32> = weights.view::<f32>().unwrap().iter().map(|w| w * scale).collect();
        let weights = Tensor::from_slice(&[channels, inputs, kernel, kernel], &weights).unwrap();
        let weights = self.model.add_constant("w", weights).into();
        let op = Convolution { auto_pad: AutoPad::SameUpper, ..window(stride) };
        self.add(op, &[x, weights])
    }

    fn depthwise(&mut self, x: Port, kernel: usize, stride: usize) -> Port {
        let channels = self.shape(x)[1];
        let weights = self.constant(&[channels, 1, 1, kernel, kernel]);
        let Convolution { strides, pads_begin, pads_end, dilations, .. } = window(stride);
        let op = GroupConvolution { strides, pads_begin, pads_end, dilations, auto_pad: AutoPad::SameUpper };
        self.add(op, &[x, weights])
    }

    fn activation(&mut self, x: Port) -> Port {
        match self.random.below(9) {
            0 => self.add(Unary::Relu, &[x]),
            1 => self.add(Clamp { min: 0.0, max: 6.0 }, &[x]),
            2 => self.add(Swish, &[x]),
            3 => {
                let gate = self.add(Unary::Sigmoid, &[x]);
                self.binary(BinaryKind::Multiply, x, gate)
            }
            4 => self.add(Unary::HSwish, &[x]),
            5 => self.add(Elu { alpha: 0.7 }, &[x]),
            6 => {
                let slope = self.shape(x)[1];
                let slope = self.constant(&[slope]);
                self.add(PRelu, &[x, slope])
            }
            7 => self.add(Unary::Sigmoid, &[x]),
            _ => self.add(Unary::Tanh, &[x]),
        }
    }

    fn batch_norm(&mut self, x: Port) -> Port {
        let c = self.shape(x)[1];
        let [gamma, beta, mean] = [(); 3].map(|()| self.constant(&[c]));
        let variance = self.random.tensor(&[c]);
        let variance: Vec<f32> = variance.view::<f32>().unwrap().iter().map(|v| v.abs() + 0.5).collect();
        let variance = self.model.add_constant("v", Tensor::from_slice(&[c], &variance).unwrap()).into();
        self.add(BatchNormInference { epsilon: 1e-3, data_input: 0 }, &[x, gamma, beta, mean, variance])
    }

    fn per_channel(&mut self, x: Port, kind: BinaryKind) -> Port {
        let c = self.shape(x)[1];
        let numbers = self.constant(&[1, c, 1, 1]);
        self.binary(kind, x, numbers)
    }

    fn excite(&mut self, x: Port) -> Port {
        let axes = self.integers(&[2, 3]);
        let keep_dims = self.random.below(2) == 0;
        let mean = self.add(Reduce { kind: ReduceKind::Mean, keep_dims }, &[x, axes]);
        let [n, c] = [self.shape(x)[0], self.shape(x)[1]];
        let shape = self.integers(&[n as i64, c as i64, 1, 1]);
        let mean = self.add(Reshape { special_zero: false }, &[mean, shape]);
        let less = self.conv(mean, 5, 1, 1);
        let less = self.add(Unary::Relu, &[less]);
        let more = self.conv(less, c, 1, 1);
        let gate = self.add(Unary::Sigmoid, &[more]);
        self.binary(BinaryKind::Multiply, x, gate)
    }

    fn pool(&mut self, x: Port) -> Port {
        let (strides, kernel) = (vec![self.random.below(2) + 1; 2], vec![self.random.below(2) + 2; 2]);
        let pads = vec![self.random.below(2) as i64; 2];
        let (pads_begin, pads_end) = (pads.clone(), pads);
        match self.random.below(3) {
            0 => self.add(MaxPool { strides, kernel, pads_begin, pads_end, ..MaxPool::default() }, &[x]),
            1 => {
                let exclude_pad = self.random.below(2) == 0;
                self.add(
                    AvgPool { strides, kernel, pads_begin, pads_end, exclude_pad, ..AvgPool::default() },
                    &[x],
                )
            }
            _ => {
                let begin = self.integers(&[0, 0, 1, 0]);
                let end = self.integers(&[0, 0, 1, 2]);
                let padded = self.add(Pad { pad_mode: PadMode::Constant }, &[x, begin, end]);
                let (pads_begin, pads_end) = (vec![0, 0], vec![0, 0]);
                self.add(MaxPool { strides, kernel, pads_begin, pads_end, ..MaxPool::default() }, &[padded])
            }
        }
    }

    pub(super) fn transpose(&mut self, x: Port, order: &[i64]) -> Port {
        let order = self.integers(order);
        self.add(Transpose, &[x, order])
    }
}

fn window(stride: usize) -> Convolution {
    Convolution {
        strides: vec![stride; 2],
        pads_begin: vec![0; 2],
        pads_end: vec![0; 2],
        dilations: vec![1; 2],
        auto_pad: AutoPad::Explicit,
    }
}

/// Runs a plan; the answers and the profile.
fn run(isa: Isa, threads: usize, model: &Model, inputs: &[Tensor]) -> (Vec<Vec<u8>>, Vec<ProfileRow>) {
    let settings = Settings::parse(&Config::new()).unwrap();
    let plan = lower_for(isa, model, &settings, &Default::default()).unwrap().expect("all shapes are known");
    let mut stream = Stream { number: 0, pool: Pool::new(threads), arena: Arena::default() };
    // What the arena holds before must not matter.
    stream.arena.bytes(1 << 22).fill(0x7f);
    let aligned: Vec<Tensor> = inputs.to_vec();
    let views: Vec<&[u8]> = aligned.iter().map(|t| &t.bytes()[..]).collect();
    let mut answers: Vec<ir::AlignedBytes> =
        (0..plan.answers().len()).map(|i| ir::aligned_zeros(plan.output_bytes(i))).collect();
    let mut profile = Vec::new();
    for _ in 0..2 {
        let mut places: Vec<&mut [u8]> = answers.iter_mut().map(|bytes| &mut bytes[..]).collect();
        plan.run(&views, &mut places, &mut stream, &AtomicBool::new(false), Some(&mut profile)).unwrap();
    }
    (answers.into_iter().map(|bytes| bytes.to_vec()).collect(), profile)
}

/// Compares plans with the reference, on every instruction set, with one thread and with two.
pub(super) fn check(net: &mut Net, what: &str) -> Vec<ProfileRow> {
    let model = &net.model;
    let inputs: Vec<Tensor> =
        model.parameters().iter().map(|id| net.random.input(model.ty((*id).into()))).collect();
    let expected = ir::evaluate(model, &inputs).unwrap();
    let mut last = Vec::new();
    for isa in Isa::available() {
        let (one, profile) = run(isa, 1, model, &inputs);
        let (two, _) = run(isa, 2, model, &inputs);
        for (i, (one, want)) in one.iter().zip(&expected).enumerate() {
            assert_eq!(one, &two[i], "{what}, {}, output {i}: other bits with two threads", isa.name());
            let ty = want.element_type();
            let found = Tensor::new(ty, want.shape().to_vec(), one.clone().into()).unwrap().to_f64s();
            let want = want.to_f64s();
            let largest = want.iter().fold(1e-3f64, |max, x| max.max(x.abs()));
            for (at, (x, y)) in found.iter().zip(&want).enumerate() {
                let close = (x - y).abs() <= 2e-5 * largest;
                assert!(close, "{what}, {}, output {i} at {at}: {x} for {y}\n{model}", isa.name());
            }
        }
        last = profile;
    }
    last
}

#[test]
fn reductions_along_any_axes() {
    use ReduceKind::{L1, L2, Max, Mean, Min, Prod, Sum};
    for seed in 0..60 {
        let mut net = Net::new(seed + 77);
        let rank = 1 + net.random.below(5);
        let sizes: Vec<String> =
            (0..rank).map(|_| net.random.one_of(&["1", "2", "3", "5", "17"]).into()).collect();
        let mut x = net.input(&format!("[{}]", sizes.join(",")));
        if rank == 4 && net.random.below(2) == 0 {
            x = net.conv(x, 20, 1, 1);
        }
        let axes: Vec<i64> = (0..rank as i64).filter(|_| net.random.below(2) == 0).collect();
        let axes: Vec<i64> = axes.iter().map(|a| if seed % 2 == 0 { *a } else { *a - rank as i64 }).collect();
        let axes = net.integers(&axes);
        let kind = net.random.one_of(&[L1, L2, Max, Mean, Min, Prod, Sum]);
        let keep_dims = net.random.below(2) == 0;
        let y = net.add(Reduce { kind, keep_dims }, &[x, axes]);
        net.result(y);
        let profile = check(&mut net, &format!("seed {seed}"));
        assert!(profile.iter().all(|row| !row.exec_type.starts_with("ref")), "seed {seed}: {profile:?}");
    }
}

#[test]
fn random_networks() {
    for seed in 0..60 {
        let mut net = Net::new(seed * 7919 + 1);
        let batch = net.random.one_of(&[1, 1, 2, 3]);
        let channels = net.random.one_of(&[3, 8, 16, 20, 32]);
        let side = 5 + net.random.below(6);
        let mut x = if net.random.below(2) == 0 {
            let x = net.input(&format!("[{batch},{side},{},{channels}]", side + 1));
            net.transpose(x, &[0, 3, 1, 2])
        } else {
            net.input(&format!("[{batch},{channels},{side},{}]", side + 1))
        };
        let mut open = Vec::new();
        for _ in 0..2 + net.random.below(6) {
            let width = net.random.one_of(&[5, 8, 16, 24, 32]);
            x = match net.random.below(12) {
                0 | 1 => {
                    let (kernel, stride) = (net.random.one_of(&[1, 3]), net.random.one_of(&[1, 1, 2]));
                    net.conv(x, width, kernel, stride)
                }
                2 => net.depthwise(x, 3, 1),
                3 => {
                    let y = net.conv(x, width, 3, 1);
                    let y = net.batch_norm(y);
                    net.activation(y)
                }
                4 => net.activation(x),
                5 => net.batch_norm(x),
                6 if net.shape(x)[2] > 3 && net.shape(x)[3] > 3 => net.pool(x),
                7 => {
                    let c = net.shape(x)[1];
                    let y = net.conv(x, c, 3, 1);
                    let y = net.per_channel(y, BinaryKind::Add);
                    let y = if net.random.below(2) == 0 { net.activation(y) } else { y };
                    let y = net.binary(BinaryKind::Add, x, y);
                    net.activation(y)
                }
                8 => {
                    let a = net.conv(x, width, 1, 1);
                    let b = net.conv(x, 16, 3, 1);
                    let both = net.add(Concat { axis: 1 }, &[x, a, b]);
                    open.push(a);
                    both
                }
                9 => net.excite(x),
                10 => {
                    let kind = net.random.one_of(&[
                        BinaryKind::Multiply,
                        BinaryKind::Subtract,
                        BinaryKind::Maximum,
                        BinaryKind::SquaredDifference,
                    ]);
                    net.per_channel(x, kind)
                }
                _ => {
                    let half = net.conv(x, 32, 1, 1);
                    let axis = net.integers(&[1]);
                    let op = net.model.add("split", Split { num_splits: 2 }, &[half, axis]).unwrap();
                    let right = net.activation(op.output(1));
                    net.binary(BinaryKind::Add, op.output(0), right)
                }
            };
        }
        if net.random.below(2) == 0 {
            let [n, c] = [net.shape(x)[0], net.shape(x)[1]];
            let axes = net.integers(&[2, 3]);
            let y = net.add(Reduce { kind: ReduceKind::Mean, keep_dims: false }, &[x, axes]);
            let weights = net.constant(&[c, 13]);
            let y = net.add(MatMul::default(), &[y, weights]);
            let bias = net.constant(&[1, 13]);
            let y = net.binary(BinaryKind::Add, y, bias);
            let y = net.add(Softmax { axis: 1 }, &[y]);
            assert_eq!(net.shape(y), [n, 13]);
            net.result(y);
        }
        for port in open.into_iter().take(1) {
            net.result(port);
        }
        net.result(x);
        check(&mut net, &format!("seed {seed}"));
    }
}

#[test]
fn a_residual_block_is_three_steps() {
    let mut net = Net::new(5);
    let x = net.input("[1,16,8,8]");
    let a = net.conv(x, 16, 3, 1);
    let a = net.batch_norm(a);
    let a = net.add(Unary::Relu, &[a]);
    let b = net.conv(a, 16, 3, 1);
    let b = net.per_channel(b, BinaryKind::Add);
    let sum = net.binary(BinaryKind::Add, b, x);
    let y = net.add(Unary::Relu, &[sum]);
    net.result(y);
    let profile = check(&mut net, "block");
    let ran: Vec<&str> =
        profile.iter().filter(|r| r.status == LayerStatus::Executed).map(|r| &*r.layer_type).collect();
    assert_eq!(ran, ["Reorder", "Convolution", "Convolution", "Reorder"]);
    let gone = profile.iter().filter(|row| row.status == LayerStatus::OptimizedOut).count();
    assert_eq!(gone, 5);
}

#[test]
fn dense_blocks_are_never_copied() {
    let mut net = Net::new(6);
    let x = net.input("[1,32,6,6]");
    let mut x = net.conv(x, 32, 1, 1);
    for _ in 0..4 {
        let y = net.batch_norm(x);
        let y = net.add(Unary::Relu, &[y]);
        let y = net.conv(y, 16, 3, 1);
        x = net.add(Concat { axis: 1 }, &[x, y]);
    }
    net.result(x);
    let profile = check(&mut net, "dense");
    assert!(profile.iter().all(|row| row.exec_type != "copy_any"), "{profile:?}");
}

#[test]
fn any_shapes_broadcast() {
    for (a, b) in [
        ("[2,3,4,5]", "[5]"),
        ("[3,1,5]", "[2,1,4,1]"),
        ("[4]", "[4]"),
        ("[1]", "[2,2]"),
        ("[2,16,3,1]", "[1,16,1,4]"),
        ("[2,3]", "[1]"),
    ] {
        let mut net = Net::new(13);
        let (a, b) = (net.input(a), net.input(b));
        for kind in [BinaryKind::Subtract, BinaryKind::Multiply, BinaryKind::Maximum, BinaryKind::Power] {
            let a = net.add(Unary::Abs, &[a]);
            let y = net.binary(kind, a, b);
            let y = net.add(Unary::Relu, &[y]);
            net.result(y);
        }
        check(&mut net, "broadcast");
    }
}

#[test]
fn odd_ends() {
    // An input that is an output, a constant that is one, one value twice, a view of an input, an empty tensor.
    let mut net = Net::new(7);
    let x = net.input("[2,3]");
    let c = net.constant(&[4]);
    let shape = net.integers(&[6]);
    let flat = net.add(Reshape { special_zero: false }, &[x, shape]);
    let twice = net.binary(BinaryKind::Add, x, x);
    let exp = net.add(Unary::Exp, &[flat]);
    let turned = net.transpose(x, &[1, 0]);
    let sine = net.add(Unary::Sin, &[turned]);
    for port in [x, c, flat, twice, twice, exp, turned, sine] {
        net.result(port);
    }
    let empty = net.input("[0,3]");
    let relu = net.add(Unary::Relu, &[empty]);
    net.result(relu);
    check(&mut net, "odd ends");
}

#[test]
fn an_image_is_prepared_by_the_first_convolution() {
    for (channels_last, dtype, before) in
        [(true, ElementType::U8, true), (true, ElementType::F32, false), (false, ElementType::U8, false)]
    {
        let mut net = Net::new(9);
        let shape = if channels_last { "[2,9,11,3]" } else { "[2,3,9,11]" };
        let mut x: Port = net.model.add_parameter("x", dtype, shape.parse().unwrap()).into();
        if dtype == ElementType::U8 {
            x = net.add(Convert::to(ElementType::F32), &[x]);
        }
        if channels_last && before {
            let mean = net.constant(&[3]);
            x = net.binary(BinaryKind::Subtract, x, mean);
        }
        if channels_last {
            x = net.transpose(x, &[0, 3, 1, 2]);
        }
        let scale =
            net.model.add_constant("s", Tensor::from_slice(&[1, 3, 1, 1], &[0.01f32, 0.02, 0.03]).unwrap());
        x = net.binary(BinaryKind::Multiply, x, scale.into());
        let (begin, end) = (net.integers(&[0, 0, 1, 1]), net.integers(&[0, 0, 2, 0]));
        x = net.add(Pad { pad_mode: PadMode::Constant }, &[x, begin, end]);
        let weights = net.constant(&[24, 3, 3, 3]);
        x = net.add(window(2), &[x, weights]);
        x = net.add(Unary::Relu, &[x]);
        net.result(x);
        let profile = check(&mut net, "image");
        let ran = profile.iter().filter(|row| row.status == LayerStatus::Executed).count();
        assert_eq!(ran, 2, "the convolution, and the reorder behind it");
    }
}

#[test]
fn products_take_what_follows() {
    for (rows, transpose_b, half) in [(1, false, true), (3, true, true), (4, false, false), (2, true, false)]
    {
        let mut net = Net::new(10);
        let x = net.input(&format!("[{rows},2,37]"));
        let shape = if transpose_b { [21, 37] } else { [37, 21] };
        let numbers = net.random.tensor(&shape);
        let weights: Port = if half {
            let numbers = Tensor::from_f64s(ElementType::F16, &shape, &numbers.to_f64s()).unwrap();
            let stored = net.model.add_constant("w", numbers);
            net.add(Convert::to(ElementType::F32), &[stored.into()])
        } else {
            net.model.add_constant("w", numbers).into()
        };
        let y = net.add(MatMul { transpose_a: false, transpose_b }, &[x, weights]);
        let bias = net.constant(&[21]);
        let y = net.binary(BinaryKind::Add, y, bias);
        let y = net.add(Unary::Tanh, &[y]);
        let z = net.add(MatMul { transpose_a: false, transpose_b }, &[x, weights]);
        let scale = net.constant(&[1, 1, 21]);
        let z = net.binary(BinaryKind::Multiply, z, scale);
        let sum = net.binary(BinaryKind::Add, y, z);
        let sum = net.add(Unary::Relu, &[sum]);
        net.result(sum);
        check(&mut net, "product");
    }
}

#[test]
fn images_of_a_batch_give_the_bits_of_each_alone() {
    let network = |batch: usize| {
        let mut net = Net::new(17);
        let image = net.input(&format!("[{batch},3,20,20]"));
        // The stem and what is pooled, a pair, a residual block, and one that is there before and after other steps.
        let x = net.conv(image, 16, 3, 2);
        let x = net.add(Unary::Relu, &[x]);
        let kept = net.conv(x, 16, 1, 1);
        let x = net.depthwise(kept, 3, 1);
        let x = net.conv(x, 16, 1, 1);
        let x = net.binary(BinaryKind::Add, x, kept);
        let y = net.conv(x, 16, 3, 1);
        let y = net.add(Unary::Relu, &[y]);
        let x = net.binary(BinaryKind::Add, x, y);
        let op = MaxPool { strides: vec![2; 2], kernel: vec![2; 2], ..MaxPool::default() };
        let less = net.add(MaxPool { pads_begin: vec![0; 2], pads_end: vec![0; 2], ..op }, &[x]);
        let z = net.conv(less, 33, 1, 1);
        let z = net.conv(z, 16, 1, 1);
        let again = net.conv(kept, 16, 1, 2);
        let z = net.add(Concat { axis: 1 }, &[z, again]);
        let z = net.conv(z, 7, 1, 1);
        net.result(z);
        net.result(x);
        net
    };
    let (mut all, alone) = (network(5), network(1));
    check(&mut all, "a batch");
    let input = all.random.tensor(&[5, 3, 20, 20]);
    for isa in Isa::available() {
        let (whole, _) = run(isa, 2, &all.model, std::slice::from_ref(&input));
        for i in 0..5 {
            let len = input.bytes().len() / 5;
            let image = input.bytes().slice(i * len..(i + 1) * len);
            let image = Tensor::new(ElementType::F32, vec![1, 3, 20, 20], image).unwrap();
            let (own, _) = run(isa, 1, &alone.model, &[image]);
            for (whole, own) in whole.iter().zip(&own) {
                assert_eq!(&whole[i * own.len()..][..own.len()], own, "{}, image {i}", isa.name());
            }
        }
    }
}

#[test]
fn each_batch_has_its_plan() {
    let mut net = Net::new(11);
    let x = net.input("[?,3,8,8]");
    let weights = net.constant(&[8, 3, 3, 3]);
    let y = net.add(window(1), &[x, weights]);
    let y = net.add(Unary::Relu, &[y]);
    net.result(y);
    let settings = Settings::parse(&Config::new()).unwrap();
    let plans = Plans::new(&net.model, settings, &Default::default()).unwrap();
    let mut stream = Stream { number: 0, pool: Pool::new(1), arena: Arena::default() };
    for batch in [1usize, 3, 2, 3, 20, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2] {
        let input = net.random.tensor(&[batch, 3, 8, 8]);
        let plan = plans.plan(&[input.shape()]).unwrap().expect("a plan");
        assert_eq!(plan.answers()[0].shape, [batch, 8, 6, 6]);
        let mut answer = ir::aligned_zeros(plan.output_bytes(0));
        let places = &mut [&mut answer[..]];
        plan.run(&[input.bytes()], places, &mut stream, &AtomicBool::new(false), None).unwrap();
        let expected = ir::evaluate(&net.model, &[input]).unwrap()[0].to_f64s();
        let found: &[f32] = bytemuck::cast_slice(&answer);
        assert!(found.iter().zip(expected).all(|(x, y)| (f64::from(*x) - y).abs() < 1e-5));
        let again = plans.plan(&[&[batch, 3, 8, 8]]).unwrap().expect("a plan");
        assert!(std::sync::Arc::ptr_eq(&plan, &again));
    }
}

#[test]
fn shapes_that_depend_on_data_are_left_to_the_reference() {
    let mut net = Net::new(12);
    let x = net.input("[4]");
    let indices = net.add(NonZero::default(), &[x]);
    net.result(indices);
    let settings = Settings::parse(&Config::new()).unwrap();
    let plans = Plans::new(&net.model, settings, &Default::default()).unwrap();
    assert!(plans.plan(&[&[4]]).unwrap().is_none());
    let x = Tensor::from_slice(&[4], &[0.0f32, 1.0, 0.0, 2.0]).unwrap();
    let answers = plans.interpret(&[x], &AtomicBool::new(false), None, 0).unwrap();
    assert_eq!(answers[0].to_i64s(), [1, 3]);
}

#[test]
fn a_cancelled_run_ends_between_steps() {
    let mut net = Net::new(8);
    let x = net.input("[1,3,4,4]");
    let y = net.conv(x, 8, 3, 1);
    net.result(y);
    let settings = Settings::parse(&Config::new()).unwrap();
    let plan = lower_for(Isa::best(), &net.model, &settings, &Default::default()).unwrap().unwrap();
    let mut stream = Stream { number: 0, pool: Pool::new(1), arena: Arena::default() };
    let (x, mut y) = (ir::aligned_zeros(192), ir::aligned_zeros(512));
    let error = plan.run(&[&x], &mut [&mut y], &mut stream, &AtomicBool::new(true), None).unwrap_err();
    assert!(matches!(error, ir::device::DeviceError::Cancelled));
}

/// `ZOO=/work/cache/zoo/ov/resnet50_fp32 cargo test --release -p plugin-cpu zoo -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn zoo() {
    let path = std::env::var("ZOO").expect("ZOO names an IR without its extension");
    let threads = std::env::var("THREADS").map_or(1, |n| n.parse().unwrap());
    let start = std::time::Instant::now();
    let model = ir::read_ir(std::path::Path::new(&format!("{path}.xml"))).unwrap();
    let read = start.elapsed();
    let settings = Settings::parse(&Config::new()).unwrap();
    let start = std::time::Instant::now();
    let plan = lower_for(Isa::best(), &model, &settings, &Default::default()).unwrap().unwrap();
    let compiled = start.elapsed();
    let mut stream = Stream { number: 0, pool: Pool::new(threads), arena: Arena::default() };
    let mut random = Random(1);
    let inputs: Vec<Tensor> = model
        .parameters()
        .iter()
        .map(|id| random.tensor(&model.ty((*id).into()).shape.sizes().unwrap()))
        .collect();
    let views: Vec<&[u8]> = inputs.iter().map(|t| &t.bytes()[..]).collect();
    let mut answers: Vec<ir::AlignedBytes> =
        (0..plan.answers().len()).map(|i| ir::aligned_zeros(plan.output_bytes(i))).collect();
    let mut best: Vec<ProfileRow> = Vec::new();
    let mut least = std::time::Duration::MAX;
    for _ in 0..30 {
        let mut places: Vec<&mut [u8]> = answers.iter_mut().map(|bytes| &mut bytes[..]).collect();
        let mut profile = Vec::new();
        let start = std::time::Instant::now();
        plan.run(&views, &mut places, &mut stream, &AtomicBool::new(false), Some(&mut profile)).unwrap();
        least = least.min(start.elapsed());
        if best.is_empty() {
            best = profile;
        } else {
            for (best, new) in best.iter_mut().zip(profile) {
                best.real_time = best.real_time.min(new.real_time);
            }
        }
    }
    let sum: std::time::Duration = best.iter().map(|row| row.real_time).sum();
    println!("read {read:?}, compile {compiled:?}, run {least:?}, least of each layer {sum:?}");
    let mut kinds = std::collections::BTreeMap::new();
    for row in best.iter().filter(|row| row.status == LayerStatus::Executed) {
        let kind: &mut (usize, std::time::Duration) =
            kinds.entry((row.layer_type.clone(), row.exec_type.clone())).or_default();
        kind.0 += 1;
        kind.1 += row.real_time;
    }
    for ((layer, kernel), (count, time)) in kinds {
        println!("{time:>12.1?} {count:>4} x {layer} {kernel}");
    }
    best.sort_by_key(|row| std::cmp::Reverse(row.real_time));
    for row in best.iter().take(12) {
        println!("    {:>10.1?} {} {} {}", row.real_time, row.name, row.layer_type, row.exec_type);
    }
}
