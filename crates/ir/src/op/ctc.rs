//! Sequences of classes from their probabilities at each step.

use super::{Inputs, OpError, Operator, PortType, axes::integers, expect_inputs, output_shapes};
use crate::{
    Dim, ElementType, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// The likeliest class of each step without blanks, which are the last class; -1 behind the end. Inputs: logits
/// `[T,N,C]`; a mask `[T,N]`, 0 behind the end of a sequence. Output `[N,T,1,1]`.
#[derive(Clone, PartialEq, Debug)]
pub struct CtcGreedyDecoder {
    /// A class that lasts for several steps comes once.
    pub ctc_merge_repeated: bool,
}

impl Default for CtcGreedyDecoder {
    fn default() -> Self {
        Self { ctc_merge_repeated: true }
    }
}

impl Visit for CtcGreedyDecoder {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("ctc_merge_repeated", &mut self.ctc_merge_repeated);
    }
}

impl Operator for CtcGreedyDecoder {
    fn type_name(&self) -> &str {
        "CTCGreedyDecoder"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let logits = inputs.fit(0, &[Dim::ANY_DIM; 3], "the logits")?;
        let mask = inputs.fit(1, &logits[..2], "the mask")?;
        let one = Dim::exactly(1);
        Ok(vec![PortType::new(inputs.element_type(0), PartialShape::new([mask[1], mask[0], one, one]))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let (batch, steps, classes) = (shape[0], shape[1], inputs[0].shape()[2]);
        let (logits, mask) = (inputs[0].to_f64s(), inputs[1].to_f64s());
        let mut y = vec![-1.0; batch * steps];
        for item in 0..batch {
            let length = (0..steps).take_while(|step| mask[step * batch + item] != 0.0).count();
            let of_step = |step: usize| &logits[(step * batch + item) * classes..][..classes];
            let decoded = decode((0..length).map(of_step), classes as i64 - 1, self.ctc_merge_repeated);
            for (slot, class) in y[item * steps..].iter_mut().zip(decoded) {
                *slot = class as f64;
            }
        }
        Ok(vec![Tensor::from_f64s(inputs[0].element_type(), &shape, &y)?])
    }
}

/// The same from lengths. Inputs: logits `[N,T,C]`, lengths `[N]`, perhaps the class that is blank; it is the last
/// otherwise. Outputs: classes `[N,T]`, -1 behind the end, and their numbers `[N]`.
#[derive(Clone, PartialEq, Debug)]
pub struct CtcGreedyDecoderSeqLen {
    /// A class that lasts for several steps comes once.
    pub merge_repeated: bool,
    /// Type of the classes.
    pub classes_index_type: ElementType,
    /// Type of the lengths.
    pub sequence_length_type: ElementType,
}

impl Default for CtcGreedyDecoderSeqLen {
    fn default() -> Self {
        let ty = ElementType::I32;
        Self { merge_repeated: true, classes_index_type: ty, sequence_length_type: ty }
    }
}

impl Visit for CtcGreedyDecoderSeqLen {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("merge_repeated", &mut self.merge_repeated);
        v.optional("classes_index_type", &mut self.classes_index_type);
        v.optional("sequence_length_type", &mut self.sequence_length_type);
    }
}

impl Operator for CtcGreedyDecoderSeqLen {
    fn type_name(&self) -> &str {
        "CTCGreedyDecoderSeqLen"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=3)?;
        for ty in [self.classes_index_type, self.sequence_length_type] {
            if !matches!(ty, ElementType::I32 | ElementType::I64) {
                return Err(OpError::attribute(format!(
                    "the type of an output is {ty}, expected i32 or i64"
                )));
            }
        }
        let logits = inputs.fit(0, &[Dim::ANY_DIM; 3], "the logits")?;
        let batch = inputs.fit(1, &logits[..1], "the lengths")?[0];
        let classes = PartialShape::new([batch, logits[1]]);
        let lengths = PortType::new(self.sequence_length_type, PartialShape::new([batch]));
        Ok(vec![PortType::new(self.classes_index_type, classes), lengths])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=3)?;
        let shape = output_shapes(self, inputs)?.remove(0);
        let (batch, steps, classes) = (shape[0], shape[1], inputs[0].shape()[2]);
        let (logits, lengths) = (inputs[0].to_f64s(), integers(&inputs[1], "the lengths")?);
        let blank = match inputs.get(2) {
            None => classes as i64 - 1,
            Some(blank) => match integers(blank, "the blank class")?[..] {
                [blank] => blank,
                _ => return Err(OpError::shape("there are several blank classes, expected one")),
            },
        };
        let (mut y, mut counts) = (vec![-1; batch * steps], Vec::new());
        for (item, length) in lengths.into_iter().enumerate() {
            let length = usize::try_from(length).ok().filter(|length| *length <= steps);
            let fail = || OpError::value(format!("a length is not within 0..={steps}, the steps"));
            let of_step = |step: usize| &logits[(item * steps + step) * classes..][..classes];
            let decoded = decode((0..length.ok_or_else(fail)?).map(of_step), blank, self.merge_repeated);
            y[item * steps..][..decoded.len()].copy_from_slice(&decoded);
            counts.push(decoded.len() as i64);
        }
        let classes = Tensor::from_i64_values(self.classes_index_type, &shape, &y)?;
        Ok(vec![classes, Tensor::from_i64_values(self.sequence_length_type, &[batch], &counts)?])
    }
}

fn decode<'a>(steps: impl Iterator<Item = &'a [f64]>, blank: i64, merge: bool) -> Vec<i64> {
    let (mut decoded, mut before) = (Vec::new(), None);
    for logits in steps {
        let best = logits.iter().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
        let class = best.map(|(class, _)| class as i64);
        if let Some(class) = class.filter(|class| *class != blank && !(merge && before == Some(*class))) {
            decoded.push(class);
        }
        before = class;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{floats, i64s, infer_types, run};

    #[test]
    fn blanks_part_repetitions() {
        let classes = [0usize, 0, 2, 0, 1, 1];
        let mut logits = vec![0.0; 18];
        classes.iter().enumerate().for_each(|(step, class)| logits[step * 3 + class] = 1.0);
        let decoded = |merge: bool, length: i64| {
            let op = CtcGreedyDecoderSeqLen { merge_repeated: merge, ..CtcGreedyDecoderSeqLen::default() };
            let y = run(&op, &[floats(&[1, 6, 3], &logits), i64s(&[1], &[length])]).unwrap();
            (y[0].to_i64s(), y[1].to_i64s()[0])
        };
        assert_eq!(decoded(true, 6), (vec![0, 0, 1, -1, -1, -1], 3));
        assert_eq!(decoded(false, 6), (vec![0, 0, 0, 1, 1, -1], 5));
        assert_eq!(decoded(true, 2), (vec![0, -1, -1, -1, -1, -1], 1));
        let op = CtcGreedyDecoder::default();
        let mask = floats(&[6, 1], &[1., 1., 1., 1., 0., 1.]);
        let y = run(&op, &[floats(&[6, 1, 3], &logits), mask]).unwrap();
        assert_eq!(y[0].to_f64s(), [0., 0., -1., -1., -1., -1.]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let op = CtcGreedyDecoderSeqLen::default();
        let logits = floats(&[1, 2, 3], &[0.0; 6]);
        for length in [-1, 3] {
            assert!(op.evaluate(&[logits.clone(), i64s(&[1], &[length])]).is_err(), "{length}");
        }
        assert_eq!(infer_types(&op, &["f32[?,9,3]", "i32[2]"]).unwrap(), ["i32[2,9]", "i32[2]"]);
        assert!(infer_types(&op, &["f32[1,9,3]", "i32[2]"]).is_err());
        assert_eq!(
            infer_types(&CtcGreedyDecoder::default(), &["f32[7,?,3]", "f32[7,2]"]).unwrap(),
            ["f32[2,7,1,1]"]
        );
        assert!(infer_types(&CtcGreedyDecoder::default(), &["f32[7,2,3]", "f32[2,7]"]).is_err());
    }
}
