//! Regions of a tensor.

use super::{
    Inputs, OpError, Operator, Places, PortType,
    axes::{check_rank, distinct_axes, integers},
    elements::{row_major, strided},
    output_shapes,
};
use crate::{
    Dim, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// A region along one dimension, as Python's `begin:end:stride`.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Region {
    /// Negative values count from the end, as in `end`.
    begin: Interval,
    /// `i64::MAX` is beyond the last element, `i64::MIN` before the first.
    end: Interval,
    /// Not 0; `None` when it is not known.
    stride: Option<i64>,
}

impl Region {
    const WHOLE: Self =
        Self { begin: Interval::exactly(0), end: Interval::exactly(i64::MAX), stride: Some(1) };

    /// The number of elements in a dimension `dim`.
    fn length(self, dim: Dim) -> Dim {
        let unknown = Dim::new(0, dim.max()).expect("sizes are not negative");
        let Some(stride) = self.stride else { return unknown };
        let (b, e) = (self.begin, self.end);
        // Of bounds that count from the same end the length is monotone, but these meet from both ends.
        let crossing = if stride > 0 {
            b.min() < 0 && e.max() >= 0 && e.min() < dim.max()
        } else {
            b.max() >= 0 && e.min() < 0 && e.max() > -dim.max()
        };
        let mixed = |bound: Interval| bound.min() < 0 && bound.max() >= 0;
        if mixed(b) || mixed(e) || crossing && dim.value().is_none() {
            return unknown;
        }
        let (near, far) = if stride > 0 {
            ((b.max(), e.min()), (b.min(), e.max()))
        } else {
            ((b.min(), e.max()), (b.max(), e.min()))
        };
        let low = span(dim.min(), near.0, near.1, stride).1;
        let high = span(dim.max(), far.0, far.1, stride).1;
        // As long as an unbounded dimension (divided by the stride): no bound.
        let bounded = dim.max() != i64::MAX || high < i64::MAX / 2 / stride.saturating_abs();
        Dim::new(low, if bounded { high } else { i64::MAX }).unwrap_or(unknown)
    }

    /// The exact position of the first element, and the stride, when they are known.
    fn start(self, size: usize) -> Result<(usize, isize), OpError> {
        let fail = || OpError::value("the region's bounds are not known");
        let stride = self.stride.ok_or_else(fail)?;
        if self.begin.min() != self.begin.max() {
            return Err(fail());
        }
        let size = i64::try_from(size).map_err(|_| fail())?;
        let first = span(size, self.begin.min(), i64::MAX, stride).0;
        Ok((usize::try_from(first).unwrap_or(0), isize::try_from(stride).map_err(|_| fail())?))
    }
}

/// First position and number of elements of `begin:end:stride` in `size` elements.
fn span(size: i64, begin: i64, end: i64, stride: i64) -> (i64, i64) {
    let (size, stride) = (i128::from(size), i128::from(stride));
    // Where the walk may begin and where it stops at the latest.
    let (least, most) = if stride > 0 { (0, size) } else { (-1, size - 1) };
    let place = |bound: i64| {
        let bound = i128::from(bound);
        (if bound < 0 { bound + size } else { bound }).clamp(least, most)
    };
    let (begin, end) = (place(begin), place(end));
    let distance = if stride > 0 { end - begin } else { begin - end };
    let step = stride.abs();
    let count = if distance > 0 { (distance + step - 1) / step } else { 0 };
    (begin as i64, count as i64)
}

/// Where slicing takes one dimension of the output from, or why there is none.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    /// A region of the next dimension.
    Keep(Region),
    /// One element of the next dimension, which goes.
    Shrink(Interval),
    /// A new dimension of size 1.
    New,
}

/// Copies the regions of `data`.
fn evaluate_steps(data: &Tensor, steps: &[Step], shape: Vec<usize>) -> Result<Tensor, OpError> {
    let own = row_major(data.shape());
    let mut strides = Vec::new();
    let (mut start, mut axis) = (0isize, 0);
    let empty = shape.contains(&0);
    for step in steps {
        match *step {
            Step::New => strides.push(0),
            Step::Keep(region) => {
                let (first, stride) = region.start(data.shape()[axis])?;
                // Over a single element any stride will do, and a huge one would overflow.
                let single = empty || shape[strides.len()] == 1;
                strides.push(if single { 0 } else { stride * own[axis] });
                start += if empty { 0 } else { first as isize * own[axis] };
                axis += 1;
            }
            Step::Shrink(begin) => {
                let size = data.shape()[axis] as i64;
                let at = begin.value().map(|v| if v < 0 { v + size } else { v });
                let at = at.ok_or_else(|| OpError::value("the element to take is not known"))?;
                start += if empty { 0 } else { at as isize * own[axis] };
                axis += 1;
            }
        }
    }
    strided(data, start as usize, &shape, &strides)
}

/// The same as [`Places`] of data of `shape`.
fn places_of(shape: &[usize], steps: &[Step]) -> Option<Places> {
    let own = row_major(shape);
    let (mut places, mut axis) = (Places::default(), 0);
    for step in steps {
        match *step {
            Step::New => places.axes.push(vec![Some(0)]),
            Step::Keep(region) => {
                let (size, stride) = (i64::try_from(shape[axis]).ok()?, region.stride?);
                let (first, count) = span(size, region.begin.value()?, region.end.value()?, stride);
                let place = |i: i64| usize::try_from(first + i * stride).map(|at| at * own[axis] as usize);
                places.axes.push((0..count).map(|i| place(i).ok()).collect());
                axis += 1;
            }
            Step::Shrink(begin) => {
                let at = begin.value()?;
                let at = if at < 0 { at + shape[axis] as i64 } else { at };
                places.base += usize::try_from(at).ok()? * own[axis] as usize;
                axis += 1;
            }
        }
    }
    Some(places)
}

/// Slices with TensorFlow's masks. Inputs: data, begin, end, optionally strides. A mask element of 1 applies.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StridedSlice {
    /// 1: begin is ignored.
    pub begin_mask: Vec<i64>,
    /// 1: end is ignored.
    pub end_mask: Vec<i64>,
    /// 1: a new dimension of size 1 here.
    pub new_axis_mask: Vec<i64>,
    /// 1: one element is taken, the dimension goes.
    pub shrink_axis_mask: Vec<i64>,
    /// 1: as many whole dimensions as are left.
    pub ellipsis_mask: Vec<i64>,
}

impl Visit for StridedSlice {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("begin_mask", &mut self.begin_mask);
        v.required("end_mask", &mut self.end_mask);
        v.optional("new_axis_mask", &mut self.new_axis_mask);
        v.optional("shrink_axis_mask", &mut self.shrink_axis_mask);
        v.optional("ellipsis_mask", &mut self.ellipsis_mask);
    }
}

impl Operator for StridedSlice {
    fn type_name(&self) -> &str {
        "StridedSlice"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=4)?;
        let shape = match (inputs.shape(0).dims(), self.entries(inputs)?) {
            (Some(dims), Some(entries)) => sliced(dims, &self.steps(dims.len(), &entries)?)?,
            (Some(dims), None) if self.keeps_rank() => PartialShape::of_rank(dims.len()),
            _ => PartialShape::UNKNOWN,
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let strides = inputs.get(3).map(|t| integers(t, "the strides")).transpose()?;
        let entries = regions(
            &exactly(&integers(&inputs[1], "begin")?),
            &exactly(&integers(&inputs[2], "end")?),
            strides.as_deref(),
        )?;
        let steps = self.steps(inputs[0].shape().len(), &entries)?;
        Ok(vec![evaluate_steps(&inputs[0], &steps, shape)?])
    }

    fn places(&self, shape: &[usize], parameters: &[Option<Tensor>]) -> Option<Places> {
        let known = |i: usize| integers(parameters[i].as_ref()?, "a bound").ok();
        let strides = if parameters.len() > 3 { Some(known(3)?) } else { None };
        let entries = regions(&exactly(&known(1)?), &exactly(&known(2)?), strides.as_deref()).ok()?;
        places_of(shape, &self.steps(shape.len(), &entries).ok()?)
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

impl StridedSlice {
    /// True when the output has as many dimensions as the data.
    fn keeps_rank(&self) -> bool {
        [&self.new_axis_mask, &self.shrink_axis_mask].into_iter().flatten().all(|bit| *bit == 0)
    }

    /// Begin, end and stride, as far as they are known; `None` when not even their number is.
    fn entries(&self, inputs: &Inputs) -> Result<Option<Vec<Region>>, OpError> {
        let Some(count) = (1..inputs.len()).find_map(|i| inputs.count(i)) else { return Ok(None) };
        // Up to as many new dimensions as there are others.
        check_rank(count / 2)?;
        let bound = |i| inputs.intervals(i).unwrap_or_else(|| vec![Interval::UNKNOWN; count]);
        let strides = match inputs.len() {
            3 => None,
            _ => inputs.tensor(3).map(|t| integers(t, "the strides")).transpose()?,
        };
        let mut entries = regions(&bound(1), &bound(2), strides.as_deref())?;
        if inputs.len() == 4 && strides.is_none() {
            entries.iter_mut().for_each(|entry| entry.stride = None);
        }
        Ok(Some(entries))
    }

    /// What happens to each dimension of a tensor of `rank` dimensions.
    fn steps(&self, rank: usize, entries: &[Region]) -> Result<Vec<Step>, OpError> {
        let bit = |mask: &[i64], i: usize| mask.get(i).is_some_and(|bit| *bit != 0);
        let ellipsis = |i| bit(&self.ellipsis_mask, i);
        let new = |i| bit(&self.new_axis_mask, i) && !ellipsis(i);
        if (0..entries.len()).filter(|i| ellipsis(*i)).count() > 1 {
            return Err(OpError::attribute("ellipsis_mask has more than one bit"));
        }
        let consumed = (0..entries.len()).filter(|i| !ellipsis(*i) && !new(*i)).count();
        let Some(left) = rank.checked_sub(consumed) else {
            let message = format!("{consumed} dimensions are sliced where the data has {rank}");
            return Err(OpError::shape(message));
        };
        let mut steps = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            if ellipsis(i) {
                steps.extend(std::iter::repeat_n(Step::Keep(Region::WHOLE), left));
            } else if new(i) {
                steps.push(Step::New);
            } else if bit(&self.shrink_axis_mask, i) {
                steps.push(Step::Shrink(if bit(&self.begin_mask, i) {
                    Interval::exactly(0)
                } else {
                    entry.begin
                }));
            } else {
                let mut region = *entry;
                // In an unknown direction a masked bound is unknown too.
                let toward = |forward: i64, backward: i64| match region.stride {
                    None => Interval::UNKNOWN,
                    Some(stride) => Interval::exactly(if stride > 0 { forward } else { backward }),
                };
                let (first, last) = (toward(0, i64::MAX), toward(i64::MAX, i64::MIN));
                if bit(&self.begin_mask, i) {
                    region.begin = first;
                }
                if bit(&self.end_mask, i) {
                    region.end = last;
                }
                steps.push(Step::Keep(region));
            }
        }
        if !(0..entries.len()).any(ellipsis) {
            steps.extend(std::iter::repeat_n(Step::Keep(Region::WHOLE), left));
        }
        check_rank(steps.len())?;
        Ok(steps)
    }
}

/// Each value as an interval.
fn exactly(values: &[i64]) -> Vec<Interval> {
    values.iter().map(|value| Interval::exactly(*value)).collect()
}

/// The regions between `begin` and `end`; without strides in steps of 1.
fn regions(begin: &[Interval], end: &[Interval], strides: Option<&[i64]>) -> Result<Vec<Region>, OpError> {
    let counts = [begin.len(), end.len(), strides.map_or(begin.len(), <[i64]>::len)];
    if counts.iter().any(|count| *count != counts[0]) {
        let message = format!("begin, end and strides have {counts:?} elements; they must agree");
        return Err(OpError::shape(message));
    }
    if strides.is_some_and(|strides| strides.contains(&0)) {
        return Err(OpError::value("a stride is 0"));
    }
    let stride = |i: usize| Some(strides.map_or(1, |strides| strides[i]));
    let region = |i: usize| Region { begin: begin[i], end: end[i], stride: stride(i) };
    Ok((0..begin.len()).map(region).collect())
}

/// The shape that `steps` leave.
fn sliced(dims: &[Dim], steps: &[Step]) -> Result<PartialShape, OpError> {
    let mut dims = dims.iter();
    let mut next = || *dims.next().expect("one step a dimension");
    let mut shape = Vec::new();
    for step in steps {
        match step {
            Step::New => shape.push(Dim::exactly(1)),
            Step::Keep(region) => shape.push(region.length(next())),
            Step::Shrink(begin) => {
                let dim = next();
                let reachable = begin.max() >= dim.max().saturating_neg() && begin.min() < dim.max();
                if !reachable {
                    return Err(OpError::value(format!("element {begin} is outside a dimension of {dim}")));
                }
            }
        }
    }
    Ok(PartialShape::new(shape))
}

/// Slices along axes. Inputs: data, start, stop, step, optionally axes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slice;

impl Visit for Slice {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Slice {
    fn type_name(&self) -> &str {
        "Slice"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(4..=5)?;
        let Some(dims) = inputs.shape(0).dims() else {
            return Ok(vec![PortType::new(inputs.element_type(0), PartialShape::UNKNOWN)]);
        };
        let count = (1..inputs.len()).find_map(|i| inputs.count(i));
        let axes = match (inputs.len(), inputs.tensor(inputs.len() - 1)) {
            (5, Some(axes)) => Some(integers(axes, "the axes")?),
            (5, None) => None,
            _ => count.map(|count| (0..count.min(dims.len()) as i64).collect()),
        };
        let shape = match (axes, count) {
            (Some(axes), Some(count)) if count <= dims.len() => {
                let bound = |i| inputs.intervals(i).unwrap_or_else(|| vec![Interval::UNKNOWN; count]);
                let strides = inputs.tensor(3).map(|t| integers(t, "the step")).transpose()?;
                let mut entries = regions(&bound(1), &bound(2), strides.as_deref())?;
                if strides.is_none() {
                    entries.iter_mut().for_each(|entry| entry.stride = None);
                }
                sliced(dims, &along_axes(dims.len(), &entries, &axes)?)?
            }
            (_, Some(count)) if count > dims.len() => {
                let message = format!("{count} dimensions are sliced where the data has {}", dims.len());
                return Err(OpError::shape(message));
            }
            // Whatever is sliced does not grow.
            _ => PartialShape::new(dims.iter().map(|dim| dim.hull(Dim::exactly(0)))),
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let [begin, end] = [integers(&inputs[1], "the start")?, integers(&inputs[2], "the stop")?];
        let strides = integers(&inputs[3], "the step")?;
        let axes = match inputs.get(4) {
            Some(axes) => integers(axes, "the axes")?,
            None => (0..begin.len() as i64).collect(),
        };
        let entries = regions(&exactly(&begin), &exactly(&end), Some(&strides))?;
        let steps = along_axes(inputs[0].shape().len(), &entries, &axes)?;
        Ok(vec![evaluate_steps(&inputs[0], &steps, shape)?])
    }

    fn places(&self, shape: &[usize], parameters: &[Option<Tensor>]) -> Option<Places> {
        let known = |i: usize| integers(parameters[i].as_ref()?, "a bound").ok();
        let (begin, end, strides) = (known(1)?, known(2)?, known(3)?);
        let axes = if parameters.len() > 4 { known(4)? } else { (0..begin.len() as i64).collect() };
        let entries = regions(&exactly(&begin), &exactly(&end), Some(&strides)).ok()?;
        places_of(shape, &along_axes(shape.len(), &entries, &axes).ok()?)
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// One step a dimension, of which those along `axes` are sliced.
fn along_axes(rank: usize, entries: &[Region], axes: &[i64]) -> Result<Vec<Step>, OpError> {
    if axes.len() != entries.len() {
        let message = format!("{} axes for {} slices; they must agree", axes.len(), entries.len());
        return Err(OpError::shape(message));
    }
    let mut steps = vec![Step::Keep(Region::WHOLE); rank];
    for (axis, entry) in distinct_axes(axes, rank)?.into_iter().zip(entries) {
        steps[axis] = Step::Keep(*entry);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{evaluated, inferred, iota};

    /// (data, begin, end, strides, masks of begin, end, new axis, shrink, ellipsis)
    type Case = (&'static [usize], Vec<i64>, Vec<i64>, Vec<i64>, [&'static [i64]; 5]);

    fn op(masks: [&[i64]; 5]) -> StridedSlice {
        let [begin_mask, end_mask, new_axis_mask, shrink_axis_mask, ellipsis_mask] =
            masks.map(<[i64]>::to_vec);
        StridedSlice { begin_mask, end_mask, new_axis_mask, shrink_axis_mask, ellipsis_mask }
    }

    /// The answers are NumPy's, of the expression in front of each.
    #[test]
    fn strided_slices_are_numpys() {
        let cases: Vec<(&str, Case, Vec<usize>, Vec<i64>)> = vec![
            (
                "[::-1, 1, ..., None]",
                (
                    &[2, 3, 4],
                    vec![0, 1, 9, 9],
                    vec![0, 2, 9, 9],
                    vec![-1, 1, 9, 9],
                    [&[1], &[1], &[0, 0, 0, 1], &[0, 1], &[0, 0, 1]],
                ),
                vec![2, 4, 1],
                vec![16, 17, 18, 19, 4, 5, 6, 7],
            ),
            (
                "[-1:, None, ::2, -5:9]",
                (
                    &[2, 3, 4],
                    vec![-1, 0, 0, -5],
                    vec![0, 0, 0, 9],
                    vec![1, 1, 2, 1],
                    [&[0, 0, 1], &[1, 0, 1], &[0, 1], &[], &[]],
                ),
                vec![1, 1, 2, 4],
                vec![12, 13, 14, 15, 20, 21, 22, 23],
            ),
            (
                "[..., 3:0:-2]",
                (&[2, 3, 4], vec![0, 3], vec![0, 0], vec![1, -2], [&[], &[], &[], &[], &[1]]),
                vec![2, 3, 2],
                vec![3, 1, 7, 5, 11, 9, 15, 13, 19, 17, 23, 21],
            ),
            ("[-1]", (&[5], vec![-1], vec![0], vec![1], [&[], &[], &[], &[1], &[]]), vec![], vec![4]),
            ("[2:2]", (&[5], vec![2], vec![2], vec![1], [&[], &[], &[], &[], &[]]), vec![0], vec![]),
            ("[100:-100:-3]", (&[5], vec![100], vec![-100], vec![-3], [&[]; 5]), vec![2], vec![4, 1]),
            ("[-10:-20:-1]", (&[5], vec![-10], vec![-20], vec![-1], [&[]; 5]), vec![0], vec![]),
            ("[1::max]", (&[5], vec![1], vec![i64::MAX], vec![i64::MAX], [&[]; 5]), vec![1], vec![1]),
            (
                "[::min]",
                (&[5], vec![0], vec![0], vec![i64::MIN], [&[1], &[1], &[], &[], &[]]),
                vec![1],
                vec![4],
            ),
            ("[:1]", (&[3, 2], vec![0], vec![1], vec![1], [&[]; 5]), vec![1, 2], vec![0, 1]),
            ("[0:2]", (&[0, 3], vec![0], vec![2], vec![1], [&[]; 5]), vec![0, 3], vec![]),
            ("[None]", (&[], vec![0], vec![1], vec![1], [&[], &[], &[1], &[], &[]]), vec![1], vec![0]),
        ];
        for (name, (shape, begin, end, strides, masks), want_shape, want) in cases {
            let mut inputs = vec![iota(shape)];
            inputs.extend([begin, end, strides].map(|v| Tensor::from_i64s(&v)));
            let found = evaluated(&op(masks), &inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(found, (want_shape, want), "{name}");
        }
    }

    #[test]
    fn slices_of_dynamic_dimensions() {
        let infer = |data: &str, begin: i64, end: i64, stride: i64, masks: [&[i64]; 5]| {
            let inputs = [data.into(), [begin].into(), [end].into(), [stride].into()];
            inferred(&op(masks), &inputs).map_err(|e| e.to_string())
        };
        let none: [&[i64]; 5] = [&[]; 5];
        let to_end: [&[i64]; 5] = [&[], &[1], &[], &[], &[]];
        for (data, begin, end, stride, masks, want) in [
            ("f32[?,3]", 0, 1, 1, none, "f32[0..1,3]"),
            ("f32[4..9,3]", 0, 2, 1, none, "f32[2,3]"),
            ("f32[4..9,3]", 1, -1, 1, none, "f32[2..7,3]"),
            ("f32[?,3]", 1, 0, 2, to_end, "f32[?,3]"),
            ("f32[?,3]", -3, 0, 1, to_end, "f32[0..3,3]"),
            ("f32[4..9,3]", -5, 6, 1, none, "f32[0..9,3]"),
            ("f32[4..9]", 0, 0, -1, [&[1], &[1], &[], &[], &[]], "f32[4..9]"),
            ("f32[?]", 3, 4, 1, [&[], &[], &[], &[1], &[]], "f32[]"),
            ("f32[...]", 3, 4, 1, none, "f32[...]"),
        ] {
            assert_eq!(infer(data, begin, end, stride, masks).as_deref(), Ok(want), "{data} {begin}:{end}");
        }
        let out = infer("f32[3]", 3, 4, 1, [&[], &[], &[], &[1], &[]]).unwrap_err();
        assert_eq!(out, "element 3 is outside a dimension of 3");
        assert!(infer("f32[3]", 0, 1, 0, none).is_err(), "a stride of 0");
        assert!(infer("f32[]", 0, 1, 1, none).is_err(), "more slices than dimensions");
        let twice = op([&[], &[], &[], &[], &[1, 1]]);
        let pair = || [0i64, 0].into();
        assert!(inferred(&twice, &["f32[3]".into(), pair(), pair()]).is_err(), "two ellipses");
        assert!(inferred(&op(none), &["f32[3]".into(), [0].into(), pair()]).is_err(), "lengths differ");
        // Nothing known of the bounds but their number.
        let unknown = || "i64[2]".into();
        assert_eq!(
            inferred(&op(none), &["f32[5,?,7]".into(), unknown(), unknown()]).unwrap(),
            "f32[0..5,?,7]"
        );
    }

    /// The cases of OpenVINO's Slice-8 specification.
    #[test]
    fn slices_along_axes() {
        for (start, stop, step, axes, want) in [
            (1, 8, 1, Some(0), vec![1, 2, 3, 4, 5, 6, 7]),
            (1, 8, 2, None, vec![1, 3, 5, 7]),
            (-100, 100, 4, Some(-1), vec![0, 4, 8]),
            (9, -11, -3, Some(0), vec![9, 6, 3, 0]),
            (9, 0, -4, Some(0), vec![9, 5, 1]),
            (100, i64::MIN, -5, None, vec![9, 4]),
        ] {
            let mut inputs = vec![iota(&[10])];
            inputs.extend([start, stop, step].map(|v| Tensor::from_i64s(&[v])));
            inputs.extend(axes.map(|axis: i64| Tensor::from_i64s(&[axis])));
            assert_eq!(evaluated(&Slice, &inputs).unwrap().1, want, "{start}:{stop}:{step}");
        }
        let two = |axes: [i64; 2]| {
            let inputs = [iota(&[2, 5]), Tensor::from_i64s(&[1, 0]), Tensor::from_i64s(&[4, 2])];
            let rest = [Tensor::from_i64s(&[2, 1]), Tensor::from_i64s(&axes)];
            evaluated(&Slice, &[&inputs[..], &rest].concat())
        };
        assert_eq!(two([1, 0]).unwrap(), (vec![2, 2], vec![1, 3, 6, 8]));
        assert!(two([1, -1]).is_err(), "an axis twice");
        assert!(two([1, 2]).is_err(), "an axis too many");
        let known = ["f32[?,8]".into(), [2].into(), [6].into(), [1].into(), [1].into()];
        assert_eq!(inferred(&Slice, &known).unwrap(), "f32[?,4]");
        let unknown = ["f32[3,8]".into(), [2].into(), [6].into(), [1].into(), "i64[1]".into()];
        assert_eq!(inferred(&Slice, &unknown).unwrap(), "f32[0..3,0..8]");
    }
}
