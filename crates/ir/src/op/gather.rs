//! Elements picked and placed by indices.

use super::{
    Inputs, OpError, Operator, PortType,
    axes::{axis, check_rank, integer, integers},
    elements::{allocate, bytewise},
    expect_inputs, output_shapes,
};
use crate::{
    Dim, ElementType, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// Slices picked along an axis. Inputs: data, indices, axis.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Gather {
    /// Leading dimensions that data and indices share.
    pub batch_dims: i64,
}

impl Visit for Gather {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("batch_dims", &mut self.batch_dims);
    }
}

impl Operator for Gather {
    fn type_name(&self) -> &str {
        "Gather"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=3)?;
        let along = inputs.tensor(2).map(|t| integer(t, "the axis")).transpose()?;
        let (data, indices) = (inputs.shape(0), inputs.shape(1));
        let shape = match (data.dims(), indices.dims()) {
            (Some(dims), Some(picks)) => {
                let batch = self.batch(picks.len())?;
                let rank = (dims.len() + picks.len()).checked_sub(1 + batch);
                let rank = rank.ok_or_else(|| OpError::shape("the data is a scalar, which has no axis"))?;
                check_rank(rank)?;
                match along {
                    None => PartialShape::of_rank(rank),
                    Some(value) => {
                        let axis = axis(value, dims.len())?;
                        if batch > axis {
                            let message = format!("batch_dims is {batch}, beyond the axis {axis}");
                            return Err(OpError::attribute(message));
                        }
                        let mut shape = Vec::new();
                        for (i, (a, b)) in dims.iter().zip(picks).take(batch).enumerate() {
                            shape.push(a.intersect(*b).ok_or_else(|| {
                                OpError::shape(format!(
                                    "batch dimension {i} is {a} in the data, {b} in the indices"
                                ))
                            })?);
                        }
                        shape.extend(&dims[batch..axis]);
                        shape.extend(&picks[batch..]);
                        shape.extend(&dims[axis + 1..]);
                        PartialShape::new(shape)
                    }
                }
            }
            _ => PartialShape::UNKNOWN,
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let indices = integers(&inputs[1], "the indices")?;
        let data = bytewise(&inputs[0], |data| {
            let (ty, sizes) = (data.element_type(), data.shape());
            let axis = axis(integer(&inputs[2], "the axis")?, sizes.len())?;
            let batch = self.batch(inputs[1].shape().len())?;
            let mut out = allocate(ty, &shape)?;
            if !out.is_empty() {
                let inner = sizes[axis + 1..].iter().product::<usize>() * (ty.bits() / 8);
                let batches: usize = sizes[..batch].iter().product();
                let outer: usize = sizes[batch..axis].iter().product();
                let picks = indices.len() / batches;
                let mut slots = out.chunks_exact_mut(inner);
                for (b, o) in (0..batches).flat_map(|b| (0..outer).map(move |o| (b, o))) {
                    for (value, slot) in indices[b * picks..][..picks].iter().zip(&mut slots) {
                        let at = ((b * outer + o) * sizes[axis] + index(*value, sizes[axis])?) * inner;
                        slot.copy_from_slice(&data.bytes()[at..at + inner]);
                    }
                }
            }
            Ok(Tensor::from_aligned(ty, shape.clone(), out)?)
        });
        Ok(vec![data?])
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

impl Gather {
    /// The number of leading dimensions that data and indices of `rank` dimensions share.
    fn batch(&self, rank: usize) -> Result<usize, OpError> {
        // May equal the rank of the indices, so it isn't an axis of theirs.
        axis(self.batch_dims, rank + 1 - usize::from(self.batch_dims < 0)).map_err(|_| {
            let message =
                format!("batch_dims is {} where the indices have {rank} dimensions", self.batch_dims);
            OpError::attribute(message)
        })
    }
}

/// The position that an index means among `size`: negative values count from the end.
fn index(value: i64, size: usize) -> Result<usize, OpError> {
    axis(value, size).map_err(|_| OpError::value(format!("index {value} is outside a dimension of {size}")))
}

/// Elements picked along an axis, each by its own index. Inputs: data, indices of the same rank.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct GatherElements {
    /// The axis; negative counts from the end.
    pub axis: i64,
}

impl Visit for GatherElements {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("axis", &mut self.axis);
    }
}

impl Operator for GatherElements {
    fn type_name(&self) -> &str {
        "GatherElements"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let (data, indices) = (inputs.shape(0), inputs.shape(1));
        let shape = match (data.dims(), indices.dims()) {
            (Some(dims), Some(picks)) => {
                let axis = axis(self.axis, dims.len())?;
                let mut shape = dims.to_vec();
                if let Some(pick) = picks.get(axis) {
                    shape[axis] = *pick;
                }
                let fail =
                    || OpError::shape(format!("indices {indices} differ from {data} beyond axis {axis}"));
                PartialShape::new(shape).intersect(indices).ok_or_else(fail)?
            }
            _ => indices.clone(),
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let indices = integers(&inputs[1], "the indices")?;
        let y = bytewise(&inputs[0], |data| {
            let ty = data.element_type();
            let axis = axis(self.axis, shape.len())?;
            let mut out = allocate(ty, &shape)?;
            if !out.is_empty() {
                let inner: usize = shape[axis + 1..].iter().product();
                let (length, size) = (data.shape()[axis], ty.bits() / 8);
                for (i, slot) in out.chunks_exact_mut(size).enumerate() {
                    let outer = i / inner / shape[axis];
                    let at = ((outer * length + index(indices[i], length)?) * inner + i % inner) * size;
                    slot.copy_from_slice(&data.bytes()[at..at + size]);
                }
            }
            Ok(Tensor::from_aligned(ty, shape.clone(), out)?)
        });
        Ok(vec![y?])
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// Slices picked by index tuples, the last dimension of the indices. Inputs: data, indices.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct GatherNd {
    /// Leading dimensions that data and indices share.
    pub batch_dims: usize,
    /// These become one in the output, as version 5 has it. No attribute of files.
    pub merges_batch: bool,
}

impl Visit for GatherNd {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("batch_dims", &mut self.batch_dims);
    }
}

impl Operator for GatherNd {
    fn type_name(&self) -> &str {
        "GatherND"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let ty = inputs.element_type(0);
        let (data, indices) = (inputs.shape(0), inputs.shape(1));
        let (Some(dims), Some(tuples)) = (data.dims(), indices.dims()) else {
            return Ok(vec![PortType::new(ty, PartialShape::UNKNOWN)]);
        };
        let batch = self.batch_dims;
        if batch >= dims.len().min(tuples.len()) {
            return Err(OpError::attribute(format!("batch_dims is {batch} for {data} and {indices}")));
        }
        let Some(picked) = tuples[tuples.len() - 1].size() else {
            return Ok(vec![PortType::new(ty, PartialShape::UNKNOWN)]);
        };
        if picked > dims.len() - batch {
            return Err(OpError::shape(format!("index tuples of {picked} for {data}")));
        }
        let mut shape = Vec::new();
        for (a, b) in dims.iter().zip(tuples).take(batch) {
            let fail = || OpError::shape(format!("the batch of {data} is not that of {indices}"));
            shape.push(a.intersect(*b).ok_or_else(fail)?);
        }
        if self.merges_batch && batch > 1 {
            shape = vec![shape.into_iter().fold(Dim::exactly(1), |product, dim| product * dim)];
        }
        shape.extend(&tuples[batch..tuples.len() - 1]);
        shape.extend(&dims[batch + picked..]);
        check_rank(shape.len())?;
        Ok(vec![PortType::new(ty, PartialShape::new(shape))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let indices = integers(&inputs[1], "the indices")?;
        let y = bytewise(&inputs[0], |data| {
            let (ty, dims) = (data.element_type(), data.shape());
            let mut out = allocate(ty, &shape)?;
            if !out.is_empty() {
                let (batch, tuples) = (self.batch_dims, inputs[1].shape());
                let picked = tuples[tuples.len() - 1];
                let inner = dims[batch + picked..].iter().product::<usize>() * (ty.bits() / 8);
                let each: usize = tuples[batch..tuples.len() - 1].iter().product();
                for (i, slot) in out.chunks_exact_mut(inner).enumerate() {
                    let tuple = &indices[i * picked..][..picked];
                    let at = place(i / each, tuple, &dims[batch..])? * inner;
                    slot.copy_from_slice(&data.bytes()[at..at + inner]);
                }
            }
            Ok(Tensor::from_aligned(ty, shape.clone(), out)?)
        });
        Ok(vec![y?])
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// Which slice of `dims` an index tuple means, counted on from `first` such tensors.
fn place(first: usize, tuple: &[i64], dims: &[usize]) -> Result<usize, OpError> {
    tuple.iter().zip(dims).try_fold(first, |at, (value, size)| Ok(at * size + index(*value, *size)?))
}

/// A copy of the data with slices replaced where index tuples say; of several in one place the last stays.
/// Inputs: data, indices, updates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScatterNdUpdate;

impl Visit for ScatterNdUpdate {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for ScatterNdUpdate {
    fn type_name(&self) -> &str {
        "ScatterNDUpdate"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=3)?;
        let ty = inputs.same_element_type([0, 2])?;
        let (data, indices, updates) = (inputs.shape(0), inputs.shape(1), inputs.shape(2));
        if let (Some(dims), Some(tuples)) = (data.dims(), indices.dims()) {
            let fail =
                || OpError::shape(format!("updates {updates} do not fit indices {indices} into {data}"));
            let (last, places) = tuples.split_last().ok_or_else(fail)?;
            if let Some(picked) = last.size() {
                let inner = dims.get(picked..).ok_or_else(fail)?;
                let wanted = PartialShape::new(places.iter().chain(inner).copied());
                wanted.intersect(updates).ok_or_else(fail)?;
            }
        }
        Ok(vec![PortType::new(ty, data.clone())])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let (data, updates, ty) = (&inputs[0], &inputs[2], inputs[0].element_type());
        if !ty.bits().is_multiple_of(8) || updates.element_type() != ty {
            return Err(OpError::element_type(format!("{} updates in {ty}", updates.element_type())));
        }
        let indices = integers(&inputs[1], "the indices")?;
        let mut out = allocate(ty, &shape)?;
        out.copy_from_slice(data.bytes());
        if !out.is_empty() && !updates.is_empty() {
            let picked = inputs[1].shape()[inputs[1].shape().len() - 1];
            let inner = shape[picked..].iter().product::<usize>() * (ty.bits() / 8);
            for (i, update) in updates.bytes().chunks_exact(inner).enumerate() {
                let at = place(0, &indices[i * picked..][..picked], &shape)? * inner;
                out[at..at + inner].copy_from_slice(update);
            }
        } else if !updates.is_empty() {
            return Err(OpError::value("an index into an empty tensor"));
        }
        Ok(vec![Tensor::from_aligned(ty, shape, out)?])
    }

    fn moves(&self, input: usize) -> bool {
        matches!(input, 0 | 2)
    }
}

/// The indices of the elements that are not 0, [rank, how many].
#[derive(Clone, PartialEq, Debug)]
pub struct NonZero {
    /// Type of the indices: i64 or i32.
    pub output_type: ElementType,
}

impl Default for NonZero {
    fn default() -> Self {
        Self { output_type: ElementType::I64 }
    }
}

impl Visit for NonZero {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("output_type", &mut self.output_type);
    }
}

/// The positions of the elements of `tensor` that are not 0.
fn nonzero(tensor: &Tensor) -> Vec<usize> {
    // By f64 a half stays above 0, and a u64 does not wrap.
    let values = tensor.to_f64s();
    (0..values.len()).filter(|i| values[*i] != 0.0).collect()
}

impl Operator for NonZero {
    fn type_name(&self) -> &str {
        "NonZero"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        if !matches!(self.output_type, ElementType::I32 | ElementType::I64) {
            let message = format!("output_type is {}, expected i32 or i64", self.output_type);
            return Err(OpError::attribute(message));
        }
        let most = match inputs.shape(0).dims() {
            Some(dims) => dims.iter().fold(Dim::exactly(1), |product, dim| product * *dim).max(),
            None => i64::MAX,
        };
        let count = match inputs.tensor(0) {
            Some(tensor) => Dim::dim(nonzero(tensor).len()),
            None => Dim::new(0, most).expect("sizes are not negative"),
        };
        let rank = inputs.shape(0).rank().map_or(Dim::ANY_DIM, Dim::dim);
        Ok(vec![PortType::new(self.output_type, PartialShape::new([rank, count]))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let (places, shape) = (nonzero(&inputs[0]), inputs[0].shape());
        let mut y = Vec::new();
        for axis in 0..shape.len() {
            let inner: usize = if places.is_empty() { 1 } else { shape[axis + 1..].iter().product() };
            y.extend(places.iter().map(|i| (i / inner % shape[axis]) as i64));
        }
        Ok(vec![Tensor::from_i64_values(self.output_type, &[shape.len(), places.len()], &y)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{Given, evaluated, i64s, inferred, iota};

    /// The numbers are OpenVINO 2026.4's.
    #[test]
    fn gathering_along_an_axis() {
        let run = |batch_dims, x: Tensor, indices: Tensor, axis: i64| {
            evaluated(&Gather { batch_dims }, &[x, indices, Tensor::scalar(axis)])
        };
        let square = i64s(&[2, 2], &[1, 0, -1, 1]);
        assert_eq!(run(0, iota(&[2, 2]), square, 0).unwrap(), (vec![2, 2, 2], vec![2, 3, 0, 1, 2, 3, 2, 3]));
        let rows = i64s(&[2, 2], &[1, 0, -1, 2]);
        assert_eq!(run(1, iota(&[2, 1, 3]), rows.clone(), 2).unwrap(), (vec![2, 1, 2], vec![1, 0, 5, 5]));
        assert_eq!(run(-1, iota(&[2, 1, 3]), rows, 2).unwrap().1, [1, 0, 5, 5]);
        assert_eq!(run(0, iota(&[2, 3]), i64s(&[], &[-1]), -1).unwrap(), (vec![2], vec![2, 5]));
        assert_eq!(run(0, iota(&[2, 3]), i64s(&[0], &[]), 0).unwrap(), (vec![0, 3], vec![]));
        for outside in [2, -3, i64::MIN, i64::MAX] {
            let err = run(0, iota(&[2]), i64s(&[1], &[outside]), 0).unwrap_err();
            assert_eq!(err.to_string(), format!("index {outside} is outside a dimension of 2"));
        }
        assert!(run(0, iota(&[]), i64s(&[], &[0]), 0).is_err());
        assert!(run(1, iota(&[2, 2]), i64s(&[2], &[0, 0]), 0).is_err());
        assert!(run(3, iota(&[2, 2]), i64s(&[2], &[0, 0]), 1).is_err());
        assert!(run(0, iota(&[2, 2]), iota(&[1]), 1).is_err(), "indices of floats");
        let infer = |batch_dims, data: &str, indices: &str, axis: Given| {
            inferred(&Gather { batch_dims }, &[data.into(), indices.into(), axis])
        };
        assert_eq!(infer(0, "f32[?,5,6]", "i64[2,?]", 1i64.into()).unwrap(), "f32[?,2,?,6]");
        assert_eq!(infer(1, "f32[?,5,6]", "i64[3,4]", 1i64.into()).unwrap(), "f32[3,4,6]");
        assert_eq!(infer(0, "f32[4,5]", "i64[2]", "i64[]".into()).unwrap(), "f32[?,?]");
        assert_eq!(infer(0, "f32[...]", "i64[2]", 0i64.into()).unwrap(), "f32[...]");
        assert!(infer(1, "f32[2,5]", "i64[3,4]", 1i64.into()).is_err());
    }

    /// The numbers are OpenVINO 2026.4's.
    #[test]
    fn picking_and_placing_by_tuples() {
        let pick = |merges_batch, batch_dims, x: Tensor, indices: Tensor| {
            evaluated(&GatherNd { batch_dims, merges_batch }, &[x, indices])
        };
        let tuples = i64s(&[1, 2, 2, 1], &[1, 0, 0, 1]);
        let found = pick(false, 2, iota(&[1, 2, 2]), tuples.clone()).unwrap();
        assert_eq!(found, (vec![1, 2, 2], vec![1, 0, 2, 3]));
        assert_eq!(pick(true, 2, iota(&[1, 2, 2]), tuples).unwrap(), (vec![2, 2], vec![1, 0, 2, 3]));
        let found = pick(true, 1, iota(&[2, 3, 2]), i64s(&[2, 2, 1], &[1, 0, 2, -1])).unwrap();
        assert_eq!(found, (vec![2, 2, 2], vec![2, 3, 0, 1, 10, 11, 10, 11]));
        assert_eq!(pick(false, 0, iota(&[2, 2]), i64s(&[2, 2], &[1, 0, -1, -1])).unwrap().1, [2, 3]);
        assert!(pick(false, 0, iota(&[2]), i64s(&[1, 1], &[2])).is_err());
        assert!(pick(false, 0, iota(&[2]), i64s(&[1, 2], &[0, 0])).is_err());
        assert!(pick(false, 1, iota(&[2]), i64s(&[2, 1], &[0, 0])).is_err());
        let infer = |indices: &str| inferred(&GatherNd::default(), &["f32[?,4,5]".into(), indices.into()]);
        assert_eq!(infer("i64[7,2]").unwrap(), "f32[7,5]");
        assert_eq!(infer("i64[7,?]").unwrap(), "f32[...]");

        let put =
            |x: Tensor, indices: Tensor, updates: Tensor| evaluated(&ScatterNdUpdate, &[x, indices, updates]);
        let found = put(iota(&[3, 2]), i64s(&[2, 1], &[1, 0]), iota(&[2, 2])).unwrap();
        assert_eq!(found.1, [2, 3, 0, 1, 4, 5]);
        assert_eq!(put(iota(&[2, 2]), i64s(&[1, 2], &[-1, 0]), iota(&[1])).unwrap().1, [0, 1, 0, 3]);
        assert!(put(iota(&[2]), i64s(&[1, 1], &[2]), iota(&[1])).is_err());
        assert!(put(iota(&[2]), i64s(&[1, 1], &[0]), iota(&[2])).is_err());
        assert!(put(iota(&[2]), i64s(&[], &[0]), iota(&[2])).is_err());

        let elements = |indices: Tensor| evaluated(&GatherElements { axis: 1 }, &[iota(&[2, 2]), indices]);
        assert_eq!(elements(i64s(&[2, 2], &[0, -1, 1, 0])).unwrap().1, [0, 1, 3, 2]);
        assert_eq!(elements(i64s(&[2, 1], &[1, 0])).unwrap(), (vec![2, 1], vec![1, 2]));
        assert!(elements(i64s(&[3, 1], &[1, 0, 0])).is_err());
        assert!(elements(i64s(&[2, 1], &[1, 2])).is_err());
        assert!(elements(i64s(&[2], &[1, 0])).is_err());

        let places = evaluated(&NonZero::default(), &[i64s(&[2, 2], &[0, 3, 5, 0])]).unwrap();
        assert_eq!(places, (vec![2, 2], vec![0, 1, 1, 0]));
        assert_eq!(evaluated(&NonZero::default(), &[i64s(&[0, 2], &[])]).unwrap(), (vec![2, 0], vec![]));
        assert_eq!(inferred(&NonZero::default(), &["f32[?,2]".into()]).unwrap(), "i64[2,?]");
    }
}
