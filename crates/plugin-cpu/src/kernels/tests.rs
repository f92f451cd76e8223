//! Every kernel on every instruction set of the machine, random geometry, against the ops' own `evaluate`; and the
//! same bits for any number of parts.

use super::{
    Floats, Mapped, Part, Post, Step, View,
    dense::{Dense, Panels},
    depthwise::Depthwise,
    direct::{Axis, Conv, Shape, pack_channels, pack_weights},
    eltwise::{Affine, Binary, Pair, Reach, Unary},
    layout::{Geometry, Reorder},
    pooling::{GlobalAverage, Pooling, Windows},
    post::Activation,
    softmax::Softmax,
};
use crate::{isa::Isa, memory::Memory};
use ir::{
    Op, Tensor,
    op::{self, AutoPad},
};

/// Numbers that look random, the same every time (Steele and others, SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

fn view(base: usize, batch: usize) -> View {
    View { value: 0, base, offset: 0, batch }
}

/// Runs a step on sources (bases 1..) into a destination of `len` floats (the base after them), in one, two and five
/// parts, one after the other; the bits must agree. What the step leaves alone stays NaN.
#[track_caller]
fn run(step: &dyn Step, sources: &[&[f32]], len: usize) -> Vec<f32> {
    let run = |count: usize| {
        let mut dst = vec![f32::NAN; len];
        let mut memory = Memory::default();
        memory.start(&mut []);
        for source in sources {
            memory.push_source(bytemuck::cast_slice(source));
        }
        memory.push_target(bytemuck::cast_slice_mut(&mut dst));
        for index in (0..count).rev() {
            step.run(&memory, Part { index, count });
        }
        dst
    };
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let whole = run(1);
    for count in [2, 5] {
        assert!(bits(&run(count)) == bits(&whole), "{}: other bits in {count} parts", step.name());
    }
    whole
}

#[track_caller]
fn check(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * largest, "{what}: element {i} is {a}, expected {b}");
    }
}

/// [N][C][H * W] to channel blocks; lanes beyond C hold NaN, which must go nowhere.
fn block(isa: Isa, data: &[f32], images: usize, channels: usize) -> Vec<f32> {
    let n = isa.block();
    let pixels = data.len() / images / channels;
    let blocks = channels.div_ceil(n);
    let mut out = vec![f32::NAN; images * blocks * n * pixels];
    for (i, x) in data.iter().enumerate() {
        let (image, c, p) = (i / pixels / channels, i / pixels % channels, i % pixels);
        out[((image * blocks + c / n) * pixels + p) * n + c % n] = *x;
    }
    out
}

fn unblock(isa: Isa, data: &[f32], images: usize, channels: usize, pixels: usize) -> Vec<f32> {
    let n = isa.block();
    let blocks = channels.div_ceil(n);
    let at = |i: usize| {
        let (image, c, p) = (i / pixels / channels, i / pixels % channels, i % pixels);
        data[((image * blocks + c / n) * pixels + p) * n + c % n]
    };
    (0..images * channels * pixels).map(at).collect()
}

fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_slice(shape, data).unwrap()
}

#[track_caller]
fn evaluate(op: impl Into<Op>, inputs: &[Tensor]) -> Vec<f32> {
    let outputs = op.into().operator().evaluate(inputs).unwrap();
    outputs[0].view::<f32>().unwrap().into_owned()
}

/// A random axis whose output is not empty.
fn axis(random: &mut Random, kernel: usize, stride: usize, dilation: usize) -> (Axis, usize) {
    loop {
        let input = 1 + random.below(40);
        let reach = (kernel - 1) * dilation;
        let (before, after) = (random.below(reach / 2 + 2), random.below(reach / 2 + 2));
        if input + before + after > reach {
            let output = (input + before + after - reach - 1) / stride + 1;
            return (Axis { input, output, kernel, stride, dilation, before }, after);
        }
    }
}

fn convolution(shape: &Shape, after: [usize; 2]) -> Op {
    let (r, c) = (&shape.rows, &shape.columns);
    let (strides, dilations) = (vec![r.stride, c.stride], vec![r.dilation, c.dilation]);
    let pads_begin = vec![r.before as i64, c.before as i64];
    let pads_end = after.map(|p| p as i64).to_vec();
    let auto_pad = AutoPad::Explicit;
    if shape.groups == 1 {
        return op::Convolution { strides, pads_begin, pads_end, dilations, auto_pad }.into();
    }
    op::GroupConvolution { strides, pads_begin, pads_end, dilations, auto_pad }.into()
}

/// A source with columns of zeros on both sides of each row.
fn padded(data: &[f32], columns: &mut Axis, lanes: usize) -> Vec<f32> {
    let (before, after) = (columns.before, columns.after());
    let mut out = Vec::new();
    for row in data.chunks(columns.input * lanes) {
        out.extend(std::iter::repeat_n(0.0, before * lanes));
        out.extend_from_slice(row);
        out.extend(std::iter::repeat_n(0.0, after * lanes));
    }
    columns.input += before + after;
    columns.before = 0;
    out
}

#[test]
fn convolutions_of_random_geometry() {
    for isa in Isa::available() {
        let mut random = Random(7);
        for case in 0..160 {
            let n = isa.block();
            let kernel = random.pick(&[1, 1, 2, 3, 3, 5, 7]);
            let other = if random.below(4) == 0 { random.pick(&[1, 3, 7]) } else { kernel };
            let stride = random.pick(&[1, 1, 2, 3]);
            let dilation = random.pick(&[1, 1, 1, 2]);
            let (rows, below) = axis(&mut random, kernel, stride, dilation);
            let (columns, right) = axis(&mut random, other, stride, dilation);
            let planar = random.below(4) == 0;
            let groups = if planar { 1 } else { random.pick(&[1, 1, 2]) };
            let channels = |random: &mut Random, groups: usize| match groups {
                1 => 1 + random.below(3 * n + 2),
                _ => n * (1 + random.below(2)),
            };
            let inputs = if planar { 1 + random.below(4) } else { channels(&mut random, groups) };
            let outputs = channels(&mut random, groups);
            let mut shape = Shape { images: 1 + random.below(2), groups, inputs, outputs, rows, columns };
            let what = format!("{} case {case} planar {planar} {shape:?}", isa.name());
            let pixels = rows.output * columns.output;
            let all = groups * outputs;
            let src = random.floats(shape.images * groups * inputs * rows.input * columns.input);
            let w = random.floats(all * inputs * kernel * other);
            let (scale, bias) = (random.floats(all), random.floats(all));
            let residual = random.floats(shape.images * all * pixels);
            let mut weights_shape = vec![outputs, inputs, kernel, other];
            if groups > 1 {
                weights_shape.insert(0, groups);
            }
            let sums = evaluate(
                convolution(&shape, [below, right]),
                &[
                    tensor(&[shape.images, groups * inputs, rows.input, columns.input], &src),
                    tensor(&weights_shape, &w),
                ],
            );
            let activation = random.pick(&[0, 1, 2]);
            let activation = match activation {
                0 => Activation::Relu,
                1 => Activation::Leaky(0.1),
                _ => Activation::PRelu(random.floats(all)),
            };
            let expected: Vec<f32> = (0..sums.len())
                .map(|i| {
                    let c = i / pixels % all;
                    let x = sums[i] * scale[c] + bias[c] + residual[i];
                    match &activation {
                        Activation::Leaky(slope) => {
                            if x < 0.0 {
                                x * slope
                            } else {
                                x
                            }
                        }
                        Activation::PRelu(slopes) => {
                            if x < 0.0 {
                                x * slopes[c]
                            } else {
                                x
                            }
                        }
                        _ => x.max(0.0),
                    }
                })
                .collect();
            let lanes = if planar { 1 } else { n };
            let mut blocked = if planar { src } else { block(isa, &src, shape.images, groups * inputs) };
            if planar || !Conv::skips_padding(&columns) {
                blocked = padded(&blocked, &mut shape.columns, lanes);
            }
            let out = all.div_ceil(n) * n * pixels;
            let step = Conv::new(
                isa,
                shape,
                planar,
                [view(1, blocked.len() / shape.images), view(3, out)],
                Some(view(2, out)),
                pack_weights(isa, &shape, planar, &w, &scale),
                pack_channels(isa, groups, &bias),
                Post::new(isa, &activation),
            );
            let residual = block(isa, &residual, shape.images, all);
            let found = run(&step, &[&blocked, &residual], shape.images * out);
            check(&unblock(isa, &found, shape.images, all, pixels), &expected, 1e-5, &what);
        }
    }
}

#[test]
fn a_sum_too_long_for_the_cache_is_taken_in_stretches() {
    for isa in Isa::available() {
        let mut random = Random(3);
        let flat = Axis { input: 5, output: 5, kernel: 3, stride: 1, dilation: 1, before: 1 };
        let shape = Shape { images: 1, groups: 1, inputs: 700, outputs: 33, rows: flat, columns: flat };
        let (src, w) = (random.floats(700 * 25), random.floats(33 * 700 * 9));
        let inputs = [tensor(&[1, 700, 5, 5], &src), tensor(&[33, 700, 3, 3], &w)];
        let expected = evaluate(convolution(&shape, [1, 1]), &inputs);
        let out = 33usize.next_multiple_of(isa.block()) * 25;
        let step = Conv::new(
            isa,
            shape,
            false,
            [view(1, 0), view(2, 0)],
            None,
            pack_weights(isa, &shape, false, &w, &[1.0; 33]),
            pack_channels(isa, 1, &[0.0; 33]),
            Post::new(isa, &Activation::None),
        );
        let found = run(&step, &[&block(isa, &src, 1, 700)], out);
        check(&unblock(isa, &found, 1, 33, 25), &expected, 1e-5, isa.name());
    }
}

#[test]
fn depthwise_convolutions_and_pools_of_random_geometry() {
    for isa in Isa::available() {
        let mut random = Random(11);
        for case in 0..120 {
            let n = isa.block();
            let (kernel, stride) = (random.pick(&[1, 2, 3, 3, 5, 7]), random.pick(&[1, 2, 3]));
            let dilation = random.pick(&[1, 1, 2]);
            let (rows, below) = axis(&mut random, kernel, stride, dilation);
            let (columns, right) = axis(&mut random, kernel, stride, dilation);
            let channels = 1 + random.below(2 * n + 2);
            let images = 1 + random.below(2);
            let shape = Shape { images, groups: channels, inputs: 1, outputs: 1, rows, columns };
            let what = format!("{} case {case} {shape:?}", isa.name());
            let pixels = rows.output * columns.output;
            let src = random.floats(images * channels * rows.input * columns.input);
            let data = tensor(&[images, channels, rows.input, columns.input], &src);
            let blocked = block(isa, &src, images, channels);
            let out = channels.div_ceil(n) * n * pixels;
            let places = [view(1, blocked.len() / images), view(2, out)];

            let w = random.floats(channels * kernel * kernel);
            let (bias, scale) = (random.floats(channels), random.floats(channels));
            let grouped = op::GroupConvolution {
                strides: vec![stride; 2],
                dilations: vec![dilation; 2],
                pads_begin: vec![rows.before as i64, columns.before as i64],
                pads_end: vec![below as i64, right as i64],
                auto_pad: AutoPad::Explicit,
            };
            let sums = evaluate(grouped, &[data.clone(), tensor(&[channels, 1, 1, kernel, kernel], &w)]);
            let expected: Vec<f32> = (0..sums.len())
                .map(|i| {
                    (sums[i] * scale[i / pixels % channels] + bias[i / pixels % channels]).clamp(0.0, 6.0)
                })
                .collect();
            let step = Depthwise::new(
                isa,
                shape,
                places,
                None,
                Depthwise::pack(isa, &shape, &w, &scale),
                pack_channels(isa, 1, &bias),
                Post::new(isa, &Activation::Clamp(0.0, 6.0)),
            );
            let found = run(&step, &[&blocked], images * out);
            check(&unblock(isa, &found, images, channels, pixels), &expected, 1e-5, &what);

            // Every window must touch the image: a maximum over nothing is not defined.
            let touches = |axis: &Axis| (0..axis.output).all(|at| !axis.taps(at).is_empty());
            if dilation > 1 || !touches(&rows) || !touches(&columns) {
                continue;
            }
            let (pads_begin, pads_end) =
                (vec![rows.before as i64, columns.before as i64], vec![below as i64, right as i64]);
            let maximum = op::MaxPool {
                strides: vec![stride; 2],
                kernel: vec![kernel; 2],
                pads_begin: pads_begin.clone(),
                pads_end: pads_end.clone(),
                ..Default::default()
            };
            let expected = evaluate(maximum, &[data.clone()]);
            let found =
                run(&Windows::new(isa, shape, places, Pooling::Max, [0; 2]), &[&blocked], images * out);
            check(&unblock(isa, &found, images, channels, pixels), &expected, 0.0, &format!("max {what}"));
            for exclude_pad in [false, true] {
                let average = op::AvgPool {
                    strides: vec![stride; 2],
                    kernel: vec![kernel; 2],
                    pads_begin: pads_begin.clone(),
                    pads_end: pads_end.clone(),
                    exclude_pad,
                    ..Default::default()
                };
                let expected = evaluate(average, &[data.clone()]);
                let kind = if exclude_pad { Pooling::AverageInside } else { Pooling::Average };
                let found =
                    run(&Windows::new(isa, shape, places, kind, [below, right]), &[&blocked], images * out);
                check(
                    &unblock(isa, &found, images, channels, pixels),
                    &expected,
                    1e-5,
                    &format!("avg {what}"),
                );
            }
        }
    }
}

#[test]
fn dense_layers_of_random_size() {
    for isa in Isa::available() {
        let mut random = Random(5);
        for _ in 0..40 {
            let sizes = [1 + random.below(14), 1 + random.below(200), 1 + random.below(150)];
            let [rows, inputs, outputs] = sizes;
            let (src, bias) = (random.floats(rows * inputs), random.floats(outputs));
            let halves: Vec<half::f16> =
                random.floats(outputs * inputs).into_iter().map(half::f16::from_f32).collect();
            let w: Vec<f32> = halves.iter().map(|h| h.to_f32()).collect();
            let residual = random.floats(rows * outputs);
            let product = op::MatMul { transpose_a: false, transpose_b: true };
            let sums = evaluate(product, &[tensor(&[rows, inputs], &src), tensor(&[outputs, inputs], &w)]);
            let expected: Vec<f32> = sums
                .iter()
                .zip(&residual)
                .enumerate()
                .map(|(i, (x, r))| (x + bias[i % outputs] + r).max(0.0))
                .collect();
            for panels in [
                Panels::full(isa, outputs, inputs, |o, k| w[o * inputs + k]),
                Panels::half(isa, outputs, inputs, |o, k| halves[o * inputs + k]),
            ] {
                let post = Post::new(isa, &Activation::Relu);
                let step =
                    Dense::new(isa, [view(1, 0), view(3, 0)], Some(view(2, 0)), sizes, panels, &bias, post);
                let found = run(&step, &[&src, &residual], rows * outputs);
                check(&found, &expected, 1e-5, &format!("{} {sizes:?}", step.name()));
            }
        }
    }
}

#[test]
fn elementwise_in_every_reach() {
    for isa in Isa::available() {
        let mut random = Random(13);
        let n = isa.block();
        for len in [1, n - 1, n, 5 * n + 3, 9000] {
            let (a, b) = (random.floats(3 * len), random.floats(3 * len));
            let apply = |pair: Pair, a: f32, b: f32| match pair {
                Pair::Add => a + b,
                Pair::Subtract => a - b,
                Pair::Multiply => a * b,
                Pair::Divide => a / b,
                Pair::Maximum => a.max(b),
                Pair::Minimum => a.min(b),
                Pair::SquaredDifference => (a - b) * (a - b),
            };
            for pair in [
                Pair::Add,
                Pair::Subtract,
                Pair::Multiply,
                Pair::Divide,
                Pair::Maximum,
                Pair::Minimum,
                Pair::SquaredDifference,
            ] {
                let views = [view(1, 0), view(2, 0), view(3, 0)];
                for (reach, stride) in [(Reach::Each, len), (Reach::One, 1), (Reach::Lanes, n)] {
                    if stride * 3 > b.len() {
                        continue;
                    }
                    let outer = vec![(3, [len, stride, len])];
                    let post = Post::new(isa, &Activation::None);
                    let step = Binary::new(isa, pair, views, [Reach::Each, reach], len, outer, post);
                    let other = |row: usize, i: usize| match reach {
                        Reach::Each => b[row * len + i],
                        Reach::One => b[row],
                        Reach::Lanes => b[row * n + i % n],
                    };
                    let expected: Vec<f32> =
                        (0..3 * len).map(|i| apply(pair, a[i], other(i / len, i % len))).collect();
                    let found = run(&step, &[&a, &b], 3 * len);
                    assert_eq!(found, expected, "{} {pair:?} {reach:?} {len}", isa.name());
                }
            }
            let step = Unary {
                src: view(1, len),
                dst: view(2, len),
                images: 3,
                len,
                map: Mapped::new(isa, Activation::Tanh),
                isa,
            };
            let expected: Vec<f32> = a.iter().map(|x| x.tanh()).collect();
            check(&run(&step, &[&a], 3 * len), &expected, 1e-6, "tanh");
        }
        let (channels, pixels) = (n + 3, 7);
        let data = random.floats(2 * channels * pixels);
        let (scale, shift) = (random.floats(channels), random.floats(channels));
        let expected: Vec<f32> = (0..data.len())
            .map(|i| (data[i] * scale[i / pixels % channels] + shift[i / pixels % channels]).max(0.0))
            .collect();
        let each = 2 * n * pixels;
        let numbers = [pack_channels(isa, 1, &scale), pack_channels(isa, 1, &shift)];
        let post = Post::new(isa, &Activation::Relu);
        let step = Affine::new(isa, [view(1, each), view(2, each)], [2, channels, pixels], numbers, post);
        let found = run(&step, &[&block(isa, &data, 2, channels)], 2 * each);
        check(&unblock(isa, &found, 2, channels, pixels), &expected, 1e-6, "affine");
    }
}

#[test]
fn softmax_and_global_average() {
    for isa in Isa::available() {
        let mut random = Random(17);
        for [outer, axis, inner] in [[1, 1000, 1], [3, 7, 1], [2, 5, 37], [1, 1, 3], [2, 16, 16]] {
            let x: Vec<f32> = random.floats(outer * axis * inner).iter().map(|x| 30.0 * x).collect();
            let expected = evaluate(op::Softmax { axis: 1 }, &[tensor(&[outer, axis, inner], &x)]);
            let step = Softmax::new(isa, [view(1, 0), view(2, 0)], [outer, axis, inner]);
            check(
                &run(&step, &[&x], x.len()),
                &expected,
                1e-6,
                &format!("{} {outer} {axis} {inner}", isa.name()),
            );
        }
        for (channels, pixels) in [(3, 49), (40, 1), (16, 6)] {
            let x = random.floats(2 * channels * pixels);
            let expected: Vec<f32> = x
                .chunks(pixels)
                .map(|c| (c.iter().map(|x| f64::from(*x)).sum::<f64>() / pixels as f64) as f32)
                .collect();
            let each = channels.next_multiple_of(isa.block()) * pixels;
            let step = GlobalAverage::new(isa, [view(1, each), view(2, 0)], 2, channels, pixels);
            let found = run(&step, &[&block(isa, &x, 2, channels)], 2 * channels);
            check(&found, &expected, 1e-6, "global average");
        }
    }
}

#[test]
fn copies_between_layouts() {
    for isa in Isa::available() {
        let mut random = Random(19);
        let n = isa.block();
        for channels in [1, 3, n, 2 * n + 1] {
            let (h, w) = (3, 5);
            let x = random.floats(2 * channels * h * w);
            let plain = Geometry { block: n * h * w, lane: h * w, row: w, column: 1, start: 0 };
            let last = Geometry { block: n, lane: 1, row: w * channels, column: channels, start: 0 };
            let blocked = Geometry { block: h * w * n, lane: 1, row: w * n, column: n, start: 0 };
            let size = [channels * h * w, channels.next_multiple_of(n) * h * w];
            let reorder =
                |from: Geometry, to: Geometry, batch: [usize; 2], pad: [usize; 2], fill: bool| Reorder {
                    src: view(1, batch[0]),
                    dst: view(2, batch[1]),
                    from,
                    to,
                    images: 2,
                    channels,
                    lanes: n,
                    rows: h,
                    columns: w,
                    pad,
                    fill,
                    entry: Reorder::kernel(isa),
                };
            let images_last: Vec<f32> = (0..x.len())
                .map(|i| {
                    let (image, p, c) = (i / (channels * h * w), i / channels % (h * w), i % channels);
                    x[(image * channels + c) * h * w + p]
                })
                .collect();
            let step = reorder(plain, last, [size[0], size[0]], [0; 2], false);
            assert_eq!(run(&step, &[&x], x.len()), images_last);
            let step = reorder(last, blocked, [size[0], size[1]], [0; 2], true);
            let found = run(&step, &[&images_last], 2 * size[1]);
            assert_eq!(unblock(isa, &found, 2, channels, h * w), x);
            assert!(found.iter().all(|x| x.is_finite()), "lanes without a channel are zeros");
            let step = reorder(blocked, plain, [size[1], size[0]], [0; 2], false);
            assert_eq!(run(&step, &[&found], x.len()), x);
            // Planar with two columns of zeros before and one behind.
            let wide = w + 3;
            let planar = Geometry { block: n * h * wide, lane: h * wide, row: wide, column: 1, start: 2 };
            let step = reorder(last, planar, [size[0], channels * h * wide], [2, 1], false);
            let found = run(&step, &[&images_last], 2 * channels * h * wide);
            for (row, want) in found.chunks(wide).zip(x.chunks(w)) {
                assert_eq!((&row[..2], &row[2..2 + w], row[wide - 1]), (&[0.0; 2][..], want, 0.0));
            }
        }
    }
}

/// Prints what the register tiles and some layers reach; `cargo test --release -p plugin-cpu speed -- --ignored --nocapture`.
#[test]
#[ignore = "measures, does not check"]
fn speed() {
    use std::time::Instant;
    let same = |side: usize, kernel: usize, stride: usize| Axis {
        input: side * stride,
        output: side,
        kernel,
        stride,
        dilation: 1,
        before: if kernel == 7 { 3 } else { (kernel - 1) / 2 },
    };
    for isa in Isa::available() {
        for (kernel, stride, side, inputs, outputs) in [
            (1, 1, 56, 64, 64),
            (1, 1, 56, 64, 256),
            (1, 1, 56, 256, 64),
            (1, 1, 28, 512, 128),
            (1, 1, 14, 256, 1024),
            (1, 1, 14, 1024, 256),
            (1, 1, 7, 2048, 512),
            (1, 1, 7, 512, 2048),
            (1, 2, 28, 256, 512),
            (3, 1, 56, 64, 64),
            (3, 1, 28, 128, 128),
            (3, 1, 14, 256, 256),
            (3, 1, 7, 512, 512),
            (7, 2, 112, 3, 64),
        ] {
            let planar = inputs < 4;
            let (rows, mut columns) = (same(side, kernel, stride), same(side, kernel, stride));
            if planar {
                columns.input += 6;
                columns.before = 0;
            }
            let shape = Shape { images: 1, groups: 1, inputs, outputs, rows, columns };
            let w = vec![0.01; inputs * outputs * kernel * kernel];
            let weights = pack_weights(isa, &shape, planar, &w, &vec![1.0; outputs]);
            let bias: Floats = pack_channels(isa, 1, &vec![0.0; outputs]);
            let post = Post::new(isa, &Activation::Relu);
            let step = Conv::new(isa, shape, planar, [view(1, 0), view(2, 0)], None, weights, bias, post);
            let src = vec![0.5f32; inputs.next_multiple_of(isa.block()) * rows.input * columns.input];
            let mut dst = vec![0f32; outputs.next_multiple_of(isa.block()) * side * side];
            let mut memory = Memory::default();
            memory.start(&mut []);
            memory.push_source(bytemuck::cast_slice(&src));
            memory.push_target(bytemuck::cast_slice_mut(&mut dst));
            let mut best = f64::MAX;
            for _ in 0..30 {
                let start = Instant::now();
                step.run(&memory, Part { index: 0, count: 1 });
                best = best.min(start.elapsed().as_secs_f64());
            }
            let flop = 2.0 * (inputs * outputs * kernel * kernel * side * side) as f64;
            let (ms, rate) = (best * 1e3, flop / best / 1e9);
            println!(
                "{:9} {kernel}x{kernel}/{stride} {side:3} {inputs:4}->{outputs:4} {ms:7.3} ms {rate:6.1} GFLOP/s",
                isa.name()
            );
        }
    }
}
