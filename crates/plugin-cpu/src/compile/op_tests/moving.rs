//! Ops that move elements, or pick them.

use super::*;

impl Case {
    /// Indices that are computed, between `low` and `high`: numbers of the network's input, rounded.
    fn indices(&mut self, ty: ElementType, shape: &[usize], low: i64, high: i64) -> Port {
        let x = self.f32(shape);
        let numbers = [(low + high) as f32 / 2.0, (high - low) as f32 / 2.0 - 0.01];
        let [middle, reach] = numbers.map(|x| self.0.model.add_constant("range", Tensor::scalar(x)).into());
        let x = self.0.binary(BinaryKind::Multiply, x, reach);
        let x = self.0.binary(BinaryKind::Add, x, middle);
        let x = self.0.add(Unary::Floor, &[x]);
        self.0.add(Convert::to(ty), &[x])
    }
}

#[test]
fn what_moves() {
    for seed in 0..40 {
        let mut case = Case::new(seed);
        let ty = case.one_of(&TYPES);
        let rank = case.size(5);
        let shape = case.shape(rank, 7);
        let x = case.data(ty, &shape);
        // Slices with every sign of begin, end and step.
        let bound = |case: &mut Case| -> Vec<i64> {
            shape.iter().map(|size| case.below(2 * size + 3) as i64 - *size as i64 - 1).collect()
        };
        let (begin, end) = (bound(&mut case), bound(&mut case));
        let steps: Vec<i64> = shape.iter().map(|_| case.one_of(&[1, 1, 2, -1, -2, 3])).collect();
        let bits = |case: &mut Case| -> Vec<i64> { (0..rank).map(|_| case.below(2) as i64).collect() };
        let op =
            StridedSlice { begin_mask: bits(&mut case), end_mask: bits(&mut case), ..Default::default() };
        let [b, e, s] = [&begin, &end, &steps].map(|values| case.0.integers(values));
        case.op(op, &[x, b, e, s]);
        case.op(Slice, &[x, b, e, s]);
        for pad_mode in [PadMode::Constant, PadMode::Edge, PadMode::Reflect, PadMode::Symmetric] {
            let pads = |case: &mut Case| -> Vec<i64> {
                let low = |size: usize| -((size as i64 - 1) / 2);
                shape.iter().map(|size| low(*size) + case.below(*size - 1 + size / 2 + 1) as i64).collect()
            };
            let (begin, end) = (pads(&mut case), pads(&mut case));
            let room = |pads: &[i64]| -> Vec<i64> {
                pads.iter().zip(&shape).map(|(pad, size)| (*pad).min(*size as i64 - 1)).collect()
            };
            let [begin, end] = [&begin, &end].map(|pads| case.0.integers(&room(pads)));
            let value = Tensor::from_f64s(ty, &[], &[1.0]).unwrap();
            let value = case.0.model.add_constant("v", value).into();
            case.op(Pad { pad_mode }, &[x, begin, end, value]);
            case.op(Pad { pad_mode }, &[x, begin, end]);
        }
        let target: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
        let target = [&[2, 3], &target[..]].concat();
        let target = case.0.integers(&target);
        case.op(Broadcast { mode: BroadcastMode::Bidirectional }, &[x, target]);
        let repeats: Vec<i64> = (0..rank + 1).map(|_| case.size(3) as i64).collect();
        let repeats = case.0.integers(&repeats);
        case.op(Tile, &[x, repeats]);
        let axis = case.below(rank) as i64 - rank as i64;
        let size = shape[(axis + rank as i64) as usize];
        let [shift, axes] = [&[case.below(9) as i64 - 4], &[axis]].map(|v| case.0.integers(v));
        case.op(Roll, &[x, shift, axes]);
        let groups = (1..=size).filter(|group| size.is_multiple_of(*group)).collect::<Vec<_>>();
        let group = case.one_of(&groups);
        case.op(ShuffleChannels { axis, group }, &[x]);
        let picks: Vec<i64> = (0..5).map(|_| case.below(2 * size) as i64 - size as i64).collect();
        let (picks, axis) = (case.0.integers(&picks), case.0.integers(&[axis]));
        case.op(Gather::default(), &[x, picks, axis]);
        if rank > 1 {
            let lengths: Vec<i64> = (0..shape[1]).map(|_| case.below(shape[0] + 1) as i64).collect();
            let lengths = case.0.integers(&lengths);
            case.op(ReverseSequence { batch_axis: 1, seq_axis: -(rank as i64) }, &[x, lengths]);
        }
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn blocks_of_space() {
    for seed in 0..16 {
        let mut case = Case::new(seed);
        let ty = case.one_of(&TYPES);
        let (block_size, space) = (case.size(3), case.size(3));
        let mut shape = case.shape(2 + space, 4);
        let mode = case.one_of(&[DepthMode::BlocksFirst, DepthMode::DepthFirst]);
        let volume = block_size.pow(space as u32);
        shape[1] *= volume;
        let x = case.data(ty, &shape);
        case.op(DepthToSpace { mode, block_size }, &[x]);
        shape[2..].iter_mut().for_each(|size| *size *= block_size);
        let x = case.data(ty, &shape);
        case.op(SpaceToDepth { mode, block_size }, &[x]);
        let blocks: Vec<i64> =
            (0..shape.len()).map(|i| if i == 0 { 1 } else { case.size(2) as i64 }).collect();
        let begin: Vec<i64> = blocks.iter().map(|block| *block - 1).collect();
        let end: Vec<i64> = (0..shape.len())
            .map(|i| {
                let size = shape[i] as i64 + begin[i];
                (size + blocks[i] - 1) / blocks[i] * blocks[i] - size
            })
            .collect();
        let [b, begin, end] = [&blocks, &begin, &end].map(|v| case.0.integers(v));
        case.op(SpaceToBatch, &[x, b, begin, end]);
        shape[0] = blocks.iter().product::<i64>() as usize * 2;
        let x = case.data(ty, &shape);
        let crops: Vec<i64> = blocks.iter().map(|block| *block - 1).collect();
        let zeros = vec![0; shape.len()];
        let [crops, zeros] = [&crops, &zeros].map(|v| case.0.integers(v));
        case.op(BatchToSpace, &[x, b, crops, zeros]);
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn channel_blocks_move_as_they_are() {
    for (seed, channels) in [(0, 16), (1, 20), (2, 5), (3, 32)] {
        let mut case = Case::new(seed);
        let x = blocked(&mut case, [2, channels, 5, 6]);
        for (begin, end) in
            [([0, 0, 1, 2], [0, 0, 2, 0]), ([1, 0, 0, -1], [0, 0, -2, 3]), ([0, 1, 1, 0], [0; 4])]
        {
            let [begin, end] = [begin, end].map(|pads| case.0.integers(&pads));
            for value in [0.0f32, 1.5] {
                let value = case.0.model.add_constant("v", Tensor::scalar(value)).into();
                case.op(Pad { pad_mode: PadMode::Constant }, &[x, begin, end, value]);
            }
        }
        let [begin, end, steps] =
            [[0, 0, -1, 1], [2, 99, -9, 6], [1, 1, -2, 2]].map(|values| case.0.integers(&values));
        case.op(Slice, &[x, begin, end, steps]);
        let repeats = case.0.integers(&[2, 1, 3, 2]);
        case.op(Tile, &[x, repeats]);
        let (sizes, axes) = (case.0.integers(&[13, 4]), case.0.integers(&[2, 3]));
        let op = Interpolate {
            mode: InterpolateMode::Nearest,
            ..Interpolate::new(InterpolateForm::SizesOrScales)
        };
        case.op(op, &[x, sizes, axes]);
        case.check(&format!("{channels} channels"));
    }
}

#[test]
fn what_is_picked_by_computed_indices() {
    for seed in 0..40 {
        let mut case = Case::new(seed);
        let ty = case.one_of(&TYPES);
        let index = case.one_of(&[ElementType::I32, ElementType::I64]);
        let rank = 2 + case.below(3);
        let shape = case.shape(rank, 6);
        let x = case.data(ty, &shape);
        let along = case.below(rank);
        let size = shape[along] as i64;
        let axis = case.0.integers(&[along as i64 - rank as i64]);
        let batch_dims = case.below(along + 1);
        let more = case.below(3);
        let picked = [&shape[..batch_dims], &case.shape(more, 4)].concat();
        let indices = case.indices(index, &picked, -size, size);
        case.op(Gather { batch_dims: batch_dims as i64 }, &[x, indices, axis]);
        let mut picked = shape.clone();
        picked[along] = case.size(5);
        let indices = case.indices(index, &picked, -size, size);
        case.op(GatherElements { axis: along as i64 }, &[x, indices]);
        let batch_dims = case.below(rank);
        let least = *shape[batch_dims..].iter().min().unwrap() as i64;
        let tuple = case.size(rank - batch_dims);
        let tuples = [&shape[..batch_dims], &case.shape(1, 4), &[tuple]].concat();
        let indices = case.indices(index, &tuples, -least, least);
        case.op(GatherNd { batch_dims, merges_batch: false }, &[x, indices]);
        let least = *shape.iter().min().unwrap() as i64;
        let tuple = case.size(rank);
        let indices = case.indices(index, &[7, tuple], -least, least);
        let updates = case.data(ty, &[&[7], &shape[tuple..]].concat());
        case.op(ScatterNdUpdate, &[x, indices, updates]);
        let other = (along + 1) % rank;
        let lengths = case.indices(index, &[shape[other]], 0, size + 1);
        case.op(ReverseSequence { batch_axis: other as i64, seq_axis: along as i64 }, &[x, lengths]);
        let indices = case.indices(index, &shape, -1, 6);
        let depth = case.0.model.add_constant("depth", Tensor::scalar(5i64)).into();
        let [on, off] = [1.0, 0.0].map(|value| {
            case.0.model.add_constant("v", Tensor::from_f64s(ty, &[], &[value]).unwrap()).into()
        });
        let axis = case.below(rank + 1) as i64 - rank as i64 - 1;
        case.op(OneHot { axis }, &[indices, depth, on, off]);
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn the_best_and_running_sums() {
    for seed in 0..40 {
        let mut case = Case::new(seed);
        let ty = case.one_of(&[ElementType::F32, ElementType::I32, ElementType::U8]);
        let rank = case.size(4);
        let shape = case.shape(rank, 9);
        let axis = case.below(rank) as i64 - rank as i64;
        let size = shape[(axis + rank as i64) as usize];
        let x = case.data(ty, &shape);
        for mode in [TopKMode::Max, TopKMode::Min] {
            for sort in [TopKSort::Value, TopKSort::Index] {
                let k = case.size(size) as i64;
                let k = case.0.model.add_constant("k", Tensor::scalar(k)).into();
                let index_element_type = case.one_of(&[ElementType::I32, ElementType::I64]);
                case.op(TopK { axis, mode, sort, index_element_type, stable: true }, &[x, k]);
            }
        }
        let ty = case.one_of(&[ElementType::F32, ElementType::I32, ElementType::I64]);
        let x = case.data(ty, &shape);
        let axis = case.0.integers(&[axis]);
        let scalar = case.0.integers(&[]);
        let axis = case.0.add(Reshape { special_zero: false }, &[axis, scalar]);
        for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
            case.op(CumSum { exclusive, reverse }, &[x, axis]);
        }
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn resizing() {
    use {CoordinateTransformation::*, InterpolateMode::*};
    for seed in 0..60 {
        let mut case = Case::new(seed);
        let (x, shape) = any_data(&mut case);
        for mode in [Linear, LinearOnnx, Cubic, BilinearPillow, BicubicPillow, Nearest] {
            let axes = some_axes(&mut case, shape.len());
            let sizes: Vec<i64> = axes.iter().map(|_| case.size(11) as i64).collect();
            let modes = [HalfPixel, PytorchHalfPixel, Asymmetric, TfHalfPixelForNn, AlignCorners];
            let mut op = Interpolate {
                mode,
                coordinate_transformation_mode: case.one_of(&modes),
                antialias: case.below(2) == 0,
                cube_coeff: -0.6,
                ..Interpolate::new(InterpolateForm::SizesOrScales)
            };
            if case.below(3) == 0 {
                op.pads_begin = shape.iter().map(|_| case.below(2) as i64).collect();
                op.pads_end = shape.iter().map(|_| case.below(2) as i64).collect();
            }
            let (sizes, axes_port) = (case.0.integers(&sizes), case.0.integers(&axes));
            case.op(op.clone(), &[x, sizes, axes_port]);
            op.shape_calculation_mode = ShapeCalculation::Scales;
            let scales: Vec<f32> = axes.iter().map(|_| case.one_of(&[1.0, 2.0, 1.5, 3.0])).collect();
            let scales = Tensor::from_slice(&[axes.len()], &scales).unwrap();
            let scales = case.0.model.add_constant("scales", scales).into();
            case.op(op, &[x, scales, axes_port]);
        }
        case.check(&format!("seed {seed}"));
    }
}
