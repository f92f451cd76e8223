//! Convolutions on every instruction set against the sum as the definition writes it.

use super::{
    conv::{Addend, Algorithm, Blocked, BlockedMut, Conv, ConvShape, Size},
    conv_image::{ImageConv, ImageLayout, Pixels},
    post::{Activation, PostOps, Sum},
};
use crate::{isa::Isa, pool::Pool};

/// Numbers that a seed makes, so that a failure can be had again.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
    /// One of some.
    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
    /// Numbers in -1..1.
    pub(super) fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.below(20001) as f32 / 10000.0 - 1.0).collect()
    }
}

/// NCHW into blocks.
pub(super) fn block(isa: Isa, src: &[f32], [n, c, hw]: [usize; 3]) -> Vec<f32> {
    let b = isa.block();
    let mut out = vec![0.0; n * c.div_ceil(b) * hw * b];
    for (i, x) in src.iter().enumerate() {
        let (n, c_, p) = (i / hw / c, i / hw % c, i % hw);
        out[((n * c.div_ceil(b) + c_ / b) * hw + p) * b + c_ % b] = *x;
    }
    out
}

/// Sums in f64, NCHW.
pub(super) fn reference(shape: &ConvShape, src: &[f32], weights: &[f32]) -> Vec<f64> {
    let (ic, oc) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let [[ih, iw], [oh, ow], [kh, kw]] = [shape.input, shape.output, shape.kernel];
    let mut out = Vec::new();
    for n in 0..shape.batch {
        for c in 0..shape.out_channels {
            for y in 0..oh {
                for x in 0..ow {
                    let mut sum = 0.0;
                    for i in 0..ic {
                        let plane = (n * shape.in_channels + c / oc * ic + i) * ih;
                        for ky in 0..kh {
                            for kx in 0..kw {
                                let sy = (y * shape.stride[0] + ky * shape.dilation[0])
                                    .wrapping_sub(shape.pad_begin[0]);
                                let sx = (x * shape.stride[1] + kx * shape.dilation[1])
                                    .wrapping_sub(shape.pad_begin[1]);
                                if sy < ih && sx < iw {
                                    sum += f64::from(src[(plane + sy) * iw + sx])
                                        * f64::from(weights[((c * ic + i) * kh + ky) * kw + kx]);
                                }
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

/// A geometry at the edges of blocks and tiles.
pub(super) fn random_shape(r: &mut Random, groups: usize) -> ConvShape {
    loop {
        let channels = [1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 48];
        let kernel = [r.of(&[1, 1, 2, 3, 3, 4, 5, 7]), r.of(&[1, 1, 2, 3, 3, 4, 5, 7])];
        let stride = [1 + r.below(3), 1 + r.below(3)];
        let dilation = [1 + r.below(2), 1 + r.below(2)];
        let input = [1 + r.below(12), 1 + r.below(40)];
        // A window may lie in the padding alone.
        let pads = kernel.map(|k| [(); 2].map(|()| r.below(k.max(2))));
        let span = |i: usize| (kernel[i] - 1) * dilation[i] + 1;
        let output = [0, 1].map(|i: usize| {
            let padded = input[i] + pads[i][0] + pads[i][1];
            (padded + stride[i]).checked_sub(span(i)).map_or(0, |room| room / stride[i])
        });
        if output[0] == 0 || output[1] == 0 {
            continue;
        }
        let (in_channels, out_channels) = match groups {
            1 => (r.of(&channels), r.of(&channels)),
            _ => (groups * r.of(&[1, 3, 8, 16]), groups * r.of(&[1, 2, 8, 16])),
        };
        return ConvShape {
            batch: 1 + r.below(2),
            groups,
            in_channels,
            out_channels,
            input,
            output,
            kernel,
            stride,
            dilation,
            pad_begin: [pads[0][0], pads[1][0]],
        };
    }
}

/// The same channels under 3x3 windows at stride 1.
fn winograd_shape(r: &mut Random, shape: ConvShape) -> ConvShape {
    let input = [2 + r.below(19), 2 + r.below(40)];
    let pads = [[r.below(3), 1 + r.below(2)], [r.below(3), 1 + r.below(2)]];
    let output = [0, 1].map(|i: usize| input[i] + pads[i][0] + pads[i][1] - 2);
    let pad_begin = [pads[0][0], pads[1][0]];
    ConvShape { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], input, output, pad_begin, ..shape }
}

/// Compares a result with sums in f64 of so many terms of magnitude one at most.
#[track_caller]
pub(super) fn compare(what: &str, actual: &[f32], expected: &[f32], terms: usize) {
    compare_within(what, actual, expected, terms, 1.0);
}

/// Compares as [`compare`] does, with so many times the tolerance.
#[track_caller]
fn compare_within(what: &str, actual: &[f32], expected: &[f32], terms: usize, times: f32) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let tolerance = times * 2e-6 * (terms as f32).sqrt().max(1.0);
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * e.abs().max(1.0), "{what}: element {i} is {a}, not {e}");
    }
}

fn scalar(activation: &Activation, x: f64, channel: usize) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Clamp(lo, hi) => x.clamp(f64::from(*lo), f64::from(*hi)),
        Activation::PRelu(slopes) if x < 0.0 => x * f64::from(slopes[channel]),
        Activation::PRelu(_) => x,
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Swish(_) => x / (1.0 + (-x).exp()),
        other => unreachable!("{other:?} is tested by itself"),
    }
}

#[test]
fn random_geometry_on_every_instruction_set() {
    let mut r = Random(7);
    for case in 0..300 {
        let groups = r.of(&[1, 1, 1, 2, 3, 4, 17, 32]);
        let mut shape = random_shape(&mut r, groups);
        if groups > 4 {
            (shape.in_channels, shape.out_channels) = (groups, groups);
        }
        let mut algorithm = Algorithm::exact(&shape);
        if groups == 1 && r.below(3) == 0 {
            // Winograd's algorithm where it applies.
            shape = winograd_shape(&mut r, shape);
            algorithm = Algorithm::Winograd {
                size: r.of(&[Size::Two, Size::Four, Size::Six]),
                stored: r.below(2) == 0,
            };
        }
        let ConvShape { batch, in_channels, out_channels, .. } = shape;
        let [pixels_in, pixels] = [shape.input, shape.output].map(|[h, w]| h * w);
        let src = r.vec(batch * in_channels * pixels_in);
        let terms = in_channels / shape.groups * shape.kernel[0] * shape.kernel[1];
        let weights = r.vec(out_channels * terms);
        let bias = (r.below(3) > 0).then(|| r.vec(out_channels));
        let add = r.vec(batch * out_channels * pixels);
        let activation = match r.below(6) {
            0 => Activation::None,
            1 => Activation::Clamp(0.25, 0.75),
            2 => Activation::PRelu(r.vec(out_channels)),
            3 => Activation::Sigmoid,
            4 => Activation::Swish(1.0),
            _ => Activation::Relu,
        };
        let sum = r.of(&[Sum::None, Sum::BeforeActivation, Sum::AfterActivation]);
        let in_place = sum == Sum::BeforeActivation && r.below(2) == 0;
        let expected: Vec<f32> = reference(&shape, &src, &weights)
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let c = i / pixels % out_channels;
                let x = x + bias.as_ref().map_or(0.0, |bias| f64::from(bias[c]));
                let add = f64::from(add[i]);
                (match sum {
                    Sum::None => scalar(&activation, x, c),
                    Sum::BeforeActivation => scalar(&activation, x + add, c),
                    Sum::AfterActivation => scalar(&activation, x, c) + add,
                }) as f32
            })
            .collect();
        for isa in Isa::available() {
            let src = block(isa, &src, [batch, in_channels, pixels_in]);
            let add = block(isa, &add, [batch, out_channels, pixels]);
            let expected = block(isa, &expected, [batch, out_channels, pixels]);
            let run = |algorithm: Algorithm, threads| {
                let post = PostOps { bias: bias.clone(), sum, activation: activation.clone() };
                let conv = Conv::new(isa, shape, algorithm, &weights[..].into(), post);
                let scratch = algorithm.scratch(isa, &shape, threads);
                let mut dst = if in_place { add.clone() } else { vec![f32::NAN; expected.len()] };
                let addend = match (sum, in_place) {
                    (Sum::None, _) => Addend::None,
                    (_, true) => Addend::Output,
                    _ => Addend::Of(Blocked { data: &add, batch_stride: add.len() / batch }),
                };
                let src = Blocked { data: &src, batch_stride: src.len() / batch };
                let batch_stride = dst.len() / batch;
                let to = BlockedMut { data: &mut dst, batch_stride };
                conv.run(&mut Pool::uneven(threads), src, to, addend, &mut vec![f32::NAN; scratch]);
                dst
            };
            let what = format!("case {case} {} {algorithm:?} {shape:?} {activation:?} {sum:?}", isa.name());
            let one = run(algorithm, 1);
            let times = match algorithm {
                Algorithm::Winograd { size: Size::Four, .. } => 2.0,
                Algorithm::Winograd { size: Size::Six, .. } => 16.0,
                _ => 1.0,
            };
            compare_within(&what, &one, &expected, terms, times);
            let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let one = bits(one);
            assert!(bits(run(algorithm, 2)) == one, "{what}: two threads, other bits");
            if let Algorithm::Winograd { size, stored } = algorithm {
                let other = Algorithm::Winograd { size, stored: !stored };
                assert!(bits(run(other, 1)) == one, "{what}: bits depend on where filters are transformed");
            }
        }
    }
}

/// The largest error against sums in f64, as a part of the largest output, over 256 channels of random numbers. These
/// are the bounds that ARCHITECTURE.md states; a wrong constant in a transform is far beyond them.
#[test]
fn errors_of_winograd_are_bounded() {
    let shape = ConvShape {
        batch: 1,
        groups: 1,
        in_channels: 256,
        out_channels: 16,
        input: [24, 24],
        output: [24, 24],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pad_begin: [1, 1],
    };
    let pixels = 24 * 24;
    let winograd = |size| Algorithm::Winograd { size, stored: true };
    let bounds = [
        (Algorithm::Direct, 4e-6),
        (winograd(Size::Two), 2e-6),
        (winograd(Size::Four), 4e-6),
        (winograd(Size::Six), 3e-5),
    ];
    for seed in 1..4 {
        let mut r = Random(seed);
        let (src, weights) = (r.vec(256 * pixels), r.vec(16 * 256 * 9));
        let expected = reference(&shape, &src, &weights);
        let largest = expected.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        for isa in Isa::available() {
            let src = block(isa, &src, [1, 256, pixels]);
            for (algorithm, bound) in bounds {
                let conv = Conv::new(isa, shape, algorithm, &weights[..].into(), PostOps::default());
                let mut dst = vec![f32::NAN; 16 * pixels];
                let (src, to) = (
                    Blocked { data: &src, batch_stride: src.len() },
                    BlockedMut { data: &mut dst, batch_stride: 16 * pixels },
                );
                let mut scratch = vec![f32::NAN; algorithm.scratch(isa, &shape, 1)];
                conv.run(&mut Pool::new(1), src, to, Addend::None, &mut scratch);
                let b = isa.block();
                let at = |i: usize| ((i / pixels / b) * pixels + i % pixels) * b + i / pixels % b;
                let errors = expected.iter().enumerate().map(|(i, x)| (f64::from(dst[at(i)]) - x).abs());
                let error = errors.fold(0.0f64, f64::max) / largest;
                assert!(error <= bound, "{} {algorithm:?}: {error:.1e}, not {bound:.0e}", isa.name());
            }
        }
    }
}

#[test]
fn images_of_either_layout_and_type() {
    let mut r = Random(11);
    for case in 0..80 {
        let mut shape = random_shape(&mut r, 1);
        shape.in_channels = r.of(&[1, 2, 3, 3, 4]);
        let ConvShape { batch, in_channels, out_channels, .. } = shape;
        let [pixels_in, pixels] = [shape.input, shape.output].map(|[h, w]| h * w);
        let bytes: Vec<u8> = (0..batch * in_channels * pixels_in).map(|_| r.below(256) as u8).collect();
        let terms = in_channels * shape.kernel[0] * shape.kernel[1];
        let weights = r.vec(out_channels * terms);
        let scale: Vec<[f32; 2]> = (0..in_channels).map(|c| [1.0 / (100.0 + c as f32), -0.5]).collect();
        let floats: Vec<f32> = bytes.iter().map(|b| f32::from(*b)).collect();
        let scaled: Vec<f32> = floats
            .iter()
            .enumerate()
            .map(|(i, x)| x * scale[i / pixels_in % in_channels][0] + scale[i / pixels_in % in_channels][1])
            .collect();
        let expected: Vec<f32> =
            reference(&shape, &scaled, &weights).iter().map(|x| x.max(0.0) as f32).collect();
        let at = |i: usize| {
            let (n, p, c) = (i / in_channels / pixels_in, i / in_channels % pixels_in, i % in_channels);
            (n * in_channels + c) * pixels_in + p
        };
        let nhwc: Vec<u8> = (0..bytes.len()).map(|i| bytes[at(i)]).collect();
        let nhwc_floats: Vec<f32> = nhwc.iter().map(|b| f32::from(*b)).collect();
        for isa in Isa::available() {
            let expected = block(isa, &expected, [batch, out_channels, pixels]);
            for (layout, source) in [
                (ImageLayout::Nchw, Pixels::U8(&bytes)),
                (ImageLayout::Nhwc, Pixels::U8(&nhwc)),
                (ImageLayout::Nchw, Pixels::F32(&floats)),
                (ImageLayout::Nhwc, Pixels::F32(&nhwc_floats)),
            ] {
                let post = PostOps { activation: Activation::Relu, ..PostOps::default() };
                let conv = ImageConv::new(isa, shape, layout, &scale, &weights[..].into(), post);
                let run = |threads| {
                    let mut dst = vec![f32::NAN; expected.len()];
                    let batch_stride = dst.len() / batch;
                    let to = BlockedMut { data: &mut dst, batch_stride };
                    conv.run(&mut Pool::uneven(threads), source, to, Addend::None);
                    dst
                };
                let one = run(1);
                compare(&format!("case {case} {} {layout:?} {shape:?}", isa.name()), &one, &expected, terms);
                assert!(run(2).iter().zip(&one).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }
}

#[test]
#[ignore = "measures"]
fn speed_of_images() {
    let isa = Isa::best();
    let mut r = Random(1);
    for [side, kernel, stride, oc, pad] in
        [[224, 7, 2, 64, 3], [224, 3, 2, 32, 0], [299, 3, 2, 32, 0], [224, 3, 1, 64, 1]]
    {
        let out = (side + 2 * pad - kernel) / stride + 1;
        let shape = ConvShape {
            batch: 1,
            groups: 1,
            in_channels: 3,
            out_channels: oc,
            input: [side; 2],
            output: [out; 2],
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1, 1],
            pad_begin: [pad; 2],
        };
        let weights = r.vec(oc * 3 * kernel * kernel);
        let data = r.vec(3 * side * side);
        let bytes = vec![7u8; data.len()];
        let mut dst = vec![0.0; oc.next_multiple_of(16) * out * out];
        for (what, layout, source) in [
            ("f32 NCHW", ImageLayout::Nchw, Pixels::F32(&data)),
            ("f32 NHWC", ImageLayout::Nhwc, Pixels::F32(&data)),
            ("u8 NHWC", ImageLayout::Nhwc, Pixels::U8(&bytes)),
        ] {
            let conv = ImageConv::new(isa, shape, layout, &[], &weights[..].into(), PostOps::default());
            let mut pool = Pool::new(1);
            let best = best_of(|| {
                let batch_stride = dst.len();
                conv.run(&mut pool, source, BlockedMut { data: &mut dst, batch_stride }, Addend::None);
            });
            let flop = 2.0 * (oc * 3 * kernel * kernel * out * out) as f64;
            println!(
                "{side} {kernel}x{kernel} /{stride} {what} {:7.1} us {:6.1} GFLOP/s",
                best * 1e6,
                flop / best / 1e9
            );
        }
    }
}

/// Prints GFLOP/s of the layers that matter: `cargo test --release -p plugin-cpu speed -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn speed_of_convolution() {
    let isa = Isa::best();
    let threads = std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut pool = Pool::new(threads);
    let only = std::env::var("ONLY").unwrap_or_default();
    println!("{}, {threads} threads", isa.name());
    // Depthwise where there are no output channels.
    for [ic, oc, h, w, kh, kw, stride] in [
        [32, 0, 112, 112, 3, 3, 1],
        [96, 0, 112, 112, 3, 3, 2],
        [144, 0, 56, 56, 3, 3, 1],
        [192, 0, 28, 28, 3, 3, 1],
        [576, 0, 14, 14, 3, 3, 1],
        [960, 0, 7, 7, 3, 3, 1],
        [144, 0, 56, 56, 5, 5, 2],
        [240, 0, 28, 28, 5, 5, 1],
        [672, 0, 14, 14, 5, 5, 1],
        [1152, 0, 7, 7, 5, 5, 1],
        [64, 64, 56, 56, 1, 1, 1],
        [64, 256, 56, 56, 1, 1, 1],
        [256, 64, 56, 56, 1, 1, 1],
        [256, 128, 56, 56, 1, 1, 2],
        [128, 512, 28, 28, 1, 1, 1],
        [512, 128, 28, 28, 1, 1, 1],
        [256, 1024, 14, 14, 1, 1, 1],
        [1024, 256, 14, 14, 1, 1, 1],
        [512, 2048, 7, 7, 1, 1, 1],
        [2048, 512, 7, 7, 1, 1, 1],
        [64, 64, 56, 56, 3, 3, 1],
        [128, 128, 28, 28, 3, 3, 1],
        [256, 256, 14, 14, 3, 3, 1],
        [512, 512, 7, 7, 3, 3, 1],
        [128, 128, 56, 56, 3, 3, 2],
        [64, 64, 224, 224, 3, 3, 1],
        [256, 256, 56, 56, 3, 3, 1],
        [128, 32, 28, 28, 3, 3, 1],
        [192, 192, 17, 17, 1, 7, 1],
        [192, 192, 17, 17, 7, 1, 1],
        [48, 64, 35, 35, 5, 5, 1],
        [80, 192, 73, 73, 3, 3, 1],
        [32, 16, 112, 112, 1, 1, 1],
        [16, 96, 112, 112, 1, 1, 1],
        [144, 24, 56, 56, 1, 1, 1],
        [24, 144, 56, 56, 1, 1, 1],
        [960, 160, 7, 7, 1, 1, 1],
        [320, 1280, 7, 7, 1, 1, 1],
        [1152, 48, 1, 1, 1, 1, 1],
    ] {
        let (groups, oc) = if oc == 0 { (ic, ic) } else { (1, oc) };
        if !format!("{ic} {oc} {h} {w} {kh} {kw} {stride}").contains(&only) {
            continue;
        }
        let pad = [(kh - 1) / 2, (kw - 1) / 2];
        let output = [(h - 1) / stride + 1, (w - 1) / stride + 1];
        let shape = ConvShape {
            batch: 1,
            groups,
            in_channels: ic,
            out_channels: oc,
            input: [h, w],
            output,
            kernel: [kh, kw],
            stride: [stride, stride],
            dilation: [1, 1],
            pad_begin: pad,
        };
        let mut r = Random(1);
        let post = PostOps { bias: Some(r.vec(oc)), sum: Sum::None, activation: Activation::Relu };
        let weights = r.vec(oc * ic / groups * kh * kw);
        let data = block(isa, &r.vec(ic * h * w), [1, ic, h * w]);
        let mut dst = block(isa, &r.vec(oc * output[0] * output[1]), [1, oc, output[0] * output[1]]);
        let mut algorithms = vec![Algorithm::exact(&shape)];
        if ([kh, kw], stride) == ([3, 3], 1) && groups == 1 {
            for size in [Size::Two, Size::Four, Size::Six] {
                algorithms.extend([true, false].map(|stored| Algorithm::Winograd { size, stored }));
            }
        }
        print!("{ic:5} -> {oc:5} {h:3}x{w:3} {kh}x{kw} /{stride}");
        for algorithm in algorithms {
            if !format!("{algorithm:?}").contains(&std::env::var("ALGORITHM").unwrap_or_default()) {
                continue;
            }
            let conv = Conv::new(isa, shape, algorithm, &weights[..].into(), post.clone());
            let mut scratch = vec![0.0; algorithm.scratch(isa, &shape, pool.threads())];
            let best = best_of(|| {
                let src = Blocked { data: &data, batch_stride: data.len() };
                let batch_stride = dst.len();
                let dst = BlockedMut { data: &mut dst, batch_stride };
                conv.run(&mut pool, src, dst, Addend::None, &mut scratch);
            });
            let flop = 2.0 * (oc * ic / groups * kh * kw * output[0] * output[1]) as f64;
            print!("  {} {:7.1} us {:6.1} GFLOP/s", conv.name(), best * 1e6, flop / best / 1e9);
        }
        println!();
    }
}

/// Seconds of the fastest of many runs: short enough that other processes miss some.
pub(super) fn best_of(mut f: impl FnMut()) -> f64 {
    let start = std::time::Instant::now();
    let mut best = f64::INFINITY;
    let mut runs = 0;
    while runs < 5 || start.elapsed().as_secs_f64() < 0.3 {
        let now = std::time::Instant::now();
        f();
        best = best.min(now.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}
