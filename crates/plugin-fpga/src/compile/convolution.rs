//! Convolutions and what is computed as one: transposed convolutions and fully connected layers.

use super::{
    action::{Action, Affine, Filters},
    image::{Image, Span},
    legality::{Judgement, Reasons},
};
use ir::{
    NodeId, Op, Port,
    op::{MatMul, OpError, Window},
};

/// The most that a byte of a descriptor holds.
const MOST: usize = 255;

fn wrong(error: OpError) -> Reasons {
    vec![error.to_string()]
}

/// Complains about numbers that descriptors cannot hold.
fn spans(spans: [Span; 2]) -> Result<[Span; 2], Reasons> {
    let mut reasons = Vec::new();
    for (span, axis) in spans.iter().zip(["rows", "columns"]) {
        let named = [
            ("a kernel", span.kernel),
            ("a stride", span.stride),
            ("a dilation", span.dilation),
            ("a padding", span.pad),
            ("a stride of a deconvolution", span.zoom),
        ];
        for (what, value) in named.into_iter().filter(|(_, value)| *value > MOST) {
            reasons.push(format!("{what} of at most {MOST} {axis} is taken, found {value}"));
        }
    }
    if reasons.is_empty() { Ok(spans) } else { Err(reasons) }
}

/// The shapes of data and constant weights.
fn shapes(judgement: &Judgement, data: Port, weights: Port) -> Result<[Vec<usize>; 2], Reasons> {
    judgement.image(data)?;
    let Some(kernel) = judgement.constants.shape(weights) else {
        return Err(vec!["the weights must be constants".to_owned()]);
    };
    let shape = judgement.model.ty(data).shape.sizes().unwrap_or_default();
    if shape.len() != 4 {
        return Err(vec!["only convolutions over two axes are taken".to_owned()]);
    }
    Ok([shape, kernel.to_vec()])
}

/// An ordinary or grouped convolution.
pub(crate) fn forward(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    let [data, weights] = *node.inputs() else { return Err(vec!["it takes two inputs".to_owned()]) };
    let [shape, kernel] = shapes(judgement, data, weights)?;
    let (windows, groups) = match &node.op {
        Op::Convolution(op) => (op.windows(&shape, &kernel), 1),
        Op::GroupConvolution(op) => (op.windows(&shape, &kernel), kernel[0]),
        _ => unreachable!("the table sends none else here"),
    };
    let windows = windows.map_err(wrong)?;
    let [outputs, inputs, rows, columns] = kernel[kernel.len() - 4..] else {
        return Err(vec![format!("the weights {kernel:?} have too few dimensions")]);
    };
    let span = |window: &Window| {
        let reach = ((window.kernel - 1) * window.dilation) as i64;
        let last = (window.output as i64 - 1) * window.stride as i64 - window.pad_begin;
        if window.pad_begin < 0 || window.pad_begin > reach || last >= window.input as i64 {
            return Err(vec![format!(
                "padding from 0 to what the kernel covers is taken, found {} before and {} behind",
                window.pad_begin, window.pad_end
            )]);
        }
        let (kernel, stride, dilation) = (window.kernel, window.stride, window.dilation);
        Ok(Span { kernel, stride, dilation, pad: window.pad_begin as usize, ..Span::ONE })
    };
    let [steps_output, steps_input] = [inputs * rows * columns, rows * columns];
    let filters = Filters {
        weights,
        base: 0,
        steps: [outputs * steps_output, steps_output, steps_input, columns, 1].map(|step| step as isize),
        groups,
        inputs,
        outputs,
        spans: spans([span(&windows[0])?, span(&windows[1])?])?,
        affine: Affine::identity(groups * outputs),
    };
    Ok((Action::Convolve(data, Box::new(filters)), vec![judgement.output(id.into())?]))
}

/// A deconvolution: a convolution, with the kernel turned round, of an input that has zeros between its elements.
pub(crate) fn transposed(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    let (data, weights) = (node.inputs()[0], node.inputs()[1]);
    let [shape, kernel] = shapes(judgement, data, weights)?;
    let target = match node.inputs().get(2) {
        None => None,
        Some(port) => {
            let constant = judgement.constants.integers(*port);
            Some(constant.ok_or_else(|| vec!["the shape of its output must be a constant".to_owned()])?)
        }
    };
    let (windows, groups) = match &node.op {
        Op::ConvolutionBackpropData(op) => (op.windows(&shape, &kernel, target.as_deref()), 1),
        Op::GroupConvolutionBackpropData(op) => (op.windows(&shape, &kernel, target.as_deref()), kernel[0]),
        _ => unreachable!("the table sends none else here"),
    };
    let windows = windows.map_err(wrong)?;
    let [inputs, outputs, rows, columns] = kernel[kernel.len() - 4..] else {
        return Err(vec![format!("the weights {kernel:?} have too few dimensions")]);
    };
    // It slides over the output.
    let span = |window: &Window| {
        let reach = ((window.kernel - 1) * window.dilation) as i64;
        let pad = reach - window.pad_begin;
        let last = window.input as i64 - 1 - pad;
        if pad < 0 || pad > reach || last > (window.output as i64 - 1) * window.stride as i64 {
            return Err(vec![format!(
                "padding from 0 to what the kernel covers, and no output beyond the kernel's reach, is taken; found \
                 {} before and {} behind",
                window.pad_begin, window.pad_end
            )]);
        }
        let (kernel, dilation, zoom) = (window.kernel, window.dilation, window.stride);
        Ok(Span { kernel, dilation, zoom, pad: pad as usize, ..Span::ONE })
    };
    let taps = rows * columns;
    let filters = Filters {
        weights,
        base: taps as isize - 1,
        steps: [
            (inputs * outputs * taps) as isize,
            taps as isize,
            (outputs * taps) as isize,
            -(columns as isize),
            -1,
        ],
        groups,
        inputs,
        outputs,
        spans: spans([span(&windows[0])?, span(&windows[1])?])?,
        affine: Affine::identity(groups * outputs),
    };
    Ok((Action::Convolve(data, Box::new(filters)), vec![judgement.output(id.into())?]))
}

/// A fully connected layer: a convolution whose kernel is the whole image.
pub(crate) fn product(
    judgement: &Judgement,
    id: NodeId,
    op: &MatMul,
) -> Result<(Action, Vec<Image>), Reasons> {
    let [data, weights] = *judgement.model.node(id).inputs() else {
        return Err(vec!["it takes two inputs".to_owned()]);
    };
    let Some(&[rows, columns]) = judgement.constants.shape(weights) else {
        return Err(vec!["the second factor must be a constant matrix".to_owned()]);
    };
    let [height, width, channels] = judgement.image(data)?.sizes();
    if op.transpose_a || judgement.model.ty(data).shape.rank() != Some(2) {
        return Err(vec!["the first factor must be a row: a vector of batch 1, as it is".to_owned()]);
    }
    let outputs = if op.transpose_b { rows } else { columns };
    let (of_output, of_input) = if op.transpose_b { (columns, 1) } else { (1, columns) };
    let steps = [0, of_output, height * width * of_input, width * of_input, of_input];
    let whole = |kernel: usize| Span { kernel, ..Span::ONE };
    let filters = Filters {
        weights,
        base: 0,
        steps: steps.map(|step| step as isize),
        groups: 1,
        inputs: channels,
        outputs,
        spans: spans([whole(height), whole(width)])?,
        affine: Affine::identity(outputs),
    };
    Ok((Action::Convolve(data, Box::new(filters)), vec![judgement.output(id.into())?]))
}
