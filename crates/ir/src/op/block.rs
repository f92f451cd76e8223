//! Blocks of space to channels or batches, and back.

use super::{
    Inputs, OpError, Operator, Pad, PadMode, Places, PortType,
    axes::integers,
    elements::{row_major, strided},
    expect_inputs,
    movement::transposed,
    output_shapes,
};
use crate::{
    Dim, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// Which half of the channel index is the place in the block.
    DepthMode {
        /// The outer half.
        BlocksFirst = "blocks_first",
        /// The inner half.
        DepthFirst = "depth_first",
    }
}

/// Moves blocks of space into channels. Input [N,C,spatial..].
#[derive(Clone, PartialEq, Debug)]
pub struct SpaceToDepth {
    /// How channels and blocks interleave.
    pub mode: DepthMode,
    /// Length of a block's side.
    pub block_size: usize,
}

impl Default for SpaceToDepth {
    fn default() -> Self {
        Self { mode: DepthMode::BlocksFirst, block_size: 1 }
    }
}

impl Visit for SpaceToDepth {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("mode", &mut self.mode);
        v.optional("block_size", &mut self.block_size);
    }
}

impl Operator for SpaceToDepth {
    fn type_name(&self) -> &str {
        "SpaceToDepth"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        let shape = match spatial(inputs.shape(0))? {
            None => PartialShape::UNKNOWN,
            Some(dims) => {
                let volume = volume(self.block_size, dims.len() - 2)?;
                let mut shape = vec![dims[0], dims[1] * Dim::exactly(volume)];
                for dim in &dims[2..] {
                    shape.push(share(*dim, self.block_size as i64, "a block's side")?);
                }
                PartialShape::new(shape)
            }
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let shape = output_shapes(self, inputs)?.remove(0);
        let space = shape.len() - 2;
        // [N, C, (D, b)..] to [N, b.., C, D..] or [N, C, b.., D..].
        let mut view = shape[..1].to_vec();
        view.push(inputs[0].shape()[1]);
        view.extend(shape[2..].iter().flat_map(|size| [*size, self.block_size]));
        let (places, blocks) = ((0..space).map(|i| 2 + 2 * i), (0..space).map(|i| 3 + 2 * i));
        let order: Vec<usize> = match self.mode {
            DepthMode::BlocksFirst => [0].into_iter().chain(blocks).chain([1]).chain(places).collect(),
            DepthMode::DepthFirst => [0, 1].into_iter().chain(blocks).chain(places).collect(),
        };
        Ok(vec![transposed(&inputs[0].reshaped(view)?, &order)?.reshaped(shape)?])
    }

    fn places(&self, shape: &[usize], _: &[Option<Tensor>]) -> Option<Places> {
        let (side, strides) = (self.block_size, row_major(shape));
        let space = shape.len().checked_sub(2)?;
        let blocks = side.checked_pow(u32::try_from(space).ok()?)?;
        let channel = |at: usize| {
            let (channel, mut block) = match self.mode {
                DepthMode::BlocksFirst => (at % shape[1], at / shape[1]),
                DepthMode::DepthFirst => (at / blocks, at % blocks),
            };
            let mut place = channel * strides[1] as usize;
            for stride in strides[2..].iter().rev() {
                place += block % side * *stride as usize;
                block /= side;
            }
            Some(place)
        };
        let mut axes = vec![(0..shape[0]).map(|at| Some(at * strides[0] as usize)).collect()];
        axes.push((0..shape[1] * blocks).map(channel).collect());
        for (size, stride) in shape[2..].iter().zip(&strides[2..]) {
            axes.push((0..size / side).map(|at| Some(at * side * *stride as usize)).collect());
        }
        Some(Places { base: 0, axes })
    }
}

/// The dimensions of [N,C,spatial..], when they are known.
fn spatial(data: &PartialShape) -> Result<Option<&[Dim]>, OpError> {
    match data.dims() {
        Some(dims) if dims.len() < 3 => {
            Err(OpError::shape(format!("the data is {data}, expected a batch, channels, and space")))
        }
        dims => Ok(dims),
    }
}

/// The number of places in a block of side `side` in `rank` dimensions.
fn volume(side: usize, rank: usize) -> Result<i64, OpError> {
    let volume = u32::try_from(rank).ok().and_then(|rank| i64::try_from(side).ok()?.checked_pow(rank));
    volume.filter(|volume| *volume > 0).ok_or_else(|| {
        OpError::attribute(format!(
            "block_size is {side} in {rank} dimensions, expected at least 1 and no overflow"
        ))
    })
}

/// `dim` in `parts` equal parts, which are called `what`.
fn share(dim: Dim, parts: i64, what: &str) -> Result<Dim, OpError> {
    let fail = || OpError::shape(format!("{dim} is no multiple of {parts}, {what}"));
    dim.exact_quotients(parts).ok_or_else(fail)
}

/// Moves channels into blocks of space. Input [N,C,spatial..].
#[derive(Clone, PartialEq, Debug)]
pub struct DepthToSpace {
    /// How channels and blocks interleave.
    pub mode: DepthMode,
    /// Length of a block's side.
    pub block_size: usize,
}

impl Default for DepthToSpace {
    fn default() -> Self {
        Self { mode: DepthMode::BlocksFirst, block_size: 1 }
    }
}

impl Visit for DepthToSpace {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("mode", &mut self.mode);
        v.optional("block_size", &mut self.block_size);
    }
}

impl Operator for DepthToSpace {
    fn type_name(&self) -> &str {
        "DepthToSpace"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        let shape = match spatial(inputs.shape(0))? {
            None => PartialShape::UNKNOWN,
            Some(dims) => {
                let volume = volume(self.block_size, dims.len() - 2)?;
                let mut shape = vec![dims[0], share(dims[1], volume, "a block's size")?];
                shape.extend(dims[2..].iter().map(|dim| *dim * Dim::dim(self.block_size)));
                PartialShape::new(shape)
            }
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let shape = output_shapes(self, inputs)?.remove(0);
        let space = shape.len() - 2;
        // [N, b.., C, D..] or [N, C, b.., D..] to [N, C, (D, b)..].
        let blocks = std::iter::repeat_n(self.block_size, space);
        let mut view = shape[..1].to_vec();
        let (channels, first) = match self.mode {
            DepthMode::BlocksFirst => {
                view.extend(blocks);
                view.push(shape[1]);
                (1 + space, 1)
            }
            DepthMode::DepthFirst => {
                view.push(shape[1]);
                view.extend(blocks);
                (1, 2)
            }
        };
        view.extend(&inputs[0].shape()[2..]);
        let mut order = vec![0, channels];
        order.extend((0..space).flat_map(|i| [2 + space + i, first + i]));
        Ok(vec![transposed(&inputs[0].reshaped(view)?, &order)?.reshaped(shape)?])
    }

    fn places(&self, shape: &[usize], _: &[Option<Tensor>]) -> Option<Places> {
        let (side, strides) = (self.block_size, row_major(shape));
        let space = shape.len().checked_sub(2)?;
        let blocks = side.checked_pow(u32::try_from(space).ok()?)?;
        let channels = shape[1] / blocks;
        // Channels of the data from block to block, and from channel to channel of the output.
        let (block, channel) = match self.mode {
            DepthMode::BlocksFirst => (channels, 1),
            DepthMode::DepthFirst => (1, blocks),
        };
        let each = strides[1] as usize;
        let mut axes = vec![(0..shape[0]).map(|at| Some(at * strides[0] as usize)).collect()];
        axes.push((0..channels).map(|at| Some(at * channel * each)).collect());
        for axis in 2..shape.len() {
            let inner = side.pow((shape.len() - 1 - axis) as u32) * block * each;
            let place = |at: usize| Some(at / side * strides[axis] as usize + at % side * inner);
            axes.push((0..shape[axis] * side).map(place).collect());
        }
        Some(Places { base: 0, axes })
    }
}

/// Moves blocks of space into batches. Inputs: data, block_shape, pads_begin, pads_end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpaceToBatch;

impl Visit for SpaceToBatch {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for SpaceToBatch {
    fn type_name(&self) -> &str {
        "SpaceToBatch"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        let Some((dims, blocks, sides)) = blocks_and_borders(inputs)? else {
            return Ok(vec![PortType::new(inputs.element_type(0), PartialShape::UNKNOWN)]);
        };
        let mut batch = dims[0];
        let mut shape = Vec::new();
        for i in 0..dims.len() {
            let padded = (dims[i] + sides[i].0 + sides[i].1).as_dim();
            match blocks[i] {
                Some(block) => {
                    batch = batch * Dim::exactly(block);
                    shape.push(share(padded, block, "a block's side")?);
                }
                None => {
                    batch = batch * Dim::ANY_DIM;
                    shape.push(Dim::ANY_DIM);
                }
            }
        }
        shape[0] = batch;
        Ok(vec![PortType::new(inputs.element_type(0), PartialShape::new(shape))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let blocks = sizes(&inputs[1])?;
        let pad = Pad { pad_mode: PadMode::Constant };
        let padded = pad.evaluate(&[inputs[0].clone(), inputs[2].clone(), inputs[3].clone()])?.remove(0);
        // [N, (D, b)..] to [b.., N, D..].
        let mut view = vec![padded.shape()[0]];
        view.extend((1..shape.len()).flat_map(|i| [shape[i], blocks[i]]));
        let mut order: Vec<usize> = (1..shape.len()).map(|i| 2 * i).collect();
        order.push(0);
        order.extend((1..shape.len()).map(|i| 2 * i - 1));
        Ok(vec![transposed(&padded.reshaped(view)?, &order)?.reshaped(shape)?])
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// Dimensions, block sides where they are known, and what is added or cut at both ends.
type Blocks<'a> = (&'a [Dim], Vec<Option<i64>>, Vec<(Interval, Interval)>);

/// The inputs of the batch ops, checked; `None` when the rank of the data is not known.
fn blocks_and_borders<'a>(inputs: &Inputs<'a>) -> Result<Option<Blocks<'a>>, OpError> {
    inputs.expect(4..=4)?;
    let Some(dims) = inputs.shape(0).dims() else { return Ok(None) };
    let rank = dims.len();
    let known = |i| inputs.intervals(i).unwrap_or_else(|| vec![Dim::ANY_DIM; rank]);
    let [blocks, begin, end] = [1, 2, 3].map(known);
    if rank < 2 || [&blocks, &begin, &end].into_iter().any(|list| list.len() != rank) {
        let message = format!(
            "{} blocks, {} begins and {} ends for {rank} dimensions; they must agree, and be at least 2",
            blocks.len(),
            begin.len(),
            end.len()
        );
        return Err(OpError::shape(message));
    }
    if !blocks[0].contains(1) || blocks.iter().any(|block| block.max() < 1) {
        let message = format!("the block shape is {blocks:?}, expected 1 for the batch and nothing below 1");
        return Err(OpError::value(message));
    }
    if begin.iter().chain(&end).any(|border| border.max() < 0) {
        return Err(OpError::value(format!("borders {begin:?} and {end:?}: none may be negative")));
    }
    if [begin[0], end[0]].iter().any(|border| !border.contains(0)) {
        return Err(OpError::value("the batch can't be padded or cropped"));
    }
    let blocks = blocks.into_iter().map(Interval::value).collect();
    Ok(Some((dims, blocks, begin.into_iter().zip(end).collect())))
}

/// The elements of an input as sizes.
fn sizes(tensor: &Tensor) -> Result<Vec<usize>, OpError> {
    let sizes = integers(tensor, "the block shape")?.into_iter().map(usize::try_from);
    sizes.collect::<Result<_, _>>().map_err(|_| OpError::value("a block's side is negative"))
}

/// Moves batches into blocks of space. Inputs: data, block_shape, crops_begin, crops_end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchToSpace;

impl Visit for BatchToSpace {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for BatchToSpace {
    fn type_name(&self) -> &str {
        "BatchToSpace"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        let Some((dims, blocks, sides)) = blocks_and_borders(inputs)? else {
            return Ok(vec![PortType::new(inputs.element_type(0), PartialShape::UNKNOWN)]);
        };
        let volume = blocks.iter().try_fold(1i64, |product, block| product.checked_mul((*block)?));
        let batch = match volume {
            Some(volume) => share(dims[0], volume, "the blocks' size")?,
            None => Dim::ANY_DIM,
        };
        let mut shape = vec![batch];
        for i in 1..dims.len() {
            let whole = dims[i] * blocks[i].map_or(Dim::ANY_DIM, Dim::exactly);
            let cut = whole - sides[i].0 - sides[i].1;
            if cut.max() < 0 {
                let message = format!("crops of {} and {} from {whole}", sides[i].0, sides[i].1);
                return Err(OpError::value(message));
            }
            shape.push(cut.as_dim());
        }
        Ok(vec![PortType::new(inputs.element_type(0), PartialShape::new(shape))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let blocks = sizes(&inputs[1])?;
        let begin = integers(&inputs[2], "crops_begin")?;
        let dims = inputs[0].shape();
        // [b.., N, D..] to [N, (D, b)..].
        let mut view = blocks[1..].to_vec();
        view.push(shape[0]);
        view.extend(&dims[1..]);
        let space = shape.len() - 1;
        let mut order = vec![space];
        order.extend((0..space).flat_map(|i| [space + 1 + i, i]));
        let whole: Vec<usize> = (0..shape.len())
            .map(|i| if i == 0 { shape[0] } else { dims[i].saturating_mul(blocks[i]) })
            .collect();
        let joined = transposed(&inputs[0].reshaped(view)?, &order)?.reshaped(whole)?;
        if shape.contains(&0) {
            return Ok(vec![strided(&joined, 0, &shape, &vec![0; shape.len()])?]);
        }
        let strides = row_major(joined.shape());
        // Crops are smaller than the dimensions, or else the output were empty.
        let start: isize = begin.iter().zip(&strides).map(|(begin, stride)| *begin as isize * stride).sum();
        Ok(vec![strided(&joined, start as usize, &shape, &strides)?])
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{evaluated, inferred, iota};
    use DepthMode::{BlocksFirst, DepthFirst};

    /// The numbers are OpenVINO 2026.4's.
    #[test]
    fn blocks_and_channels() {
        for (mode, want_to, want_from) in [
            (
                BlocksFirst,
                [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15],
                [0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15],
            ),
            (
                DepthFirst,
                [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15],
                [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15],
            ),
        ] {
            let to = SpaceToDepth { mode, block_size: 2 };
            assert_eq!(evaluated(&to, &[iota(&[1, 2, 2, 4])]).unwrap(), (vec![1, 8, 1, 2], want_to.to_vec()));
            let from = DepthToSpace { mode, block_size: 2 };
            assert_eq!(
                evaluated(&from, &[iota(&[1, 8, 1, 2])]).unwrap(),
                (vec![1, 2, 2, 4], want_from.to_vec())
            );
            for shape in [&[2, 3, 6][..], &[1, 2, 2, 4, 6], &[0, 1, 2, 2]] {
                let x = iota(shape);
                let back = from.evaluate(&to.evaluate(std::slice::from_ref(&x)).unwrap()).unwrap();
                assert_eq!(back, [x], "{mode:?} {shape:?}");
            }
        }
        let line =
            evaluated(&SpaceToDepth { mode: BlocksFirst, block_size: 2 }, &[iota(&[1, 2, 6])]).unwrap();
        assert_eq!(line, (vec![1, 4, 3], vec![0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]));
    }

    #[test]
    fn blocks_that_do_not_fit() {
        let to = |block_size, data: &str| {
            inferred(&SpaceToDepth { mode: BlocksFirst, block_size }, &[data.into()])
        };
        let from =
            |block_size, data: &str| inferred(&DepthToSpace { mode: DepthFirst, block_size }, &[data.into()]);
        assert_eq!(to(2, "f32[?,3,?,8]").unwrap(), "f32[?,12,?,4]");
        assert_eq!(from(2, "f32[?,12,?,8]").unwrap(), "f32[?,3,?,16]");
        assert_eq!(from(2, "f32[...]").unwrap(), "f32[...]");
        for bad in
            [to(2, "f32[1,1,3,2]"), to(0, "f32[1,1,2,2]"), to(usize::MAX, "f32[1,1,2,2]"), to(2, "f32[1,2]")]
        {
            assert!(bad.is_err(), "{bad:?}");
        }
        for bad in [from(2, "f32[1,6,1,1]"), from(0, "f32[1,1,1,1]"), from(1 << 32, "f32[1,0,1,1]")] {
            assert!(bad.is_err(), "{bad:?}");
        }
    }

    /// The numbers are OpenVINO 2026.4's.
    #[test]
    fn blocks_and_batches() {
        let run = |op: &dyn Operator, x: Tensor, lists: [&[i64]; 3]| {
            evaluated(op, &[&[x][..], &lists.map(Tensor::from_i64s)].concat())
        };
        let to = run(&SpaceToBatch, iota(&[1, 1, 3, 4]), [&[1, 1, 2, 3], &[0, 0, 1, 0], &[0, 0, 0, 2]]);
        let want = [0, 0, 4, 7, 0, 0, 5, 0, 0, 0, 6, 0, 0, 3, 8, 11, 1, 0, 9, 0, 2, 0, 10, 0];
        assert_eq!(to.unwrap(), (vec![6, 1, 2, 2], want.to_vec()));
        let from = run(&BatchToSpace, iota(&[4, 2, 2]), [&[1, 2, 2], &[0, 1, 0], &[0, 0, 2]]);
        assert_eq!(from.unwrap(), (vec![1, 3, 2], vec![8, 12, 2, 6, 10, 14]));
        let gone = run(&BatchToSpace, iota(&[2, 2]), [&[1, 2], &[0, 4], &[0, 0]]);
        assert_eq!(gone.unwrap(), (vec![1, 0], vec![]));
        for (shape, lists) in [
            (&[1, 3][..], [&[1, 2][..], &[0, 0], &[0, 0]]),
            (&[1, 4], [&[2, 2], &[0, 0], &[0, 0]]),
            (&[1, 4], [&[1, 0], &[0, 0], &[0, 0]]),
            (&[1, 4], [&[1, 2], &[0, -1], &[0, 1]]),
            (&[1, 4], [&[1, 2], &[0, i64::MAX], &[0, i64::MAX]]),
            (&[1, 4], [&[1, 2, 1], &[0, 0], &[0, 0]]),
            (&[4], [&[1], &[0], &[0]]),
        ] {
            assert!(run(&SpaceToBatch, iota(shape), lists).is_err(), "{shape:?} {lists:?}");
        }
        assert!(run(&BatchToSpace, iota(&[3, 2]), [&[1, 2], &[0, 0], &[0, 0]]).is_err());
        assert!(run(&BatchToSpace, iota(&[2, 2]), [&[1, 2], &[0, 3], &[0, 2]]).is_err());
        let infer = |op: &dyn Operator, data: &str| {
            inferred(op, &[data.into(), [1i64, 2, 2].into(), [0i64, 1, 0].into(), [0i64, 1, 0].into()])
        };
        assert_eq!(infer(&SpaceToBatch, "f32[?,8,?]").unwrap(), "f32[?,5,?]");
        assert_eq!(infer(&BatchToSpace, "f32[8,8,?]").unwrap(), "f32[2,14,?]");
        assert_eq!(infer(&BatchToSpace, "f32[...]").unwrap(), "f32[...]");
        let unknown = ["f32[8,8]".into(), "i64[2]".into(), "i64[2]".into(), "i64[2]".into()];
        assert_eq!(inferred(&SpaceToBatch, &unknown).unwrap(), "f32[?,?]");
    }
}
