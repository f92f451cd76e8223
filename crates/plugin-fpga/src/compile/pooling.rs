//! Windows over each channel: pooling, means over the image, resampling to the nearest.

use super::{
    action::{Action, Pool},
    image::{Image, Span},
    legality::{Judgement, Reasons},
};
use crate::instruction::Pooling;
use ir::{
    NodeId, Op, Tensor,
    op::{Interpolate, InterpolateMode, Window},
};

fn refuse<T>(why: impl Into<String>) -> Result<T, Reasons> {
    Err(vec![why.into()])
}

/// Maxima and means over windows.
pub(crate) fn pool(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    let data = node.inputs()[0];
    let from = judgement.image(data)?;
    let shape = judgement.model.ty(data).shape.sizes().unwrap_or_default();
    if shape.len() != 4 {
        return refuse("only pooling over two axes is taken");
    }
    let (windows, mut kind) = match &node.op {
        Op::MaxPool(op) => (op.windows(&shape), Pooling::Max),
        Op::MaxPool8(op) => (op.windows(&shape), Pooling::Max),
        Op::AvgPool(op) => {
            (op.windows(&shape), if op.exclude_pad { Pooling::Average } else { Pooling::AveragePadded })
        }
        _ => unreachable!("the table sends none else here"),
    };
    let windows = windows.map_err(|error| vec![error.to_string()])?;
    if !judgement.model.consumers(id.output(node.outputs().len() - 1)).is_empty() && node.outputs().len() > 1
    {
        return refuse("the places of the maxima are not computed");
    }
    if windows.iter().all(|window| window.pad_begin == 0 && window.pad_end == 0)
        && kind == Pooling::AveragePadded
    {
        kind = Pooling::Average;
    }
    let span = |window: &Window| {
        let (kernel, stride) = (window.kernel, window.stride);
        if kernel > 255 || stride > 255 || window.dilation != 1 {
            return refuse(format!(
                "windows and strides of up to 255 without dilation are taken, found a window of {kernel}, a stride \
                 of {stride}, a dilation of {}",
                window.dilation
            ));
        }
        let last = (window.output as i64 - 1) * stride as i64 - window.pad_begin;
        if window.pad_begin < 0 || window.pad_begin >= kernel as i64 || last >= window.input as i64 {
            return refuse(format!(
                "each window must hold a place of the image; the padding is {} before and {} behind, the window {kernel}",
                window.pad_begin, window.pad_end
            ));
        }
        let reach = last + kernel as i64 - window.input as i64;
        if kind == Pooling::AveragePadded && reach > window.pad_begin {
            return refuse(format!(
                "a mean that counts padding is taken with the same padding on both sides: it is {} before, and \
                 {reach} behind are covered",
                window.pad_begin
            ));
        }
        Ok(Span { kernel, stride, pad: window.pad_begin as usize, ..Span::ONE })
    };
    let spans = [span(&windows[0])?, span(&windows[1])?];
    Ok((Action::Pool(data, Pool { kind, spans }), vec![judgement.output_like(id.into(), &from)?]))
}

/// The mean over the whole image.
pub(crate) fn mean(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let [data, axes] = *judgement.model.node(id).inputs() else { return refuse("it takes two inputs") };
    let from = judgement.image(data)?;
    let axes = judgement.constants.integers(axes).unwrap_or_default();
    let mut axes: Vec<i64> = axes.into_iter().map(|axis| if axis < 0 { axis + 4 } else { axis }).collect();
    axes.sort_unstable();
    if judgement.model.ty(data).shape.rank() != Some(4) || axes != [2, 3] {
        return refuse("means are taken over rows and columns of an image together");
    }
    if from.height > 255 || from.width > 255 {
        return refuse(format!(
            "windows of up to 255 are taken, the image is {} x {}",
            from.height, from.width
        ));
    }
    let whole = |kernel| Span { kernel, ..Span::ONE };
    let pool = Pool { kind: Pooling::Average, spans: [whole(from.height), whole(from.width)] };
    Ok((Action::Pool(data, pool), vec![judgement.output_like(id.into(), &from)?]))
}

/// Each place several times.
pub(crate) fn resample(
    judgement: &Judgement,
    id: NodeId,
    op: &Interpolate,
) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    let data = node.inputs()[0];
    let from = judgement.image(data)?;
    let image = judgement.output_like(id.into(), &from)?;
    let parameters = node.inputs()[1..].iter().map(|port| judgement.constants.tensor(*port).cloned());
    let Some(parameters) = parameters.collect::<Option<Vec<Tensor>>>() else {
        return refuse("the size of its output must be a constant");
    };
    if op.mode != InterpolateMode::Nearest {
        return refuse("only the nearest place is taken, no mean of several");
    }
    let shape = judgement.model.ty(data).shape.sizes().unwrap_or_default();
    let taps = op.taps(&shape, &parameters).map_err(|error| vec![error.to_string()])?;
    let mut repeats = [1, 1];
    for (axis, elements) in taps {
        let repeat = elements.len() / shape[axis];
        let regular = |(at, taps): (usize, &Vec<(usize, f64)>)| *taps == [(at / repeat.max(1), 1.0)];
        let whole = repeat > 0 && elements.len() == repeat * shape[axis];
        if !whole || repeat > 255 || !elements.iter().enumerate().all(regular) {
            return refuse("images are enlarged by whole factors up to 255, each place standing for as many");
        }
        match axis {
            2 | 3 => repeats[axis - 2] = repeat,
            _ if repeat == 1 => {}
            _ => return refuse("only rows and columns are resampled"),
        }
    }
    let spans = repeats.map(|repeat| Span { repeat, ..Span::ONE });
    Ok((Action::Pool(data, Pool { kind: Pooling::None, spans }), vec![image]))
}
