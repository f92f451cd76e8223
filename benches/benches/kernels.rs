//! The kernels of the CPU device, one layer each, on one thread: GFLOP/s or GB/s, and how much that is of what the
//! machine did at the most in the same run.

use benches::{layer::Layer, peaks::Peaks};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ir::{
    Op, Tensor,
    op::{
        AvgPool, Binary, BinaryKind, Convolution, GroupConvolution, MatMul, MaxPool, Reduce, ReduceKind,
        Softmax, Swish, Transpose, Unary,
    },
};
use std::{cell::Cell, sync::OnceLock, time::Duration};

/// The machine's limits, measured once; nothing where benches are only tested.
fn peaks() -> Option<&'static Peaks> {
    static PEAKS: OnceLock<Peaks> = OnceLock::new();
    let measures =
        std::env::args().any(|arg| arg == "--bench") && !std::env::args().any(|arg| arg == "--test");
    measures.then(|| PEAKS.get_or_init(|| Peaks::measure(1)))
}

/// A layer of a family: its name, its op, the shape of its data, those of its constants, given constants.
struct Case {
    name: &'static str,
    op: Op,
    data: Vec<usize>,
    constants: Vec<Vec<usize>>,
    tensors: Vec<Tensor>,
}

fn case(name: &'static str, op: impl Into<Op>, data: &[usize], constants: &[&[usize]]) -> Case {
    let constants = constants.iter().map(|shape| shape.to_vec()).collect();
    Case { name, op: op.into(), data: data.to_vec(), constants, tensors: vec![] }
}

fn with_tensor(case: Case, tensor: Tensor) -> Case {
    Case { tensors: vec![tensor], ..case }
}

fn measure(c: &mut Criterion, family: &str, cases: Vec<Case>) {
    let mut group = c.benchmark_group(family);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400));
    for case in cases {
        let constants: Vec<&[usize]> = case.constants.iter().map(Vec::as_slice).collect();
        let layer = Layer::new(case.op, &case.data, &constants, case.tensors);
        let mut layer = layer.unwrap_or_else(|error| panic!("{family}, {}: {error:#}", case.name));
        let (flops, bytes) = (layer.work.flops, layer.work.activations + layer.work.weights);
        group.throughput(if flops > 0 { Throughput::Elements(flops) } else { Throughput::Bytes(bytes) });
        let fastest = Cell::new(f64::INFINITY);
        group.bench_function(BenchmarkId::from_parameter(case.name), |bencher| {
            bencher.iter_custom(|count| {
                let time: Duration = (0..count).map(|_| layer.run().expect("it ran before")).sum();
                fastest.set(fastest.get().min(time.as_secs_f64() / count as f64));
                time
            });
        });
        let (Some(peaks), true) = (peaks(), fastest.get().is_finite()) else { continue };
        let memory = peaks.bandwidth(bytes as usize);
        let (amount, unit, peak) =
            if flops > 0 { (flops as f64, "GFLOP/s", peaks.flops) } else { (bytes as f64, "GB/s", memory) };
        let rate = amount / fastest.get();
        println!(
            "{:24}{:.1} {unit} at best, {:.0} % of {:.0} ({}, {})\n",
            "",
            rate / 1e9,
            100.0 * rate / peak,
            peak / 1e9,
            layer.exec,
            peaks.isa
        );
    }
    group.finish();
}

fn convolution(stride: usize, pads: [i64; 2]) -> Convolution {
    Convolution {
        strides: vec![stride; 2],
        pads_begin: pads.to_vec(),
        pads_end: pads.to_vec(),
        dilations: vec![1; 2],
        ..Convolution::default()
    }
}

fn depthwise(stride: usize, pad: i64) -> GroupConvolution {
    GroupConvolution {
        strides: vec![stride; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        dilations: vec![1; 2],
        ..GroupConvolution::default()
    }
}

fn convolutions_1x1(c: &mut Criterion) {
    let one = |stride| convolution(stride, [0, 0]);
    measure(
        c,
        "convolution 1x1",
        vec![
            case("64x56x56 to 256", one(1), &[1, 64, 56, 56], &[&[256, 64, 1, 1]]),
            case("256x14x14 to 1024", one(1), &[1, 256, 14, 14], &[&[1024, 256, 1, 1]]),
            case("2048x7x7 to 512", one(1), &[1, 2048, 7, 7], &[&[512, 2048, 1, 1]]),
            case("96x56x56 to 24", one(1), &[1, 96, 56, 56], &[&[24, 96, 1, 1]]),
            case("1024x14x14 to 2048 stride 2", one(2), &[1, 1024, 14, 14], &[&[2048, 1024, 1, 1]]),
        ],
    );
}

fn convolutions_3x3(c: &mut Criterion) {
    let three = |stride| convolution(stride, [1, 1]);
    measure(
        c,
        "convolution 3x3",
        vec![
            case("64x56x56 to 64", three(1), &[1, 64, 56, 56], &[&[64, 64, 3, 3]]),
            case("256x14x14 to 256", three(1), &[1, 256, 14, 14], &[&[256, 256, 3, 3]]),
            case("512x7x7 to 512", three(1), &[1, 512, 7, 7], &[&[512, 512, 3, 3]]),
            case("256x56x56 to 256", three(1), &[1, 256, 56, 56], &[&[256, 256, 3, 3]]),
            case("128x56x56 to 128 stride 2", three(2), &[1, 128, 56, 56], &[&[128, 128, 3, 3]]),
            case("1x7, 192x17x17 to 192", convolution(1, [0, 3]), &[1, 192, 17, 17], &[&[192, 192, 1, 7]]),
        ],
    );
}

fn depthwise_convolutions(c: &mut Criterion) {
    measure(
        c,
        "depthwise",
        vec![
            case("3x3 32x112x112", depthwise(1, 1), &[1, 32, 112, 112], &[&[32, 1, 1, 3, 3]]),
            case("3x3 512x14x14", depthwise(1, 1), &[1, 512, 14, 14], &[&[512, 1, 1, 3, 3]]),
            case("3x3 96x112x112 stride 2", depthwise(2, 1), &[1, 96, 112, 112], &[&[96, 1, 1, 3, 3]]),
            case("5x5 240x28x28", depthwise(1, 2), &[1, 240, 28, 28], &[&[240, 1, 1, 5, 5]]),
            case("5x5 672x14x14 stride 2", depthwise(2, 2), &[1, 672, 14, 14], &[&[672, 1, 1, 5, 5]]),
        ],
    );
}

fn stems(c: &mut Criterion) {
    measure(
        c,
        "stem",
        vec![
            case("7x7 to 64 stride 2", convolution(2, [3, 3]), &[1, 3, 224, 224], &[&[64, 3, 7, 7]]),
            case("3x3 to 32 stride 2", convolution(2, [1, 1]), &[1, 3, 224, 224], &[&[32, 3, 3, 3]]),
            case("3x3 to 64", convolution(1, [1, 1]), &[1, 3, 224, 224], &[&[64, 3, 3, 3]]),
        ],
    );
}

fn dense(c: &mut Criterion) {
    let product = || MatMul { transpose_a: false, transpose_b: true };
    measure(
        c,
        "dense",
        vec![
            case("2048 to 1000", product(), &[1, 2048], &[&[1000, 2048]]),
            case("25088 to 4096", product(), &[1, 25088], &[&[4096, 25088]]),
            case("16 x 2048 to 1000", product(), &[16, 2048], &[&[1000, 2048]]),
        ],
    );
}

fn pooling(c: &mut Criterion) {
    let max = |kernel: usize, stride: usize, pad: i64| MaxPool {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        ..MaxPool::default()
    };
    let average = AvgPool {
        kernel: vec![3; 2],
        strides: vec![1; 2],
        pads_begin: vec![1; 2],
        pads_end: vec![1; 2],
        exclude_pad: true,
        ..AvgPool::default()
    };
    measure(
        c,
        "pooling",
        vec![
            case("max 3x3 stride 2, 64x112x112", max(3, 2, 1), &[1, 64, 112, 112], &[]),
            case("max 2x2 stride 2, 128x112x112", max(2, 2, 0), &[1, 128, 112, 112], &[]),
            case("average 3x3, 288x35x35", average, &[1, 288, 35, 35], &[]),
            with_tensor(
                case("global average, 2048x7x7", Reduce::new(ReduceKind::Mean), &[1, 2048, 7, 7], &[]),
                Tensor::from_i64s(&[2, 3]),
            ),
        ],
    );
}

fn elementwise(c: &mut Criterion) {
    let shape = [1, 256, 56, 56];
    measure(
        c,
        "elementwise",
        vec![
            case("add a tensor", Binary::new(BinaryKind::Add), &shape, &[&shape]),
            case("multiply by channel", Binary::new(BinaryKind::Multiply), &shape, &[&[1, 256, 1, 1]]),
            case("sigmoid", Unary::Sigmoid, &shape, &[]),
            case("swish", Swish, &shape, &[]),
            case("tanh", Unary::Tanh, &shape, &[]),
            case("exp", Unary::Exp, &shape, &[]),
            case("erf", Unary::Erf, &shape, &[]),
        ],
    );
}

fn softmax(c: &mut Criterion) {
    measure(
        c,
        "softmax",
        vec![
            case("1x1000", Softmax { axis: 1 }, &[1, 1000], &[]),
            case("128x1000", Softmax { axis: 1 }, &[128, 1000], &[]),
            case("channels of 21x128x128", Softmax { axis: 1 }, &[1, 21, 128, 128], &[]),
        ],
    );
}

fn layouts(c: &mut Criterion) {
    let turn = |name, order: &[i64], data: &[usize]| {
        with_tensor(case(name, Transpose, data, &[]), Tensor::from_i64s(order))
    };
    measure(
        c,
        "layout",
        vec![
            turn("NCHW to NHWC, 64x112x112", &[0, 2, 3, 1], &[1, 64, 112, 112]),
            turn("NHWC to NCHW, 224x224x3", &[0, 3, 1, 2], &[1, 224, 224, 3]),
            turn("rows and columns of 1024x1024", &[1, 0], &[1024, 1024]),
        ],
    );
}

criterion_group!(
    kernels,
    convolutions_1x1,
    convolutions_3x3,
    depthwise_convolutions,
    stems,
    dense,
    pooling,
    elementwise,
    softmax,
    layouts
);
criterion_main!(kernels);
