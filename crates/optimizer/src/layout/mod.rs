//! Layout: transposes sink towards the outputs, rise towards the inputs, and cancel.
//!
//! Frontends of frameworks that think in NHWC put a transpose before and behind every convolution. Sinking takes
//! each node once, in topological order, and moves transposes from its inputs behind it; so the two between one
//! convolution and the next meet and cancel. Rising takes what is left through regions whose edge absorbs it:
//! constants, other transposes, an input of the network. What then stands before a dense layer goes into its
//! weights.

mod absorb;
mod commute;

use crate::{
    graph,
    identity::{self, add_transpose, transpose},
    pass::Record,
    permutation::Permutation,
    rule::{Refusal, rewrite},
};
use commute::{Data, commute, data_inputs};
use ir::{Model, ModelError, NodeId, Op, Port};
use std::collections::{BTreeSet, HashSet};

/// Sinking and rising are repeated while transposes go, but no more often than this.
const MOST_ROUNDS: usize = 8;

/// The pass.
pub(crate) fn settle(model: &mut Model, record: &mut Record) -> Result<usize, ModelError> {
    let mut changes = 0;
    let mut left = count(model);
    for _ in 0..MOST_ROUNDS {
        if left == 0 {
            break;
        }
        let before = model.clone();
        let mut moved = sink(model, record)?;
        moved += rewrite(model, identity::RULES, record)?;
        moved += rise(model, record)?;
        moved += rewrite(model, identity::RULES, record)?;
        moved += rewrite(model, absorb::RULES, record)?;
        model.remove_dead();
        let now = count(model);
        if now > left {
            // Where many share one transpose, moving it behind each makes more of them.
            *model = before;
            break;
        }
        changes += moved;
        if now == left {
            break;
        }
        left = now;
    }
    name_after_inputs(model);
    Ok(changes)
}

/// A transpose that stays behind an input gives out that input: it has the framework's name for it.
fn name_after_inputs(model: &mut Model) {
    for parameter in model.parameters().to_vec() {
        let name = model.node(parameter).name.clone();
        for (user, _) in model.consumers(parameter.into()) {
            let node = model.node_mut(user);
            if matches!(node.op, Op::Transpose(_)) {
                node.name.clone_from(&name);
            }
        }
    }
}

/// The number of transposes that aren't about to become constants.
fn count(model: &Model) -> usize {
    let moves_data = |(_, node): &(NodeId, &ir::Node)| {
        matches!(node.op, Op::Transpose(_)) && model.constant(node.inputs()[0]).is_none()
    };
    model.nodes().filter(moves_data).count()
}

/// Moves transposes from the inputs of every node behind it, where at least half of its data comes through one.
fn sink(model: &mut Model, record: &mut Record) -> Result<usize, ModelError> {
    let mut changes = 0;
    for id in model.topological_order()? {
        let Some(node) = model.get(id) else { continue };
        if let Op::ShapeOf(_) = node.op {
            continue;
        }
        let Some(order) = wanted(model, id) else { continue };
        match sink_through(model, id, &order) {
            Ok(()) => changes += 1,
            Err(Refusal::NoMatch) => {}
            Err(Refusal::Because(reason)) => record.refused("sink transpose", &model.node(id).name, reason),
        }
    }
    Ok(changes)
}

/// The order of the transposes that most data inputs of a node come through, if they are at least half.
fn wanted(model: &Model, id: NodeId) -> Option<Permutation> {
    let data = data_ports(model, id)?;
    let mut orders: Vec<(Permutation, usize)> = Vec::new();
    let mut others = 0;
    for port in data {
        if model.constant(port).is_some() || graph::rank(model, port) == Some(0) {
            continue;
        }
        match transpose(model, port.node) {
            // A transposed constant is a constant soon.
            Some((_, source)) if model.constant(source).is_some() => {}
            Some((order, _)) => match orders.iter_mut().find(|(o, _)| *o == order) {
                Some((_, count)) => *count += 1,
                None => orders.push((order, 1)),
            },
            None => others += 1,
        }
    }
    let total = others + orders.iter().map(|(_, n)| n).sum::<usize>();
    let (order, count) = orders.into_iter().max_by_key(|(_, n)| *n)?;
    (2 * count >= total).then_some(order)
}

/// The inputs of a node that a transpose can move through.
fn data_ports(model: &Model, id: NodeId) -> Option<Vec<Port>> {
    let node = model.node(id);
    let inputs = node.inputs();
    Some(match data_inputs(&node.op)? {
        Data::First => inputs[..1].to_vec(),
        Data::All | Data::Broadcast => inputs.to_vec(),
    })
}

/// Moves transposes by `order` from before node `id` to behind it. The node stays, with its name; its outputs' names
/// go to the transposes, which give out what the node gave.
fn sink_through(model: &mut Model, id: NodeId, order: &Permutation) -> Result<(), Refusal> {
    let changed = commute(model, id, order)?;
    let node = model.node(id);
    let (op, inputs) = (node.op.clone(), node.inputs().to_vec());
    model.node_mut(id).op = changed.op;
    model.set_inputs(id, &changed.inputs);
    if let Err(error) = model.infer_node(id) {
        model.node_mut(id).op = op;
        model.set_inputs(id, &inputs);
        model.infer_node(id)?;
        return Err(error.into());
    }
    let name = model.node(id).name.clone() + "/transposed";
    for index in 0..model.node(id).outputs().len() {
        if changed.order.is_identity() || model.consumers(id.output(index)).is_empty() {
            continue;
        }
        let from = id.output(index);
        let back = add_transpose(model, &name, from, &changed.order)?;
        model.replace(from, back.into());
        model.set_input(back, 0, from);
        model.infer_node(back)?;
    }
    Ok(())
}

/// Moves transposes towards the inputs through regions at whose edge they vanish, or meet an input of the network.
fn rise(model: &mut Model, record: &mut Record) -> Result<usize, ModelError> {
    let mut changes = 0;
    let mut places = places(model)?;
    for id in model.topological_order()?.into_iter().rev() {
        let Some((order, source)) = model.get(id).and_then(|_| transpose(model, id)) else { continue };
        let Some(region) = region_above(model, source, &order, &places) else { continue };
        changes += 1;
        let (ports, inverse) = (region.edge, order.inverse());
        for port in ports {
            // A pair that does nothing; its lower half sinks through the region.
            let name = model.node(id).name.clone();
            let up = add_transpose(model, &name, port, &order)?;
            let down = add_transpose(model, &name, up.into(), &inverse)?;
            for (user, input) in model.consumers(port) {
                if region.nodes.contains(&user) {
                    model.set_input(user, input, down.into());
                }
            }
        }
        for node in model.topological_order()? {
            if !region.nodes.contains(&node) {
                continue;
            }
            if let Err(Refusal::Because(reason)) = sink_through(model, node, &inverse) {
                record.refused("raise transpose", &model.node(node).name, reason);
            }
        }
        places = self::places(model)?;
    }
    Ok(changes)
}

/// Along [`NodeId::index`], the place of each node in topological order.
fn places(model: &Model) -> Result<Vec<usize>, ModelError> {
    let mut places = vec![0; model.capacity()];
    for (i, id) in model.topological_order()?.into_iter().enumerate() {
        places[id.index()] = i;
    }
    Ok(places)
}

/// Nodes that a transpose below them moves through, and the ports where it ends up.
struct Region {
    nodes: HashSet<NodeId>,
    edge: BTreeSet<Port>,
}

/// The region above `start`, when moving the transpose to its edge pays.
fn region_above(model: &Model, start: Port, order: &Permutation, places: &[usize]) -> Option<Region> {
    let place = |port: Port| places[port.node.index()];
    let mut region = Region { nodes: HashSet::new(), edge: BTreeSet::new() };
    // The latest node first: all its users within the region are then known.
    let mut open: BTreeSet<(usize, Port)> = [(place(start), start)].into();
    let (mut cost, mut at_input) = (0, true);
    while let Some((_, port)) = open.pop_last() {
        let node = model.node(port.node);
        if matches!(node.op, Op::Constant(_)) {
            continue;
        }
        let used_here = model.consumers(port).into_iter().all(|(user, _)| {
            region.nodes.contains(&user)
                || (port == start || model.node(user).inputs()[0] == port)
                    && transpose(model, user).is_some_and(|(o, _)| o == *order)
        });
        let through = used_here && node.outputs().len() == 1 && shape_stays(model, port.node, order.rank());
        if through {
            region.nodes.insert(port.node);
            for input in data_ports(model, port.node).expect("seen in `shape_stays`") {
                open.insert((place(input), input));
            }
            continue;
        }
        region.edge.insert(port);
        let vanishes = transpose(model, port.node).is_some_and(|(o, _)| o.then(order).is_identity());
        if !vanishes {
            cost += 1;
            at_input &= matches!(node.op, Op::Parameter(_));
        }
    }
    let pays = !region.nodes.is_empty() && (cost == 0 || cost == 1 && at_input);
    pays.then_some(region)
}

/// True when a transpose moves through a node upwards: it keeps the order of dimensions.
fn shape_stays(model: &Model, id: NodeId, rank: usize) -> bool {
    let node = model.node(id);
    let computed = |port: &Port| model.constant(*port).is_none();
    match &node.op {
        Op::Reduce(reduce) if !reduce.keep_dims => return false,
        Op::Squeeze(_) | Op::Unsqueeze(_) | Op::TopK(_) | Op::Broadcast(_) => return false,
        Op::Gather(_) if graph::rank(model, node.inputs()[1]) != Some(1) => return false,
        Op::StridedSlice(slice) => {
            let masks = [&slice.new_axis_mask, &slice.shrink_axis_mask, &slice.ellipsis_mask];
            if masks.iter().any(|m| m.iter().any(|v| *v != 0)) {
                return false;
            }
        }
        _ => {}
    }
    let same_rank = |port: &Port| graph::rank(model, *port) == Some(rank);
    match data_inputs(&node.op) {
        None => false,
        Some(Data::First) => same_rank(&node.inputs()[0]) && !node.inputs()[1..].iter().any(computed),
        Some(Data::All) => node.inputs().iter().all(same_rank),
        Some(Data::Broadcast) => {
            same_rank(&id.into()) && node.inputs().iter().all(|port| same_rank(port) || !computed(port))
        }
    }
}
