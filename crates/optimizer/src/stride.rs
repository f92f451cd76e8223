//! Strides of 1x1 convolutions move towards the inputs, to the convolutions before them.
//!
//! A 1x1 convolution of stride 2 looks at every second element only. Where all who take a tensor do so, the others
//! need not be computed: the stride goes through what works element by element, and into the convolution that makes
//! the tensor (the "ResNet optimisation" of OpenVINO's Model Optimizer). Where such a convolution is reached on one
//! way and not on another, a pool of one element takes every second element there.

use crate::pass::Record;
use ir::{
    Model, ModelError, NodeId, Op, Port,
    op::{AutoPad, MaxPool},
};

/// Along [`NodeId::index`]: the stride that all who take a node's output have in common; empty for none.
type Demands = Vec<Vec<usize>>;

/// The pass.
pub(crate) fn hoist(model: &mut Model, record: &mut Record) -> Result<usize, ModelError> {
    let order = model.topological_order()?;
    let mut demands: Demands = vec![Vec::new(); model.capacity()];
    for id in order.iter().rev() {
        demands[id.index()] = demand(model, *id, &demands, record);
    }
    // Only what ends at a convolution saves anything.
    let mut strided = vec![false; model.capacity()];
    for id in &order {
        let wanted = !demands[id.index()].is_empty();
        strided[id.index()] = wanted
            && match role(model, *id) {
                Role::Window | Role::Point => true,
                Role::Elementwise => spatial_inputs(model, *id).iter().any(|port| strided[port.node.index()]),
                Role::Other => false,
            };
    }
    let mut changes = 0;
    for id in order {
        let own = if strided[id.index()] { demands[id.index()].clone() } else { Vec::new() };
        match role(model, id) {
            Role::Window if !own.is_empty() => multiply(model, id, &own),
            Role::Point => {
                // What it takes and what it is to give: the rest of the way is its own.
                let all = product(strides(&model.node(id).op), &own);
                let hands_on = strided[model.node(id).inputs()[0].node.index()];
                set_strides(model, id, if hands_on { vec![1; all.len()] } else { all });
                if !hands_on && own.is_empty() {
                    continue;
                }
            }
            Role::Elementwise if !own.is_empty() => {
                for port in spatial_inputs(model, id) {
                    if !strided[port.node.index()] {
                        thin_out(model, id, port, &own)?;
                    }
                }
            }
            _ => continue,
        }
        if strided[id.index()] {
            // It gives out less than the framework's tensor of that name.
            model.names_mut(id.into()).clear();
        }
        changes += 1;
        record.applied("hoist stride");
    }
    model.infer()?;
    Ok(changes)
}

/// What a node has to do with strides.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// A convolution that can take a stride more.
    Window,
    /// A 1x1 convolution without padding: it hands on.
    Point,
    /// It works element by element: it hands on.
    Elementwise,
    Other,
}

fn role(model: &Model, id: NodeId) -> Role {
    let node = model.node(id);
    let (auto, begin, end) = match &node.op {
        Op::Convolution(c) => (c.auto_pad, &c.pads_begin, &c.pads_end),
        Op::GroupConvolution(c) => (c.auto_pad, &c.pads_begin, &c.pads_end),
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Clamp(_)
        | Op::Elu(_)
        | Op::PRelu(_)
        | Op::Swish(_)
        | Op::Gelu(_)
            if keeps_places(model, id) =>
        {
            return Role::Elementwise;
        }
        _ => return Role::Other,
    };
    let lead = if matches!(node.op, Op::Convolution(_)) { 2 } else { 3 };
    let Some(weights) = model.ty(node.inputs()[1]).shape.sizes() else { return Role::Other };
    let is_point = weights[lead..].iter().all(|k| *k == 1);
    let is_unpadded = begin.iter().chain(end).all(|p| *p == 0);
    match auto {
        // The padding of these follows from the stride, but one tap needs none, and at stride 1 it is known.
        AutoPad::SameUpper | AutoPad::SameLower if is_point => Role::Point,
        AutoPad::SameUpper | AutoPad::SameLower if strides(&node.op).iter().any(|s| *s != 1) => Role::Other,
        AutoPad::SameUpper | AutoPad::SameLower => Role::Window,
        AutoPad::Valid | AutoPad::Explicit if is_point && (is_unpadded || auto == AutoPad::Valid) => {
            Role::Point
        }
        AutoPad::Valid | AutoPad::Explicit => Role::Window,
    }
}

/// True when every element comes from those at its own place: no input is stretched along spatial dimensions, except
/// those that are the same all over.
fn keeps_places(model: &Model, id: NodeId) -> bool {
    let Some(output) = model.ty(id.into()).shape.dims() else { return false };
    let fits = |port: &Port| {
        let Some(dims) = model.ty(*port).shape.dims() else { return false };
        let spatial = dims.get(2..).unwrap_or_default();
        let is_uniform = dims.len() <= output.len() && trailing_ones(dims, output.len());
        is_uniform || dims.len() == output.len() && spatial == &output[2..]
    };
    let spatial = spatial_inputs(model, id);
    let others = match model.node(id).op {
        Op::PRelu(_) | Op::Swish(_) => &[],
        _ => model.node(id).inputs(),
    };
    output.len() > 2 && !spatial.is_empty() && spatial.iter().chain(others).all(fits)
}

/// True when a tensor of these dimensions, aligned to the end of `rank` dimensions, has none but 1 from the third on.
fn trailing_ones(dims: &[ir::Dim], rank: usize) -> bool {
    let lead = rank - dims.len();
    dims.iter().enumerate().all(|(i, dim)| i + lead < 2 || dim.value() == Some(1))
}

/// The inputs that have spatial dimensions of their own. A slope by channel counts from the second dimension on.
fn spatial_inputs(model: &Model, id: NodeId) -> Vec<Port> {
    let node = model.node(id);
    let Some(rank) = model.ty(id.into()).shape.rank() else { return Vec::new() };
    let is_spatial = |port: &Port| {
        let dims = model.ty(*port).shape.dims().unwrap_or_default();
        dims.len() == rank && !trailing_ones(dims, rank)
    };
    match node.op {
        Op::PRelu(_) | Op::Swish(_) => node.inputs()[..1].to_vec(),
        _ => node.inputs().iter().copied().filter(is_spatial).collect(),
    }
}

/// The stride that all uses of a node's output have in common.
fn demand(model: &Model, id: NodeId, demands: &Demands, record: &mut Record) -> Vec<usize> {
    let node = model.node(id);
    if node.outputs().len() != 1 || role(model, id) == Role::Other {
        return Vec::new();
    }
    let mut common: Option<Vec<usize>> = None;
    for (user, input) in model.consumers(id.into()) {
        let wanted = wanted(model, user, input, demands);
        match &common {
            None => common = Some(wanted),
            Some(known) if *known == wanted => {}
            Some(known) => {
                if !known.is_empty() || !wanted.is_empty() {
                    let reason = "some of those that take it need every element".to_owned();
                    record.refused("hoist stride", &node.name, reason);
                }
                return Vec::new();
            }
        }
    }
    let common = common.unwrap_or_default();
    if !common.is_empty() && record.keeps(&node.name) {
        record.refused("hoist stride", &node.name, "it was asked to be left alone".to_owned());
        return Vec::new();
    }
    common
}

/// The stride with which one user looks at its input; empty when it needs every element.
fn wanted(model: &Model, user: NodeId, input: usize, demands: &Demands) -> Vec<usize> {
    let own = &demands[user.index()];
    let all = match role(model, user) {
        Role::Point if input == 0 => product(strides(&model.node(user).op), own),
        Role::Elementwise if spatial_inputs(model, user).contains(&model.node(user).inputs()[input]) => {
            own.clone()
        }
        _ => Vec::new(),
    };
    if all.iter().all(|s| *s == 1) { Vec::new() } else { all }
}

fn strides(op: &Op) -> &[usize] {
    match op {
        Op::Convolution(c) => &c.strides,
        Op::GroupConvolution(c) => &c.strides,
        _ => &[],
    }
}

fn product(strides: &[usize], more: &[usize]) -> Vec<usize> {
    let more = more.iter().copied().chain(std::iter::repeat(1));
    strides.iter().zip(more).map(|(a, b)| a.saturating_mul(b)).collect()
}

fn multiply(model: &mut Model, id: NodeId, more: &[usize]) {
    let all = product(strides(&model.node(id).op), more);
    spell_out_padding(model, id);
    set_strides(model, id, all);
}

/// Padding that keeps the size at stride 1, as numbers: another stride would make it another.
fn spell_out_padding(model: &mut Model, id: NodeId) {
    let Some(weights) = model.ty(model.node(id).inputs()[1]).shape.sizes() else { return };
    let (auto, begin, end, dilations, lead) = match &mut model.node_mut(id).op {
        Op::Convolution(c) => (&mut c.auto_pad, &mut c.pads_begin, &mut c.pads_end, &c.dilations, 2),
        Op::GroupConvolution(c) => (&mut c.auto_pad, &mut c.pads_begin, &mut c.pads_end, &c.dilations, 3),
        _ => return,
    };
    let is_upper = match auto {
        AutoPad::SameUpper => true,
        AutoPad::SameLower => false,
        AutoPad::Valid | AutoPad::Explicit => return,
    };
    let dilation = |i: usize| dilations.get(i).copied().unwrap_or(1);
    let total: Vec<i64> =
        weights[lead..].iter().enumerate().map(|(i, k)| ((k - 1) * dilation(i)) as i64).collect();
    let less: Vec<i64> = total.iter().map(|t| t / 2).collect();
    let more: Vec<i64> = total.iter().zip(&less).map(|(t, l)| t - l).collect();
    (*begin, *end) = if is_upper { (less, more) } else { (more, less) };
    *auto = AutoPad::Explicit;
}

fn set_strides(model: &mut Model, id: NodeId, strides: Vec<usize>) {
    match &mut model.node_mut(id).op {
        Op::Convolution(c) => c.strides = strides,
        Op::GroupConvolution(c) => c.strides = strides,
        _ => {}
    }
}

/// Lets `user` see every `strides`-th element of what comes from `port`.
fn thin_out(model: &mut Model, user: NodeId, port: Port, strides: &[usize]) -> Result<(), ModelError> {
    let spatial = strides.len();
    let pool = MaxPool {
        strides: strides.to_vec(),
        pads_begin: vec![0; spatial],
        pads_end: vec![0; spatial],
        kernel: vec![1; spatial],
        ..MaxPool::default()
    };
    let name = format!("{}/strided", model.node(port.node).name);
    let inputs: Vec<usize> =
        model.consumers(port).into_iter().filter(|(node, _)| *node == user).map(|(_, i)| i).collect();
    let thin = model.add(name, pool, &[port])?;
    for input in inputs {
        model.set_input(user, input, thin.into());
    }
    Ok(())
}
