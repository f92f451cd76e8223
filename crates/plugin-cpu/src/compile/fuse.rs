//! Which nodes join which: what follows a convolution, a product or an elementwise node while its tile is at hand,
//! and padding that a window takes over.

use super::{build::Builder, convolution, deconvolution, elementwise, pooling, product, volume};
use crate::kernels::post::{Activation, Sum};
use ir::{
    ElementType, Node, NodeId, Op, Port,
    op::{AutoBroadcast, BinaryKind, GeluApproximation, PadMode, Unary},
};
use std::collections::{HashMap, HashSet};

/// What a node takes over from those behind it: `activation(scale * x + shift [+ addend]) [+ addend]`.
#[derive(Clone, Debug)]
pub(crate) struct Fused {
    /// Per channel.
    pub(crate) scale: Option<Vec<f32>>,
    /// Per channel.
    pub(crate) shift: Option<Vec<f32>>,
    /// When the addend is added.
    pub(crate) sum: Sum,
    /// A tensor of the same shape.
    pub(crate) addend: Option<Port>,
    /// The function.
    pub(crate) activation: Activation,
    /// What the whole computes.
    pub(crate) output: Port,
}

impl Fused {
    fn new(output: Port) -> Self {
        let activation = Activation::None;
        Self { scale: None, shift: None, sum: Sum::None, addend: None, activation, output }
    }
}

/// Which nodes join which.
#[derive(Default)]
pub(crate) struct Fusions {
    /// By the first node of the whole.
    heads: HashMap<NodeId, Fused>,
    /// By the last node: the first. The whole runs in the last one's place, when all its inputs are there.
    tails: HashMap<NodeId, NodeId>,
    absorbed: HashSet<NodeId>,
    images: HashMap<NodeId, Image>,
    /// By a depthwise convolution: the 1x1 convolution before it that runs with it.
    expansions: HashMap<NodeId, NodeId>,
}

/// The image that a first convolution reads, without the nodes that prepare it.
#[derive(Clone)]
pub(crate) struct Image {
    /// Where it comes from: u8 or f32.
    pub(crate) port: Port,
    /// `[N, H, W, C]` instead of `[N, C, H, W]`.
    pub(crate) channels_last: bool,
    /// What the elements of a channel are multiplied by, and what is then added; empty for nothing.
    pub(crate) scale: Vec<[f32; 2]>,
}

impl Fusions {
    /// What `head` takes over; its own output if nothing.
    pub(crate) fn of(&self, head: NodeId) -> Fused {
        self.heads.get(&head).cloned().unwrap_or_else(|| Fused::new(head.into()))
    }

    /// The node to lower when the turn is `node`'s: itself, the head of the whole that it ends, or none.
    pub(crate) fn turn(&self, node: NodeId) -> Option<NodeId> {
        let head = match self.tails.get(&node) {
            Some(head) => Some(*head),
            None => (!self.absorbed.contains(&node) && !self.heads.contains_key(&node)).then_some(node),
        };
        head.filter(|head| !self.expansions.values().any(|expansion| expansion == head))
    }

    /// The first node of the whole that ends with `node`.
    pub(crate) fn head(&self, node: NodeId) -> NodeId {
        self.tails.get(&node).copied().unwrap_or(node)
    }

    /// Lets a 1x1 convolution run with the depthwise convolution that alone reads it.
    pub(crate) fn join(&mut self, expansion: NodeId, depthwise: NodeId) {
        self.expansions.insert(depthwise, expansion);
    }

    /// The 1x1 convolution that runs with `depthwise`.
    pub(crate) fn expansion(&self, depthwise: NodeId) -> Option<NodeId> {
        self.expansions.get(&depthwise).copied()
    }

    /// True when `node` is part of another's work.
    pub(crate) fn is_absorbed(&self, node: NodeId) -> bool {
        self.absorbed.contains(&node)
    }

    /// The image that the convolution `id` reads.
    pub(crate) fn image(&self, id: NodeId) -> Option<&Image> {
        self.images.get(&id)
    }

    fn absorb(&mut self, head: NodeId, fused: Fused, nodes: &[NodeId]) {
        let tail = *nodes.last().expect("the caller found some");
        self.absorbed.extend(nodes);
        self.tails.insert(tail, head);
        self.heads.insert(head, fused);
    }
}

/// Finds what joins, in the order of the nodes.
pub(crate) fn find(builder: &mut Builder, order: &[NodeId]) {
    for id in order {
        let node = builder.model.node(*id);
        if is_known(builder, *id) {
            continue;
        }
        // Padding joins what it comes before.
        if let Some(port) = node.inputs().first()
            && let Some(pads) = padding(builder, *port)
        {
            let windows = match &node.op {
                Op::Convolution(_) | Op::GroupConvolution(_) => {
                    convolution::takes_padding(builder, *id, &pads)
                }
                Op::MaxPool(_) | Op::MaxPool8(_) | Op::AvgPool(_) => {
                    pooling::takes_padding(builder, *id, &pads)
                }
                _ => false,
            };
            if windows {
                builder.fusions.absorbed.insert(port.node);
            }
        }
        if let Some((image, nodes)) = image(builder, *id) {
            builder.fusions.absorbed.extend(nodes);
            builder.fusions.images.insert(*id, image);
        }
    }
    for id in order {
        if builder.fusions.is_absorbed(*id) || is_known(builder, *id) {
            continue;
        }
        let chain = if convolution::shape(builder, *id).is_some() {
            follow(builder, *id, Fused::new((*id).into()), 1, true)
        } else if product::shape(builder, *id).is_some() {
            let axis = builder.shape_of((*id).into()).len() - 1;
            follow(builder, *id, Fused::new((*id).into()), axis, true)
        } else if deconvolution::takes(builder, *id) || volume::takes(builder, *id) {
            // These are several convolutions, of which none has the whole addend.
            follow(builder, *id, Fused::new((*id).into()), 1, true)
                .filter(|(fused, _)| fused.sum == Sum::None)
        } else if let Some((_, fused)) = elementwise::affine(builder, *id) {
            follow(builder, *id, fused, 1, true)
        } else if elementwise::binary(builder, *id).is_some() {
            follow(builder, *id, Fused::new((*id).into()), 1, false)
        } else {
            None
        };
        if let Some((fused, nodes)) = chain {
            builder.fusions.absorb(*id, fused, &nodes);
        }
    }
}

fn is_known(builder: &Builder, id: NodeId) -> bool {
    (0..builder.model.node(id).outputs().len()).all(|i| builder.constants.has(id.output(i)))
}

/// Most channels of an image.
const IMAGE_CHANNELS: usize = 4;

/// The image that the convolution `id` reads, and the nodes between: a change of type, scales and shifts of
/// channels, and the transposition that brings the channels first.
fn image(builder: &Builder, id: NodeId) -> Option<(Image, Vec<NodeId>)> {
    let shape = convolution::shape(builder, id)?;
    let node = builder.model.node(id);
    let channels = shape.in_channels;
    let data = taken_padding(builder, node).map_or(node.inputs()[0], |padding| padding.data);
    if shape.groups != 1 || channels > IMAGE_CHANNELS || builder.shape_of(data).len() != 4 {
        return None;
    }
    let mut image = Image { port: data, channels_last: false, scale: Vec::new() };
    let mut nodes = Vec::new();
    loop {
        let at = image.port.node;
        let before = builder.model.node(at);
        let Some(from) = before.inputs().first().copied() else { break };
        if builder.model.consumers(image.port).len() != 1 || builder.constants.has(image.port) {
            break;
        }
        let is_float = builder.model.ty(image.port).element_type == ElementType::F32;
        let axis = if image.channels_last { 3 } else { 1 };
        match &before.op {
            Op::Convert(_) if is_float && builder.model.ty(from).element_type == ElementType::U8 => {
                image.port = from;
            }
            Op::Transpose(_) if !image.channels_last => {
                if builder.constants.integers(before.inputs()[1])? != [0, 3, 1, 2] {
                    break;
                }
                (image.port, image.channels_last) = (from, true);
            }
            Op::Binary(_) => {
                let Some((data, scale, shift)) = scale_and_shift(builder, at, axis) else { break };
                if image.scale.is_empty() {
                    image.scale = vec![[1.0, 0.0]; channels];
                }
                for (c, [multiplier, addend]) in image.scale.iter_mut().enumerate() {
                    *addend += *multiplier * shift.as_ref().map_or(0.0, |shift| shift[c]);
                    *multiplier *= scale.as_ref().map_or(1.0, |scale| scale[c]);
                }
                image.port = data;
            }
            _ => break,
        }
        nodes.push(at);
    }
    let ty = builder.model.ty(image.port).element_type;
    let is_input = matches!(builder.model.node(image.port.node).op, Op::Parameter(_));
    let fits = matches!(ty, ElementType::F32 | ElementType::U8) && (is_input || !nodes.is_empty());
    fits.then_some((image, nodes))
}

/// Zeros around the spatial dimensions.
pub(crate) struct Padding {
    /// What is padded.
    pub(crate) data: Port,
    /// Zeros before, one a spatial dimension; those behind follow from the sizes.
    pub(crate) begin: Vec<i64>,
}

/// The padding that `port` comes from, if nobody else takes it.
pub(crate) fn padding(builder: &Builder, port: Port) -> Option<Padding> {
    let node = builder.model.node(port.node);
    let Op::Pad(pad) = &node.op else { return None };
    let begin = builder.constants.integers(node.inputs()[1])?;
    let end = builder.constants.integers(node.inputs()[2])?;
    let zero = node.inputs().get(3).is_none_or(|value| builder.constants.float(*value) == Some(0.0));
    let fits = pad.pad_mode == PadMode::Constant
        && zero
        && begin.len() > 2
        && begin.iter().chain(&end).all(|pad| *pad >= 0)
        && begin[..2].iter().chain(&end[..2]).all(|pad| *pad == 0)
        && builder.model.users_of(port.node).count() == 1;
    fits.then(|| Padding { data: node.inputs()[0], begin: begin[2..].to_vec() })
}

/// The padding before `node` that it has taken over.
pub(crate) fn taken_padding(builder: &Builder, node: &Node) -> Option<Padding> {
    let port = node.inputs()[0];
    builder.fusions.is_absorbed(port.node).then(|| padding(builder, port)).flatten()
}

/// Follows the chain behind `fused.output` as far as it can be taken over. `axis` is the one of the channels;
/// `affine` says whether scales and shifts can be.
fn follow(
    builder: &Builder,
    head: NodeId,
    mut fused: Fused,
    axis: usize,
    affine: bool,
) -> Option<(Fused, Vec<NodeId>)> {
    let model = builder.model;
    let shape = builder.shape_of(fused.output);
    if model.ty(fused.output).element_type != ElementType::F32 || shape.len() <= axis {
        return None;
    }
    let mut nodes = Vec::new();
    loop {
        let port = fused.output;
        let open = fused.activation == Activation::None && fused.sum == Sum::None;
        let users = model.consumers(port);
        let next = match users[..] {
            [(next, _)] => next,
            // x * sigmoid(x)
            [(a, _), (b, _)] if fused.activation == Activation::None && fused.sum != Sum::AfterActivation => {
                let Some((gate, product, activation)) = gated(builder, port, a, b) else { break };
                if builder.fusions.is_absorbed(gate) || builder.fusions.is_absorbed(product) {
                    break;
                }
                nodes.extend([gate, product]);
                fused.activation = activation;
                fused.output = product.into();
                continue;
            }
            _ => break,
        };
        let node = model.node(next);
        if builder.fusions.is_absorbed(next)
            || node.outputs().len() != 1
            || builder.shape_of(next.into()) != shape
        {
            break;
        }
        if affine
            && open
            && let Some((data, scale, shift)) = scale_and_shift(builder, next, axis)
            && data == port
        {
            compose(&mut fused, scale, shift);
        } else if fused.activation == Activation::None
            && fused.sum != Sum::AfterActivation
            && node.inputs()[0] == port
            && let Some(activation) = activation(builder, node, axis)
            && (affine || !matches!(activation, Activation::PRelu(_)))
        {
            fused.activation = activation;
        } else if let Op::Binary(binary) = &node.op
            && binary.kind == BinaryKind::Add
            && affine
            && fused.sum == Sum::None
            && let Some(other) = node.inputs().iter().find(|input| **input != port)
            && builder.shape_of(*other) == shape
            && !builder.constants.has(*other)
        {
            fused.sum = match fused.activation {
                Activation::None => Sum::BeforeActivation,
                _ => Sum::AfterActivation,
            };
            fused.addend = Some(*other);
        } else {
            break;
        }
        debug_assert_ne!(next, head);
        nodes.push(next);
        fused.output = next.into();
    }
    (!nodes.is_empty()).then_some((fused, nodes))
}

fn compose(fused: &mut Fused, scale: Option<Vec<f32>>, shift: Option<Vec<f32>>) {
    if let Some(scale) = scale {
        for own in [&mut fused.shift, &mut fused.scale].into_iter().flatten() {
            own.iter_mut().zip(&scale).for_each(|(own, scale)| *own *= scale);
        }
        fused.scale.get_or_insert(scale);
    }
    if let Some(shift) = shift {
        match &mut fused.shift {
            Some(own) => own.iter_mut().zip(shift).for_each(|(own, shift)| *own += shift),
            None => fused.shift = Some(shift),
        }
    }
}

/// `x * f(x)` of the two users of `x`: the gate, the product, and what they are together.
fn gated(builder: &Builder, x: Port, a: NodeId, b: NodeId) -> Option<(NodeId, NodeId, Activation)> {
    let model = builder.model;
    [(a, b), (b, a)].into_iter().find_map(|(gate, product)| {
        let activation = match model.node(gate).op {
            Op::Unary(Unary::Sigmoid) => Activation::Swish(1.0),
            Op::Unary(Unary::HSigmoid) => Activation::HSwish,
            _ => return None,
        };
        let Op::Binary(binary) = &model.node(product).op else { return None };
        let mut inputs = model.node(product).inputs().to_vec();
        inputs.sort_unstable();
        let mut wanted = vec![x, gate.into()];
        wanted.sort_unstable();
        let alone = model.users_of(gate).count() == 1;
        (binary.kind == BinaryKind::Multiply && inputs == wanted && alone)
            .then_some((gate, product, activation))
    })
}

/// One number per channel of a tensor of `shape`, from a constant that broadcasts to it along all other axes.
pub(crate) fn per_channel(builder: &Builder, port: Port, shape: &[usize], axis: usize) -> Option<Vec<f32>> {
    if !builder.constants.has(port) || shape.len() <= axis {
        return None;
    }
    let own = builder.shape_of(port);
    let skipped = shape.len().checked_sub(own.len())?;
    let fits =
        own.iter().enumerate().all(|(i, size)| *size == 1 || (i + skipped == axis && *size == shape[axis]));
    let numbers = fits.then(|| builder.constants.floats(port))??;
    match numbers[..] {
        [number] => Some(vec![number; shape[axis]]),
        _ => Some(numbers),
    }
}

type Affine = (Port, Option<Vec<f32>>, Option<Vec<f32>>);

/// The data, the scale and the shift per channel, if that is what `id` computes.
pub(crate) fn scale_and_shift(builder: &Builder, id: NodeId, axis: usize) -> Option<Affine> {
    let node = builder.model.node(id);
    let shape = builder.shape_of(id.into());
    if node.outputs()[0].ty.element_type != ElementType::F32 {
        return None;
    }
    match &node.op {
        Op::Binary(binary) if binary.auto_broadcast != AutoBroadcast::Pdpd => {
            use BinaryKind::{Add, Divide, Multiply, Subtract};
            if !matches!(binary.kind, Add | Divide | Multiply | Subtract) {
                return None;
            }
            let [a, b] = [node.inputs()[0], node.inputs()[1]];
            let (data, numbers, swapped) = match per_channel(builder, b, &shape, axis) {
                Some(numbers) => (a, numbers, false),
                None => (b, per_channel(builder, a, &shape, axis)?, true),
            };
            if builder.constants.has(data) || builder.shape_of(data) != shape {
                return None;
            }
            let negative = |numbers: &[f32]| numbers.iter().map(|n| -n).collect();
            match (binary.kind, swapped) {
                (Add, _) => Some((data, None, Some(numbers))),
                (Multiply, _) => Some((data, Some(numbers), None)),
                (Subtract, false) => Some((data, None, Some(negative(&numbers)))),
                (Subtract, true) => Some((data, Some(vec![-1.0; numbers.len()]), Some(numbers))),
                (Divide, false) => Some((data, Some(numbers.iter().map(|n| 1.0 / n).collect()), None)),
                _ => None,
            }
        }
        Op::BatchNormInference(norm) if axis == 1 => {
            let order = if norm.data_input == 2 { [2, 0, 1, 3, 4] } else { [0, 1, 2, 3, 4] };
            let [data, parameters @ ..] = order.map(|i| node.inputs()[i]);
            let [gamma, beta, mean, variance] = parameters.map(|port| builder.constants.floats(port));
            let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
            // In f64, as both numbers are used for a whole plane each.
            let scale: Vec<f64> = gamma
                .iter()
                .zip(&variance)
                .map(|(gamma, variance)| f64::from(*gamma) / (f64::from(*variance) + norm.epsilon).sqrt())
                .collect();
            let shift = (0..scale.len()).map(|c| (f64::from(beta[c]) - f64::from(mean[c]) * scale[c]) as f32);
            let shift = shift.collect();
            Some((data, Some(scale.iter().map(|s| *s as f32).collect()), Some(shift)))
        }
        _ => None,
    }
}

/// The function that `node` computes of its first input, element by element.
pub(crate) fn activation(builder: &Builder, node: &Node, axis: usize) -> Option<Activation> {
    let number = |i: usize| builder.constants.float(node.inputs()[i]);
    Some(match &node.op {
        Op::Unary(unary) => match unary {
            Unary::Relu => Activation::Relu,
            Unary::Sigmoid => Activation::Sigmoid,
            Unary::Tanh => Activation::Tanh,
            Unary::HSwish => Activation::HSwish,
            Unary::HSigmoid => Activation::HSigmoid,
            Unary::Exp => Activation::Exp,
            Unary::Log => Activation::Log,
            Unary::Erf => Activation::Erf,
            Unary::Sqrt => Activation::Sqrt,
            Unary::Abs => Activation::Abs,
            Unary::Mish => Activation::Mish,
            Unary::SoftPlus => Activation::SoftPlus,
            _ => return None,
        },
        Op::Elu(elu) => Activation::Elu(elu.alpha as f32),
        Op::Clamp(clamp) => Activation::Clamp(clamp.min as f32, clamp.max as f32),
        Op::Swish(_) => Activation::Swish(if node.inputs().len() > 1 { number(1)? } else { 1.0 }),
        Op::Selu(_) => Activation::Selu(number(1)?, number(2)?),
        Op::HardSigmoid(_) => Activation::HardSigmoid(number(1)?, number(2)?),
        Op::Gelu(gelu) => match gelu.approximation_mode {
            GeluApproximation::Erf => Activation::Gelu,
            GeluApproximation::Tanh => Activation::GeluTanh,
        },
        Op::PRelu(_) => {
            let shape = builder.shape_of(node.inputs()[0]);
            if let Some(slope) = number(1) {
                return Some(Activation::Leaky(slope));
            }
            // A vector stands for the channels, whatever the rank.
            let slope = builder.shape_of(node.inputs()[1]);
            let numbers = match slope[..] {
                [c] if axis == 1 && shape.get(1) == Some(&c) => builder.constants.floats(node.inputs()[1])?,
                _ => per_channel(builder, node.inputs()[1], &shape, axis)?,
            };
            Activation::PRelu(numbers)
        }
        _ => return None,
    })
}
