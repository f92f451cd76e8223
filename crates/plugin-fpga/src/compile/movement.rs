//! What only moves or renames: concatenation, runs of channels, shapes and types.

use super::{
    action::Action,
    image::{Image, Lanes},
    legality::{Judgement, Reasons},
};
use ir::{ElementType, NodeId, Op, op::Concat};

fn refuse<T>(why: impl Into<String>) -> Result<T, Reasons> {
    Err(vec![why.into()])
}

/// Channels of several maps: producers write where they belong.
pub(crate) fn concat(
    judgement: &Judgement,
    id: NodeId,
    op: &Concat,
) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    let output = judgement.output(id.into())?;
    let rank = judgement.model.ty(id.into()).shape.rank().unwrap_or(0) as i64;
    if op.axis != 1 && op.axis + rank != 1 {
        return refuse(format!("channels are concatenated, axis {} is not theirs", op.axis));
    }
    if let Some(constant) = node.inputs().iter().position(|port| judgement.constants.has(*port)) {
        return refuse(format!("input {constant} is a constant: only feature maps are concatenated"));
    }
    let images: Vec<Image> =
        node.inputs().iter().map(|port| judgement.image(*port)).collect::<Result<_, _>>()?;
    let lanes: Vec<&Lanes> = images.iter().map(|image| &image.lanes).collect();
    let (lanes, _) = Lanes::concatenated(&lanes, judgement.vector());
    if lanes.blocks(judgement.vector()) > usize::from(u16::MAX) {
        return refuse("its places have more than 65535 words");
    }
    Ok((Action::Concat(node.inputs().to_vec()), vec![Image { lanes, ..output }]))
}

/// The parts of `data` at runs of channels.
fn parts(judgement: &Judgement, id: NodeId, starts: &[usize]) -> Result<(Action, Vec<Image>), Reasons> {
    let data = judgement.model.node(id).inputs()[0];
    let from = judgement.image(data)?;
    let (mut places, mut images) = (Vec::new(), Vec::new());
    for (index, start) in starts.iter().enumerate() {
        let output = judgement.output(id.output(index))?;
        let range = *start..start + output.lanes.count();
        let vector = judgement.vector();
        let at_word = |at: usize| at.is_multiple_of(vector) || at == from.lanes.count();
        let own =
            from.lanes.part(range.clone(), vector).filter(|_| at_word(range.start) && at_word(range.end));
        let Some((word, lanes)) = own else {
            return refuse(format!(
                "channels are taken apart at multiples of {vector}, part {index} has channels {} to {}",
                range.start,
                range.end - 1
            ));
        };
        images.push(Image { lanes: lanes.clone(), ..output });
        places.push((word, lanes));
    }
    Ok((Action::Split(data, places), images))
}

/// Equal or given parts.
pub(crate) fn split(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    let rank = judgement.model.ty(node.inputs()[0]).shape.rank().unwrap_or(0) as i64;
    match node.inputs().get(1).and_then(|axis| judgement.constants.integers(*axis)).as_deref() {
        Some([axis]) if *axis == 1 || axis + rank == 1 => {}
        _ => return refuse("only channels are taken apart"),
    }
    let (mut starts, mut next) = (Vec::new(), 0);
    for index in 0..node.outputs().len() {
        starts.push(next);
        next += judgement.output(id.output(index))?.lanes.count();
    }
    parts(judgement, id, &starts)
}

/// One run of channels.
pub(crate) fn slice(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    let data = node.inputs()[0];
    let known = |at: usize| node.inputs().get(at).and_then(|port| judgement.constants.integers(*port));
    let (Some(starts), Some(steps)) = (known(1), known(3)) else {
        return refuse("the channels must be given by constants");
    };
    let axes = known(4).unwrap_or_else(|| (0..starts.len() as i64).collect());
    let from = judgement.image(data)?;
    let output = judgement.output(id.into())?;
    let rank = judgement.model.ty(data).shape.rank().unwrap_or(0) as i64;
    let [height, width, channels] = from.sizes();
    if output.height != height || output.width != width || steps.iter().any(|step| *step != 1) {
        return refuse("only a run of channels, of whole images, is taken");
    }
    let at = axes.iter().position(|axis| *axis == 1 || axis + rank == 1);
    let start = at.and_then(|at| starts.get(at)).copied().unwrap_or(0);
    let start = if start < 0 { start.saturating_add(channels as i64) } else { start };
    parts(judgement, id, &[start.clamp(0, channels as i64) as usize])
}

/// Another type: the host writes and reads what the program's ends have, between them all is fp16.
pub(crate) fn convert(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let data = judgement.model.node(id).inputs()[0];
    let output = judgement.output(id.into())?;
    let from = judgement.model.ty(data).element_type;
    let is_float = matches!(from, ElementType::F32 | ElementType::F16);
    if !is_float && !matches!(judgement.model.node(data.node).op, Op::Parameter(_)) {
        return refuse(format!("only inputs of the network are converted from {from}"));
    }
    let image = judgement.image(data)?;
    Ok((Action::Same(data), vec![Image { lanes: image.lanes, ..output }]))
}

/// An image as a vector: which element is which stays, so a product reads the image itself.
pub(crate) fn flatten(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let data = judgement.model.node(id).inputs()[0];
    let image = judgement.image(data)?;
    match judgement.model.ty(id.into()).shape.sizes().as_deref() {
        Some([1, count]) if *count == image.sizes().iter().product::<usize>() => {
            Ok((Action::Same(data), vec![image]))
        }
        _ => refuse("shapes are changed only before a fully connected layer, to a vector of batch 1"),
    }
}

/// Why a change of shape is refused for what follows it: only fully connected layers read the image as a vector.
pub(crate) fn other_users(judgement: &Judgement, id: NodeId) -> Option<String> {
    let model = judgement.model;
    let is_flattened = matches!(model.node(id).op, Op::Reshape(_) | Op::Squeeze(_))
        && matches!(judgement.action(id), Some(Action::Same(_)));
    let reads_vectors = |user: NodeId| {
        let node = model.node(user);
        matches!(
            (&node.op, judgement.action(user)),
            (Op::MatMul(_), Some(_)) | (Op::Reshape(_) | Op::Squeeze(_), Some(Action::Same(_)))
        )
    };
    let other = model.users_of(id).map(|(user, _)| user).find(|user| !reads_vectors(*user))?;
    let other = model.node(other);
    let why = format!(
        "shapes are changed only before a fully connected layer; `{}` ({}) follows",
        other.name,
        other.op.type_name()
    );
    is_flattened.then_some(why)
}
