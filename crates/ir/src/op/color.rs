//! Video frames as colours.

use super::{Inputs, OpError, Operator, PortType, output_shapes};
use crate::{
    Dim, ElementType, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// How a frame of 12 bits a pixel lies in memory: brightness for each pixel, colour for each four.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// U and V of four pixels side by side.
    Nv12,
    /// All of U, then all of V.
    I420,
}

/// Frames of YUV to three colours, by ITU-R BT.601 of limited range. Inputs, NHWC: the whole frame of `H * 3 / 2`
/// rows; or its planes, brightness and both colours ([`Frame::Nv12`]), or brightness, U and V ([`Frame::I420`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameToColors {
    /// What the frames are.
    pub frame: Frame,
    /// Blue first, or red.
    pub blue_first: bool,
}

impl Visit for FrameToColors {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl FrameToColors {
    fn planes(&self) -> usize {
        match self.frame {
            Frame::Nv12 => 2,
            Frame::I420 => 3,
        }
    }

    /// The three colours of a pixel.
    fn colors(&self, y: f32, u: f32, v: f32) -> [f32; 3] {
        let (y, u, v) = (1.164 * (y - 16.0), u - 128.0, v - 128.0);
        let (r, g, b) = (y + 1.596 * v, y - 0.391 * u - 0.813 * v, y + 2.018 * u);
        if self.blue_first { [b, g, r] } else { [r, g, b] }
    }

    /// The colours of `frames` frames of `height` x `width` pixels; `narrow` makes an element of a colour.
    fn fill<T: Copy, U>(
        &self,
        planes: &[&[T]],
        [frames, height, width]: [usize; 3],
        widen: impl Fn(T) -> f32,
        narrow: impl Fn(f32) -> U,
        out: &mut Vec<U>,
    ) {
        let pixels = height * width;
        if pixels == 0 {
            return;
        }
        for frame in 0..frames {
            let of_frame = |plane: usize, len: usize| &planes[plane][frame * len..][..len];
            let (luma, chroma) = match planes.len() {
                1 => of_frame(0, pixels / 2 * 3).split_at(pixels),
                _ => (of_frame(0, pixels), &planes[1][..0]),
            };
            let (first, second) = match (planes.len(), self.frame) {
                (1, Frame::Nv12) => (chroma, chroma),
                (1, Frame::I420) => chroma.split_at(pixels / 4),
                (_, Frame::Nv12) => (of_frame(1, pixels / 2), of_frame(1, pixels / 2)),
                (_, Frame::I420) => (of_frame(1, pixels / 4), of_frame(2, pixels / 4)),
            };
            for (y, row) in luma.chunks_exact(width).enumerate() {
                for (x, luma) in row.iter().enumerate() {
                    let at = y / 2 * (width / 2) + x / 2;
                    let (u, v) = match self.frame {
                        Frame::Nv12 => (first[2 * at], first[2 * at + 1]),
                        Frame::I420 => (first[at], second[at]),
                    };
                    out.extend(self.colors(widen(*luma), widen(u), widen(v)).map(&narrow));
                }
            }
        }
    }
}

impl Operator for FrameToColors {
    fn type_name(&self) -> &str {
        match (self.frame, self.blue_first) {
            (Frame::Nv12, true) => "NV12toBGR",
            (Frame::Nv12, false) => "NV12toRGB",
            (Frame::I420, true) => "I420toBGR",
            (Frame::I420, false) => "I420toRGB",
        }
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        if inputs.len() != 1 {
            inputs.expect(self.planes()..=self.planes())?;
        }
        let ty = inputs.same_element_type(0..inputs.len())?;
        if !(ty.is_float() || matches!(ty, ElementType::U8 | ElementType::Dynamic)) {
            return Err(OpError::element_type(format!("frames are {ty}, expected u8 or floats")));
        }
        let any = Dim::ANY_DIM;
        let rows = inputs.fit(0, &[any, any, any, Dim::exactly(1)], "the frames")?;
        let [mut n, mut h, mut w] = [rows[0], rows[1], rows[2]];
        if inputs.len() == 1 {
            if h.value().is_some_and(|h| h % 3 != 0) {
                return Err(OpError::shape(format!(
                    "a frame of {h} rows is no image and half as many rows of colour"
                )));
            }
            h = h.value().map_or(Dim::ANY_DIM, |h| Dim::exactly(h / 3 * 2));
        }
        let channels = if self.frame == Frame::Nv12 { 2 } else { 1 };
        for i in 1..inputs.len() {
            let half = |dim: Dim| dim.value().map_or(Dim::ANY_DIM, |dim| Dim::exactly(dim / 2));
            let plane = inputs.fit(i, &[n, half(h), half(w), Dim::exactly(channels)], "the colours")?;
            let twice = |dim: Dim, own: Dim| own.value().or(dim.value().map(|d| d.saturating_mul(2)));
            (h, w) = (twice(plane[1], h).map_or(h, Dim::exactly), twice(plane[2], w).map_or(w, Dim::exactly));
            n = plane[0];
        }
        if [h, w].iter().any(|dim| dim.value().is_some_and(|dim| dim % 2 != 0)) {
            return Err(OpError::shape(format!("a frame of {h} x {w} pixels does not divide into fours")));
        }
        Ok(vec![PortType::new(ty, PartialShape::new([n, h, w, Dim::exactly(3)]))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let size = [shape[0], shape[1], shape[2]];
        let ty = inputs[0].element_type();
        let mut out = Vec::new();
        if ty == ElementType::U8 {
            let planes: Vec<&[u8]> = inputs.iter().map(|plane| &plane.bytes()[..]).collect();
            let narrow = |color: f32| color.round_ties_even().clamp(0.0, 255.0) as u8;
            self.fill(&planes, size, f32::from, narrow, &mut out);
            return Ok(vec![Tensor::from_slice(&shape, &out)?]);
        }
        let planes: Vec<Vec<f64>> = inputs.iter().map(Tensor::to_f64s).collect();
        let planes: Vec<&[f64]> = planes.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        self.fill(&planes, size, |v| v as f32, |color| f64::from(color.clamp(0.0, 255.0)), &mut out);
        Ok(vec![Tensor::from_f64s(ty, &shape, &out)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{infer_types, run};

    fn bytes(shape: &[usize], values: &[u8]) -> Tensor {
        Tensor::from_slice(shape, values).unwrap()
    }

    /// The numbers are OpenVINO 2026.4.1's; `fixtures/ov_ops` holds more.
    #[test]
    fn frames_and_planes_give_the_same_colours() {
        let luma = [16, 235, 81, 145, 41, 210, 100, 0];
        let nv12 = FrameToColors { frame: Frame::Nv12, blue_first: false };
        let i420 = FrameToColors { frame: Frame::I420, blue_first: true };
        let (u, v) = ([90, 54], [240, 34]);
        let whole: Vec<u8> = luma.into_iter().chain([u[0], v[0], u[1], v[1]]).collect();
        let planes = [bytes(&[1, 2, 4, 1], &luma), bytes(&[1, 1, 2, 2], &[u[0], v[0], u[1], v[1]])];
        let colors = run(&nv12, &[bytes(&[1, 3, 4, 1], &whole)]).unwrap().remove(0);
        assert_eq!(run(&nv12, &planes).unwrap()[0], colors);
        let whole: Vec<u8> = luma.into_iter().chain(u).chain(v).collect();
        let planes = [planes[0].clone(), bytes(&[1, 1, 2, 1], &u), bytes(&[1, 1, 2, 1], &v)];
        let swapped = run(&i420, &[bytes(&[1, 3, 4, 1], &whole)]).unwrap().remove(0);
        assert_eq!(run(&i420, &planes).unwrap()[0], swapped);
        let reversed: Vec<f64> = swapped.to_f64s().chunks(3).flat_map(|c| [c[2], c[1], c[0]]).collect();
        assert_eq!(colors.to_f64s(), reversed);
        assert_eq!(colors.to_f64s()[..6], [179., 0., 0., 255., 179., 178.]);
    }

    #[test]
    fn sizes_of_frames_are_checked() {
        let op = FrameToColors { frame: Frame::Nv12, blue_first: false };
        assert_eq!(infer_types(&op, &["u8[?,480,640,1]"]).unwrap(), ["u8[?,320,640,3]"]);
        assert_eq!(infer_types(&op, &["f32[1,?,?,1]"]).unwrap(), ["f32[1,?,?,3]"]);
        assert_eq!(infer_types(&op, &["u8[?,?,64,1]", "u8[2,24,?,2]"]).unwrap(), ["u8[2,48,64,3]"]);
        for wrong in [&["u8[1,40,64,1]"][..], &["u8[1,48,63,1]"], &["i32[1,48,64,1]"], &["u8[1,48,64,3]"]] {
            assert!(infer_types(&op, wrong).is_err(), "{wrong:?}");
        }
        assert!(infer_types(&op, &["u8[1,48,64,1]", "u8[1,24,31,2]"]).is_err());
        assert!(infer_types(&op, &["u8[1,47,64,1]", "u8[1,23,32,2]"]).is_err());
        assert!(infer_types(&op, &["u8[1,48,64,1]"; 3]).is_err());
    }
}
