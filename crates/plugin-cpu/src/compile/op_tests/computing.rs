//! Ops that compute.

use super::*;

#[test]
fn functions_of_elements() {
    use BinaryKind::*;
    for seed in 0..40 {
        let mut case = Case::new(seed);
        let ty = case.one_of(&[
            ElementType::F32,
            ElementType::F16,
            ElementType::F64,
            ElementType::I64,
            ElementType::I32,
            ElementType::U8,
            ElementType::I8,
        ]);
        let rank = case.below(6);
        let shape = case.shape(rank, 6);
        let x = case.data(ty, &shape);
        let other = smaller(&mut case, &shape);
        // Away from zero, where a remainder of floats jumps.
        let other: Vec<f64> =
            (0..other.iter().product()).map(|_| 1.0 + case.below(5) as f64).collect::<Vec<_>>();
        let other_shape = if other.len() == 1 { vec![] } else { vec![other.len()] };
        let fits = other_shape.is_empty() || shape.last() == Some(&other.len());
        let other = Tensor::from_f64s(
            ty,
            if fits { &other_shape } else { &[] },
            if fits { &other } else { &other[..1] },
        )
        .unwrap();
        let other: Port = case.0.model.add_constant("o", other).into();
        let small = smaller(&mut case, &shape);
        let y = case.data(ty, &small);
        for kind in [Add, Subtract, Multiply, Maximum, Minimum, SquaredDifference, Equal, NotEqual, Greater] {
            case.op(Binary::new(kind), &[x, y]);
        }
        for kind in [Less, LessEqual, GreaterEqual, Divide, Mod, FloorMod, Multiply] {
            case.op(Binary::new(kind), &[x, other]);
        }
        case.op(Binary::new(Subtract), &[other, x]);
        if ty == ElementType::F32 {
            let positive = case.0.add(Unary::Abs, &[x]);
            for exponent in [2.0f32, 0.5, -1.0, 1.7, 3.0] {
                let exponent = case.0.model.add_constant("e", Tensor::scalar(exponent)).into();
                let base = case.0.binary(Add, positive, other);
                case.op(Binary::new(Power), &[base, exponent]);
            }
            let base = case.0.binary(Add, positive, other);
            case.op(Binary::new(Power), &[base, x]);
        } else if !ty.is_float() {
            let exponent = case.0.model.add_constant("e", Tensor::from_f64s(ty, &[], &[2.0]).unwrap());
            case.op(Binary::new(Power), &[x, exponent.into()]);
        }
        let truth = case.0.add(Binary::new(Greater), &[x, y]);
        let other_truth = case.0.add(Binary::new(Less), &[y, other]);
        for kind in [LogicalAnd, LogicalOr, LogicalXor, Equal] {
            case.op(Binary::new(kind), &[truth, other_truth]);
        }
        case.op(Unary::LogicalNot, &[truth]);
        case.op(Select::default(), &[truth, y, other]);
        case.op(Select::default(), &[truth, x, y]);
        for unary in [Unary::Abs, Unary::Ceiling, Unary::Floor, Unary::Negative, Unary::Sign, Unary::Relu] {
            case.op(unary, &[x]);
        }
        if ty.is_float() {
            let unary = case.one_of(&[Unary::Sin, Unary::Cos, Unary::Tan, Unary::Atan, Unary::SoftSign]);
            case.op(unary, &[x]);
            case.op(Round::default(), &[x]);
            case.op(Round { mode: RoundMode::HalfAwayFromZero }, &[x]);
            case.op(IsNan, &[x]);
            case.op(IsFinite, &[x]);
            case.op(IsInf::default(), &[x]);
            let slope = smaller(&mut case, &shape);
            let slope = case.data(ty, &slope);
            case.op(PRelu, &[x, slope]);
        }
        case.op(Clamp { min: -0.5, max: 2.5 }, &[x]);
        for to in TYPES {
            case.op(Convert::to(to), &[x]);
        }
        case.check(&format!("seed {seed}, {ty}"));
    }
}

#[test]
fn functions_of_channel_blocks() {
    for (seed, channels) in [(0, 16), (1, 20), (2, 48)] {
        let mut case = Case::new(seed);
        let x = blocked(&mut case, [2, channels, 3, 5]);
        for unary in [Unary::Floor, Unary::Cos, Unary::Negative] {
            case.op(unary, &[x]);
        }
        let parameters: Vec<Port> = (0..5).map(|_| case.f32(&[channels])).collect();
        let variance = case.0.add(Unary::Abs, &[parameters[3]]);
        let op = BatchNormInference { epsilon: 0.1, data_input: 0 };
        case.op(op, &[x, parameters[0], parameters[1], parameters[2], variance]);
        case.op(PRelu, &[x, parameters[4]]);
        for shape in [vec![], vec![1, channels, 1, 1], vec![2, channels, 3, 5], vec![2, 1, 3, 1]] {
            let limit = |case: &mut Case, low: f64| -> Port {
                let count = shape.iter().product::<usize>();
                let numbers: Vec<f64> = (0..count).map(|_| low + case.below(9) as f64 * 0.07).collect();
                let tensor = Tensor::from_f64s(ElementType::F32, &shape, &numbers).unwrap();
                case.0.model.add_constant("limit", tensor).into()
            };
            let limits = [-1.0, 0.3, -1.5, 1.0].map(|low| limit(&mut case, low));
            let levels = 16;
            case.op(FakeQuantize { levels }, &[x, limits[0], limits[1], limits[2], limits[3]]);
        }
        let names = case.check(&format!("{channels} channels"));
        assert!(names.iter().any(|row| row.exec_type.starts_with("pointwise_")));
    }
}

#[test]
fn normalisations() {
    for seed in 0..60 {
        let mut case = Case::new(seed);
        let (x, shape) = any_data(&mut case);
        let axes = some_axes(&mut case, shape.len());
        let spatial: Vec<i64> = (2..shape.len() as i64).collect();
        for axes in [axes, spatial, vec![-1], vec![1]] {
            let axes = case.0.integers(&axes);
            for eps_mode in [MvnEpsMode::InsideSqrt, MvnEpsMode::OutsideSqrt] {
                case.op(Mvn { eps: 0.1, normalize_variance: true, eps_mode }, &[x, axes]);
            }
            case.op(Mvn { normalize_variance: false, ..Mvn::default() }, &[x, axes]);
            for eps_mode in [NormEpsMode::Add, NormEpsMode::Max] {
                case.op(NormalizeL2 { eps: 0.2, eps_mode }, &[x, axes]);
            }
            for beta in [0.75, 0.5, 1.0, 0.6] {
                let size = case.size(6);
                case.op(Lrn { alpha: 0.9, beta, bias: 1.5, size }, &[x, axes]);
            }
        }
        for across_channels in [false, true] {
            case.op(MvnSpatial { across_channels, eps: 0.1, ..MvnSpatial::default() }, &[x]);
        }
        let axis = case.below(shape.len()) as i64 - shape.len() as i64;
        case.op(LogSoftmax { axis }, &[x]);
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn products_of_what_is_computed() {
    for seed in 0..60 {
        let mut case = Case::new(seed);
        let most = case.one_of(&[3, 20, 70]);
        let [m, n, k] = [(); 3].map(|()| case.size(most));
        let k = if seed % 10 == 0 { 1100 } else { k };
        let (transpose_a, transpose_b) = (case.below(2) == 0, case.below(2) == 0);
        let outer = case.below(3);
        let outer: Vec<usize> = case.shape(outer, 4);
        let (a_outer, b_outer) = (smaller(&mut case, &outer), smaller(&mut case, &outer));
        let turn = |rows: usize, columns: usize, turned: bool| match turned {
            true => [columns, rows],
            false => [rows, columns],
        };
        let a = [&a_outer[..], &turn(m, k, transpose_a)].concat();
        let b = [&b_outer[..], &turn(k, n, transpose_b)].concat();
        let (a, b) = (case.f32(&a), case.f32(&b));
        case.op(MatMul { transpose_a, transpose_b }, &[a, b]);
        let row = case.f32(&[k]);
        case.op(MatMul { transpose_a, transpose_b }, &[row, b]);
        case.op(MatMul { transpose_a, transpose_b }, &[a, row]);
        case.op(MatMul { transpose_a, transpose_b }, &[row, row]);
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn transposed_convolutions() {
    for seed in 0..80 {
        let mut case = Case::new(seed);
        let space = case.size(3);
        let groups = case.one_of(&[1, 1, 2, 5, 16]);
        let each = case.one_of(&[1, 1, 3, 8, 16]);
        let outputs = if case.below(2) == 0 { 1 } else { case.one_of(&[2, 5, 16]) };
        let batch = case.size(2);
        let shape =
            [&[batch, groups * each][..], &case.shape(space, if space == 3 { 5 } else { 7 })].concat();
        let kernel = case.shape(space, 4);
        let strides = case.shape(space, 3);
        let dilations = case.shape(space, 2);
        // As much is cut as leaves something.
        let pads = |case: &mut Case| -> Vec<i64> {
            (0..space).map(|i| case.below((kernel[i] - 1) * dilations[i] + 1) as i64 / 2).collect()
        };
        let (pads_begin, pads_end) = (pads(&mut case), pads(&mut case));
        let auto_pad =
            case.one_of(&[AutoPad::Explicit, AutoPad::SameUpper, AutoPad::SameLower, AutoPad::Valid]);
        let output_padding: Vec<i64> = (0..space).map(|i| case.below(strides[i]) as i64).collect();
        let x = case.f32(&shape);
        let mut inputs = vec![x];
        let weights = [&[groups, each, outputs][..], &kernel].concat();
        inputs.push(case.0.constant(if groups == 1 { &weights[1..] } else { &weights }));
        if case.below(3) == 0 || auto_pad != AutoPad::Explicit {
            let target: Vec<i64> = (0..space)
                .map(|i| (shape[i + 2] * strides[i]).saturating_sub(case.below(2)).max(1) as i64)
                .collect();
            inputs.push(case.0.integers(&target));
        }
        let what = format!(
            "seed {seed} {shape:?} {weights:?} {strides:?} {pads_begin:?} {pads_end:?} {dilations:?} {auto_pad:?} {output_padding:?}"
        );
        let y = match groups {
            1 => case.op(
                ConvolutionBackpropData {
                    strides,
                    pads_begin,
                    pads_end,
                    dilations,
                    auto_pad,
                    output_padding,
                },
                &inputs,
            ),
            _ => {
                let op = GroupConvolutionBackpropData {
                    strides,
                    pads_begin,
                    pads_end,
                    dilations,
                    auto_pad,
                    output_padding,
                };
                case.op(op, &inputs)
            }
        };
        let y = case.0.add(case.0.model.node(y.node).op.clone(), &inputs);
        let bias_shape = [&[1, groups * outputs][..], &vec![1; space]].concat();
        let bias = case.0.constant(&bias_shape);
        let y = case.0.binary(BinaryKind::Add, y, bias);
        let y = case.0.add(Unary::Relu, &[y]);
        case.0.result(y);
        case.check(&what);
    }
}

#[test]
fn volumes() {
    for seed in 0..50 {
        let mut case = Case::new(seed);
        let groups = case.one_of(&[1, 1, 1, 2, 5]);
        let each = case.one_of(&[1, 3, 8, 16, 32]);
        let outputs = case.one_of(&[1, 2, 5, 16]);
        let batch = case.size(2);
        let shape = [&[batch, groups * each][..], &case.shape(3, 7)].concat();
        let kernel: Vec<usize> = (0..3).map(|i| 1 + case.below(3.min(shape[i + 2]))).collect();
        let strides = case.shape(3, 2);
        let fits = |i: usize| (kernel[i] - 1) * 2 < shape[i + 2];
        let dilations: Vec<usize> = (0..3).map(|i| if fits(i) { case.size(2) } else { 1 }).collect();
        let pads = |case: &mut Case| -> Vec<i64> { (0..3).map(|i| case.below(kernel[i]) as i64).collect() };
        let (pads_begin, pads_end) = (pads(&mut case), pads(&mut case));
        let auto_pad = case.one_of(&[AutoPad::Explicit, AutoPad::SameUpper]);
        let x = case.f32(&shape);
        let weights = [&[groups, outputs, each][..], &kernel].concat();
        let weights = case.0.constant(if groups == 1 { &weights[1..] } else { &weights });
        let (s, b, e, d) = (strides.clone(), pads_begin.clone(), pads_end.clone(), dilations);
        let op: Op = match groups {
            1 => Convolution { strides: s, pads_begin: b, pads_end: e, dilations: d, auto_pad }.into(),
            _ => GroupConvolution { strides: s, pads_begin: b, pads_end: e, dilations: d, auto_pad }.into(),
        };
        case.op(op.clone(), &[x, weights]);
        let y = case.0.add(op, &[x, weights]);
        let bias = case.0.constant(&[1, groups * outputs, 1, 1, 1]);
        let y = case.0.binary(BinaryKind::Add, y, bias);
        let y = case.0.add(Clamp { min: 0.0, max: 6.0 }, &[y]);
        case.0.result(y);
        let (s, b, e) = (strides, pads_begin, pads_end);
        case.op(
            MaxPool {
                strides: s.clone(),
                kernel: kernel.clone(),
                pads_begin: b.clone(),
                pads_end: e.clone(),
                ..MaxPool::default()
            },
            &[x],
        );
        for exclude_pad in [false, true] {
            let (strides, kernel, pads_begin, pads_end) = (s.clone(), kernel.clone(), b.clone(), e.clone());
            case.op(
                AvgPool { strides, kernel, pads_begin, pads_end, exclude_pad, ..AvgPool::default() },
                &[x],
            );
        }
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn half_precision_is_computed_in_f32() {
    let mut case = Case::new(1);
    let x = case.data(ElementType::F16, &[1, 5, 4, 4]);
    // Of whole numbers sums are exact in half precision too.
    let weights = |case: &mut Case, shape: &[usize]| -> Port {
        let count = shape.iter().product();
        let numbers: Vec<f64> = (0..count).map(|_| case.below(2) as f64).collect();
        let tensor = Tensor::from_f64s(ElementType::F16, shape, &numbers).unwrap();
        case.0.model.add_constant("w", tensor).into()
    };
    let (kernel, bias) = (weights(&mut case, &[20, 5, 1, 1]), weights(&mut case, &[1, 20, 1, 1]));
    let op = Convolution {
        strides: vec![1; 2],
        pads_begin: vec![0; 2],
        pads_end: vec![0; 2],
        dilations: vec![1; 2],
        auto_pad: AutoPad::Explicit,
    };
    let y = case.0.add(op, &[x, kernel]);
    let y = case.0.binary(BinaryKind::Add, y, bias);
    let y = case.op(Unary::Relu, &[y]);
    let axes = case.0.integers(&[2, 3]);
    let y = case.0.add(Reduce { kind: ReduceKind::Max, keep_dims: false }, &[y, axes]);
    let dense = weights(&mut case, &[1, 20]);
    let stored = case.0.add(Convert::to(ElementType::F32), &[dense]);
    let y = case.0.binary(BinaryKind::Maximum, y, dense);
    case.0.result(y);
    let wide = case.0.add(Convert::to(ElementType::F32), &[y]);
    let wide = case.0.binary(BinaryKind::Add, wide, stored);
    case.0.result(wide);
    let half = case.0.add(Convert::to(ElementType::F16), &[wide]);
    case.0.result(half);
    case.0.result(x);
    let kernels = case.check("half");
    assert!(kernels.iter().any(|row| row.exec_type.starts_with("direct_1x1")), "{kernels:?}");
}

#[test]
fn cells_and_sequences() {
    for seed in 0..40 {
        let mut case = Case::new(seed);
        let kind = case.one_of(&[
            CellKind::Lstm,
            CellKind::Lstm,
            CellKind::Gru { linear_before_reset: true },
            CellKind::Rnn,
        ]);
        let (batch, steps, width, size) = (case.size(3), case.size(6), case.size(40), case.size(40));
        let mut cell = RecurrentCell { hidden_size: size, ..RecurrentCell::new(kind) };
        cell.clip = case.one_of(&[0.0, 0.0, 0.4]);
        if case.below(3) == 0 {
            cell.activations[0] = Activation::Relu;
        }
        let (rows, biases) = (cell.gates() * size, cell.biases() * size);
        let weights = |case: &mut Case, ways: &[usize]| {
            let shape = |rest: &[usize]| [ways, rest].concat();
            // As networks have them: sums stay in range.
            let mut scaled = |terms: usize| {
                let tensor = case.0.random.tensor(&shape(&[rows, terms]));
                let scale = 1.0 / (terms as f32).sqrt();
                let values: Vec<f32> = tensor.view::<f32>().unwrap().iter().map(|v| v * scale).collect();
                case.0.model.add_constant("w", Tensor::from_slice(tensor.shape(), &values).unwrap()).into()
            };
            let products: [Port; 2] = [scaled(width), scaled(size)];
            let bias = case.0.constant(&shape(&[biases]));
            [products[0], products[1], bias]
        };
        let mut inputs = vec![case.f32(&[batch, width])];
        inputs.extend((0..cell.states()).map(|_| case.f32(&[batch, size])));
        inputs.extend(weights(&mut case, &[]));
        case.op(cell.clone(), &inputs);
        let mut inputs = vec![case.f32(&[batch, steps, width])];
        inputs.extend((0..cell.states()).map(|_| case.f32(&[batch, 1, size])));
        let lengths: Vec<i64> = (0..batch).map(|_| case.below(steps + 1) as i64).collect();
        inputs.push(case.0.integers(&lengths));
        inputs.extend(weights(&mut case, &[1]));
        let direction = case.one_of(&[Direction::Forward, Direction::Reverse]);
        case.op(RecurrentSequence { cell, direction }, &inputs);
        case.check(&format!("seed {seed}"));
    }
}
