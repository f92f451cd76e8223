//! The best boxes of those that overlap.

use super::{
    Inputs, OpError, Operator, PortType, axes,
    boxes::{Corners, overlap, singles},
    elements::check_fits,
    expect_inputs, output_shapes,
};
use crate::{
    Dim, ElementType, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// What the four numbers of a box are.
    BoxEncoding {
        /// Top, left, bottom, right, or any opposite corners.
        Corner = "corner",
        /// The center's column and row, width, height.
        Center = "center",
    }
}

/// What an op set makes of the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SelectionForm {
    /// The rows for which there could be boxes; -1 in those that have none. Op sets before 5.
    Filled,
    /// As many rows as boxes; scores and their number are outputs too, and boxes can lose score gradually.
    Counted,
}

/// Rows of image, class and box of the boxes that stay. Inputs: boxes `[N,B,4]`, scores `[N,C,B]`, the most boxes of a
/// class, the overlap from which a box is suppressed, the least score, and the spread of gradual suppression.
#[derive(Clone, PartialEq, Debug)]
pub struct NonMaxSuppression {
    /// What boxes are given by.
    pub box_encoding: BoxEncoding,
    /// The best of all images and classes come first.
    pub sort_result_descending: bool,
    /// Type of the rows, which op set 1 doesn't let choose.
    pub output_type: Option<ElementType>,
    /// What the outputs are.
    pub form: SelectionForm,
}

impl NonMaxSuppression {
    /// As an op set has it.
    pub fn new(output_type: Option<ElementType>, form: SelectionForm) -> Self {
        Self { box_encoding: BoxEncoding::Corner, sort_result_descending: true, output_type, form }
    }
}

impl Visit for NonMaxSuppression {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("box_encoding", &mut self.box_encoding);
        v.optional("sort_result_descending", &mut self.sort_result_descending);
        if let Some(ty) = &mut self.output_type {
            v.optional("output_type", ty);
        }
    }
}

/// A box that stays.
#[derive(Clone, Copy)]
struct Selected {
    image: usize,
    class: usize,
    index: usize,
    score: f32,
}

impl Operator for NonMaxSuppression {
    fn type_name(&self) -> &str {
        "NonMaxSuppression"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=if self.form == SelectionForm::Counted { 6 } else { 5 })?;
        let ty = self.index_type();
        if !matches!(ty, ElementType::I32 | ElementType::I64) {
            return Err(OpError::attribute(format!("`output_type` is {ty}, expected i32 or i64")));
        }
        let scores = inputs.fit(1, &[Dim::ANY_DIM; 3], "the scores")?;
        let boxes = inputs.fit(0, &[scores[0], scores[2], Dim::exactly(4)], "the boxes")?;
        for i in 2..inputs.len() {
            let shape = inputs.shape(i);
            if !shape.admits(&[]) && !shape.admits(&[1]) {
                return Err(OpError::shape(format!("input {i} is {shape}, expected one number")));
            }
        }
        let most = match (inputs.len(), inputs.integers(2).as_deref()) {
            (2, _) => Dim::exactly(0),
            (_, Some([most])) => Dim::exactly((*most).max(0)),
            _ => Dim::ANY_DIM,
        };
        let count = scores[2].intersect(boxes[1]).unwrap_or(boxes[1]);
        let each = Dim::new(count.min().min(most.min()), count.max().min(most.max())).unwrap_or(Dim::ANY_DIM);
        let all = boxes[0] * scores[1] * each;
        let three = Dim::exactly(3);
        if self.form == SelectionForm::Filled {
            return Ok(vec![PortType::new(ty, PartialShape::new([all, three]))]);
        }
        let known: Option<Vec<Tensor>> = (0..inputs.len()).map(|i| inputs.tensor(i).cloned()).collect();
        let rows = match known {
            Some(known) => Dim::dim(self.select(&known)?.len()),
            None => Dim::new(0, all.max()).unwrap_or(Dim::ANY_DIM),
        };
        let rows = PartialShape::new([rows, three]);
        let scores = if inputs.len() > 3 { inputs.element_type(3) } else { ElementType::F32 };
        Ok(vec![
            PortType::new(ty, rows.clone()),
            PortType::new(scores, rows),
            PortType::new(ty, PartialShape::fixed(&[1])),
        ])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shapes = output_shapes(self, inputs)?;
        let selected = self.select(inputs)?;
        let mut rows: Vec<i64> =
            selected.iter().flat_map(|s| [s.image as i64, s.class as i64, s.index as i64]).collect();
        let ty = self.index_type();
        if self.form == SelectionForm::Filled {
            check_fits(ty, &shapes[0])?;
            rows.resize(shapes[0][0] * 3, -1);
            return Ok(vec![Tensor::from_i64_values(ty, &shapes[0], &rows)?]);
        }
        let shape = [selected.len(), 3];
        let scores: Vec<f64> =
            selected.iter().flat_map(|s| [s.image as f64, s.class as f64, f64::from(s.score)]).collect();
        Ok(vec![
            Tensor::from_i64_values(ty, &shape, &rows)?,
            Tensor::from_f64s(inputs.get(3).map_or(ElementType::F32, Tensor::element_type), &shape, &scores)?,
            Tensor::from_i64_values(ty, &[1], &[selected.len() as i64])?,
        ])
    }
}

impl NonMaxSuppression {
    fn index_type(&self) -> ElementType {
        self.output_type.unwrap_or(ElementType::I64)
    }

    fn select(&self, inputs: &[Tensor]) -> Result<Vec<Selected>, OpError> {
        expect_inputs(inputs.len(), 2..=6)?;
        let &[images, classes, count] = inputs[1].shape() else {
            return Err(OpError::shape("the scores have other than 3 dimensions"));
        };
        let most = match inputs.get(2) {
            Some(most) => usize::try_from(axes::integer(most, "the most boxes of a class")?).unwrap_or(0),
            None => 0,
        };
        let number = |i: usize| match inputs.get(i).map(singles).as_deref() {
            None => Ok(0.0),
            Some([number]) => Ok(*number),
            Some(numbers) => {
                Err(OpError::shape(format!("input {i} has {} numbers, expected one", numbers.len())))
            }
        };
        let (threshold, least, spread) = (number(3)?, number(4)?, number(5)?);
        let (boxes, scores) = (singles(&inputs[0]), singles(&inputs[1]));
        let boxes: Vec<Corners> = boxes.chunks_exact(4).map(|numbers| self.corners(numbers)).collect();
        if boxes.len() != images * count || count == 0 {
            return Ok(Vec::new());
        }
        let mut selected = Vec::new();
        for (line, scores) in scores.chunks_exact(count).enumerate() {
            let (image, class) = (line / classes, line % classes);
            let boxes = &boxes[image * count..][..count];
            let kept = stay(boxes, scores, most, threshold, least, spread);
            selected.extend(kept.into_iter().map(|(index, score)| Selected { image, class, index, score }));
        }
        if self.sort_result_descending {
            selected.sort_by(|a, b| b.score.total_cmp(&a.score));
        }
        Ok(selected)
    }

    /// Left, top, right, bottom of the box that four numbers give.
    #[inline]
    pub fn corners(&self, numbers: &[f32]) -> [f32; 4] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| numbers[i]);
        match self.box_encoding {
            BoxEncoding::Corner => [b.min(d), a.min(c), b.max(d), a.max(c)],
            BoxEncoding::Center => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        }
    }
}

/// The boxes that stay and their scores, the best first.
fn stay(
    boxes: &[Corners],
    scores: &[f32],
    most: usize,
    threshold: f32,
    least: f32,
    spread: f32,
) -> Vec<(usize, f32)> {
    let scale = if spread > 0.0 { -0.5 / spread } else { 0.0 };
    // Index, score, and how many of those that stay have lowered it. The best stands last.
    let mut waiting: Vec<(usize, f32, usize)> =
        (0..boxes.len()).filter(|i| scores[*i] > least).map(|i| (i, scores[i], 0)).collect();
    let order = |a: &(usize, f32, usize), b: &(usize, f32, usize)| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0));
    waiting.sort_by(order);
    let mut kept: Vec<(usize, f32)> = Vec::new();
    while kept.len() < most {
        let Some((index, score, compared)) = waiting.pop() else { break };
        let mut lowered = score;
        let mut suppressed = false;
        for (other, _) in kept[compared..].iter().rev() {
            let shared = overlap(&boxes[index], &boxes[*other], 0.0);
            suppressed = shared >= threshold;
            lowered *= (scale * shared * shared).exp();
            if suppressed || lowered <= least {
                break;
            }
        }
        if suppressed || lowered <= least {
            continue;
        }
        if lowered == score {
            kept.push((index, score));
        } else {
            let again = (index, lowered, kept.len());
            let place = waiting.partition_point(|other| order(other, &again).is_lt());
            waiting.insert(place, again);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{Given, floats, infer_types, inferred, run};

    fn counted() -> NonMaxSuppression {
        NonMaxSuppression::new(Some(ElementType::I64), SelectionForm::Counted)
    }

    fn inputs(most: i64, threshold: f32) -> [Tensor; 4] {
        let boxes = [0., 0., 1., 1., 0., 0.1, 1., 1.1, 0., 10., 1., 11.];
        let scores = floats(&[1, 1, 3], &[0.5, 0.9, 0.7]);
        [floats(&[1, 3, 4], &boxes), scores, Tensor::scalar(most), Tensor::scalar(threshold)]
    }

    #[test]
    fn the_better_of_two_that_overlap_stays() {
        let y = run(&counted(), &inputs(5, 0.5)).unwrap();
        assert_eq!(y[0].to_i64s(), [0, 0, 1, 0, 0, 2]);
        assert_eq!(y[2].to_i64s(), [2]);
        assert_eq!(run(&counted(), &inputs(1, 0.5)).unwrap()[0].to_i64s(), [0, 0, 1]);
        let filled = NonMaxSuppression::new(None, SelectionForm::Filled);
        assert_eq!(run(&filled, &inputs(5, 0.5)).unwrap()[0].to_i64s(), [0, 0, 1, 0, 0, 2, -1, -1, -1]);
        assert!(run(&filled, &inputs(5, 0.5)[..2]).unwrap()[0].is_empty());
    }

    #[test]
    fn types_follow_from_what_is_known() {
        let with =
            |most: Given| inferred(&counted(), &["f32[2,9,4]".into(), "f32[2,3,9]".into(), most]).unwrap();
        assert_eq!(with(4.into()), "i64[0..24,3] f32[0..24,3] i64[1]");
        assert_eq!(with("i64[]".into()), "i64[0..54,3] f32[0..54,3] i64[1]");
        let filled = NonMaxSuppression::new(None, SelectionForm::Filled);
        assert_eq!(
            inferred(&filled, &["f32[1,9,4]".into(), "f32[1,3,9]".into(), 4.into()]).unwrap(),
            "i64[12,3]"
        );
        for bad in [["f32[1,9,5]", "f32[1,3,9]"], ["f32[1,9,4]", "f32[1,3,8]"], ["f32[2,9,4]", "f32[1,3,9]"]]
        {
            assert!(infer_types(&counted(), &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn wild_numbers_end() {
        let nan = [floats(&[1, 2, 4], &[f32::NAN; 8]), floats(&[1, 1, 2], &[f32::NAN, 1.0])];
        let most = Tensor::scalar(9i64);
        let all = [nan[0].clone(), nan[1].clone(), most, Tensor::scalar(0.5f32)];
        assert_eq!(run(&counted(), &all).unwrap()[0].to_i64s(), [0, 0, 1]);
    }
}
