//! What single ops reach, beside nothing else. `OPS=FOLDER` writes their IRs there, for other engines to run:
//! `cargo test --release -p plugin-cpu speed_of_ops -- --ignored --nocapture`.

use super::{
    lower_for,
    tests::{Net, Random},
};
use crate::{arena::Arena, config::Settings, isa::Isa, pool::Pool, stream::Stream};
use ir::{Op, PartialShape, Port, Tensor, device::Config, op::*};
use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

/// An op to measure: its name, the network, operations.
struct Subject(&'static str, Net, f64);

fn data(net: &mut Net, shape: &[usize]) -> Port {
    let name = format!("x{}", net.model.parameters().len());
    net.model.add_parameter(name, ir::ElementType::F32, PartialShape::fixed(shape)).into()
}

fn subject(name: &'static str, operations: f64, make: impl FnOnce(&mut Net) -> Port) -> Subject {
    let mut net = Net::new(1);
    let y = make(&mut net);
    net.result(y);
    Subject(name, net, operations)
}

fn deconvolution(net: &mut Net, [c, o, side]: [usize; 3], kernel: usize, stride: usize, pad: i64) -> Port {
    let x = data(net, &[1, c, side, side]);
    let weights = net.constant(&[c, o, kernel, kernel]);
    let op = ConvolutionBackpropData {
        strides: vec![stride; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        dilations: vec![1; 2],
        ..Default::default()
    };
    net.add(op, &[x, weights])
}

fn volume(net: &mut Net, [c, o, side]: [usize; 3]) -> Port {
    let x = data(net, &[1, c, side, side, side]);
    let weights = net.constant(&[o, c, 3, 3, 3]);
    let op = Convolution {
        strides: vec![1; 3],
        pads_begin: vec![1; 3],
        pads_end: vec![1; 3],
        dilations: vec![1; 3],
        auto_pad: AutoPad::Explicit,
    };
    net.add(op, &[x, weights])
}

fn product(net: &mut Net, a: &[usize], b: &[usize], transpose_b: bool) -> Port {
    let (a, b) = (data(net, a), data(net, b));
    net.add(MatMul { transpose_a: false, transpose_b }, &[a, b])
}

fn resize(net: &mut Net, mode: InterpolateMode, shape: &[usize], sizes: [i64; 2]) -> Port {
    let x = data(net, shape);
    let (sizes, axes) = (net.integers(&sizes), net.integers(&[2, 3]));
    net.add(Interpolate { mode, ..Interpolate::new(InterpolateForm::SizesOrScales) }, &[x, sizes, axes])
}

fn with_axes(net: &mut Net, op: impl Into<Op>, shape: &[usize], axes: &[i64]) -> Port {
    let x = data(net, shape);
    let axes = net.integers(axes);
    net.add(op, &[x, axes])
}

fn subjects() -> Vec<Subject> {
    use InterpolateMode::*;
    let map = [1, 64, 112, 112];
    vec![
        subject("deconv_64_32_k4s2", 2.0 * 64.0 * 32.0 * 16.0 * 4096.0, |net| {
            deconvolution(net, [64, 32, 64], 4, 2, 1)
        }),
        subject("deconv_256_128_k2s2", 2.0 * 256.0 * 128.0 * 4.0 * 784.0, |net| {
            deconvolution(net, [256, 128, 28], 2, 2, 0)
        }),
        subject("deconv_128_64_k3s2", 2.0 * 128.0 * 64.0 * 9.0 * 1024.0, |net| {
            deconvolution(net, [128, 64, 32], 3, 2, 1)
        }),
        subject("conv3d_16_32", 2.0 * 16.0 * 32.0 * 27.0 * 4096.0 * 8.0, |net| volume(net, [16, 32, 32])),
        subject("conv3d_3_16", 2.0 * 3.0 * 16.0 * 27.0 * 4096.0 * 8.0, |net| volume(net, [3, 16, 32])),
        subject("matmul_qk", 2.0 * 12.0 * 197.0 * 197.0 * 64.0, |net| {
            product(net, &[1, 12, 197, 64], &[1, 12, 197, 64], true)
        }),
        subject("matmul_sv", 2.0 * 12.0 * 197.0 * 197.0 * 64.0, |net| {
            product(net, &[1, 12, 197, 197], &[1, 12, 197, 64], false)
        }),
        subject("matmul_512", 2.0 * 512.0f64.powi(3), |net| product(net, &[512, 512], &[512, 512], false)),
        subject("matmul_row", 2.0 * 1024.0 * 1024.0, |net| product(net, &[1, 1024], &[1024, 1024], true)),
        subject("linear_2x", 0.0, |net| resize(net, LinearOnnx, &[1, 64, 56, 56], [112, 112])),
        subject("nearest_2x", 0.0, |net| resize(net, Nearest, &[1, 64, 56, 56], [112, 112])),
        subject("cubic_2x", 0.0, |net| resize(net, Cubic, &[1, 64, 56, 56], [112, 112])),
        subject("mvn_spatial", 0.0, |net| with_axes(net, Mvn::default(), &map, &[2, 3])),
        subject("mvn_last", 0.0, |net| with_axes(net, Mvn::default(), &[1, 197, 768], &[2])),
        subject("lrn", 0.0, |net| with_axes(net, Lrn::default(), &[1, 64, 56, 56], &[1])),
        subject("normalize_l2", 0.0, |net| with_axes(net, NormalizeL2::default(), &[1, 512, 38, 38], &[1])),
        subject("pad", 0.0, |net| {
            let x = data(net, &map);
            let (begin, end) = (net.integers(&[0, 0, 3, 3]), net.integers(&[0, 0, 3, 3]));
            net.add(Pad { pad_mode: PadMode::Reflect }, &[x, begin, end])
        }),
        subject("depth_to_space", 0.0, |net| {
            let x = data(net, &[1, 64, 112, 112]);
            net.add(DepthToSpace { mode: DepthMode::BlocksFirst, block_size: 2 }, &[x])
        }),
        subject("transpose", 0.0, |net| {
            let x = data(net, &map);
            let x = net.transpose(x, &[0, 2, 3, 1]);
            net.transpose(x, &[0, 1, 2, 3])
        }),
        subject("layer_norm_scale", 0.0, |net| {
            let (x, y) = (data(net, &[1, 197, 768]), data(net, &[768]));
            net.binary(BinaryKind::Multiply, x, y)
        }),
        subject("tile", 0.0, |net| {
            let (x, repeats) = (data(net, &[1, 64, 56, 56]), net.integers(&[1, 1, 2, 2]));
            net.add(Tile, &[x, repeats])
        }),
        subject("slice_step", 0.0, |net| {
            let x = data(net, &map);
            let [begin, end, step] = [[0, 0], [112, 112], [2, 2]].map(|v| net.integers(&v));
            let axes = net.integers(&[2, 3]);
            net.add(Slice, &[x, begin, end, step, axes])
        }),
        subject("power", 0.0, |net| {
            let x = data(net, &map);
            let x = net.add(Unary::Abs, &[x]);
            let exponent = net.model.add_constant("e", Tensor::scalar(0.7f32)).into();
            net.binary(BinaryKind::Power, x, exponent)
        }),
        subject("greater_select", 0.0, |net| {
            let (x, y) = (data(net, &map), data(net, &map));
            let more = net.binary(BinaryKind::Greater, x, y);
            net.add(Select::default(), &[more, x, y])
        }),
        subject("fake_quantize", 0.0, |net| {
            let x = data(net, &map);
            let limits = [-1.0f32, 1.0, -1.0, 1.0]
                .map(|limit| net.model.add_constant("limit", Tensor::scalar(limit)).into());
            net.add(FakeQuantize { levels: 256 }, &[x, limits[0], limits[1], limits[2], limits[3]])
        }),
    ]
}

#[test]
#[ignore = "measures"]
fn speed_of_ops() {
    let folder = std::env::var("OPS").ok();
    let filter = std::env::var("OP").unwrap_or_default();
    let settings = Settings::parse(&Config::new()).unwrap();
    for Subject(name, net, operations) in subjects().into_iter().filter(|subject| subject.0.contains(&filter))
    {
        let model = &net.model;
        if let Some(folder) = &folder {
            ir::write_ir(model, std::path::Path::new(folder).join(format!("{name}.xml"))).unwrap();
        }
        let plan = lower_for(Isa::best(), model, &settings, &Default::default()).unwrap().unwrap();
        let mut random = Random::new(1);
        let inputs: Vec<Tensor> =
            model.parameters().iter().map(|id| random.input(model.ty((*id).into()))).collect();
        let views: Vec<&[u8]> = inputs.iter().map(|tensor| &tensor.bytes()[..]).collect();
        let mut answer = ir::aligned_zeros(plan.output_bytes(0));
        let mut stream = Stream { number: 0, pool: Pool::new(1), arena: Arena::default() };
        let bytes = views.iter().map(|view| view.len()).sum::<usize>() + answer.len();
        let mut profile = Vec::new();
        let (mut least, begun) = (Duration::MAX, Instant::now());
        while begun.elapsed() < Duration::from_millis(300) {
            let start = Instant::now();
            plan.run(&views, &mut [&mut answer], &mut stream, &AtomicBool::new(false), Some(&mut profile))
                .unwrap();
            least = least.min(start.elapsed());
        }
        let kernels: Vec<&str> =
            profile.iter().map(|row| &*row.exec_type).filter(|t| *t != "undef").collect();
        let seconds = least.as_secs_f64();
        let rate = match operations {
            0.0 => format!("{:6.1} GB/s", bytes as f64 / seconds / 1e9),
            operations => format!("{:6.1} GFLOP/s", operations / seconds / 1e9),
        };
        println!("{name:<22} {:>8.1} us {rate:>14}  {}", seconds * 1e6, kernels.join(" "));
    }
}
