//! Passes: what runs at once through the array and the kernels behind it. A node joins the pass before it when nobody
//! else reads what that pass gives; no value changes by it.

use super::{
    action::{Action, Affine, Curve, Filters, Norm, Pool, Sign},
    image::Image,
    legality::Judgement,
};
use ir::{NodeId, Port};
use std::collections::{BTreeSet, HashMap};

/// A number for a tensor.
pub(crate) type TensorId = usize;

/// Where a tensor lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In words of its own.
    Own,
    /// In those of another, from a word of each place on; the node is the concatenation or division behind it.
    Within(TensorId, usize, NodeId),
}

/// A feature map that a pass gives or the host writes.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) image: Image,
    pub(crate) place: Place,
}

/// What the array does.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) filters: Filters,
    /// Rows and columns of what it gives.
    pub(crate) sizes: [usize; 2],
    pub(crate) addend: Option<(TensorId, Sign)>,
    pub(crate) curve: Option<Curve>,
}

/// What the kernels beside the array do, in this order.
#[derive(Clone, Default, Debug)]
pub(crate) struct After {
    pub(crate) pool: Option<Pool>,
    pub(crate) affine: Option<Affine>,
    pub(crate) addend: Option<(TensorId, Sign)>,
    pub(crate) norm: Option<Norm>,
    pub(crate) curve: Option<Curve>,
}

/// What runs at once.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    /// Its nodes, in order; the first gives it its name.
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) input: TensorId,
    pub(crate) array: Option<Array>,
    pub(crate) after: Option<After>,
    pub(crate) output: TensorId,
}

impl Pass {
    fn new(node: NodeId, input: TensorId, output: TensorId) -> Self {
        Self { nodes: vec![node], input, array: None, after: None, output }
    }

    /// Words that move as they are.
    pub(crate) fn copy(node: NodeId, input: TensorId, output: TensorId) -> Self {
        Self { after: Some(After::default()), ..Self::new(node, input, output) }
    }

    /// The tensors that it reads.
    pub(crate) fn reads(&self) -> Vec<TensorId> {
        let added = [
            self.array.as_ref().and_then(|array| array.addend),
            self.after.as_ref().and_then(|after| after.addend),
        ];
        std::iter::once(self.input).chain(added.into_iter().flatten().map(|(tensor, _)| tensor)).collect()
    }

    /// Where a node fits behind all that the pass does already; false when it does not.
    fn join(&mut self, action: &Action, addend: Option<(TensorId, Sign)>) -> bool {
        let array = self.array.as_mut().filter(|_| self.after.is_none());
        if let Some(array) = array {
            let is_bare = array.addend.is_none() && array.curve.is_none();
            match action {
                Action::Affine(_, affine) if is_bare => {
                    array.filters.affine.then(affine);
                    return true;
                }
                Action::Add(..) if is_bare => {
                    array.addend = addend;
                    return true;
                }
                Action::Activate(_, curve) if array.curve.is_none() => {
                    array.curve = Some(curve.clone());
                    return true;
                }
                _ => {}
            }
        }
        let is_new = self.after.is_none();
        let mut after = self.after.clone().unwrap_or_default();
        let normed = after.norm.is_some() || after.curve.is_some();
        let added = after.addend.is_some() || normed;
        match action {
            Action::Pool(_, pool) if is_new => after.pool = Some(*pool),
            Action::Affine(_, affine) if !added => match &mut after.affine {
                Some(own) => own.then(affine),
                None => after.affine = Some(affine.clone()),
            },
            Action::Add(..) if !added => after.addend = addend,
            Action::Normalise(_, norm) if !normed => after.norm = Some(*norm),
            Action::Activate(_, curve) if after.curve.is_none() => after.curve = Some(curve.clone()),
            _ => return false,
        }
        self.after = Some(after);
        true
    }
}

/// A pass, or tensors that become one.
#[derive(Debug)]
pub(crate) enum Step {
    Pass(Box<Pass>),
    Concat { node: NodeId, parts: Vec<TensorId>, output: TensorId },
}

/// A model as passes over tensors.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) steps: Vec<Step>,
    /// The tensors of the model's inputs, in its order.
    pub(crate) inputs: Vec<(NodeId, TensorId)>,
    /// The tensors of the model's outputs, in its order.
    pub(crate) outputs: Vec<(NodeId, TensorId)>,
}

/// Gathers passes along the order of nodes.
struct Gatherer<'j, 'm> {
    judgement: &'j Judgement<'m>,
    /// Nodes that join no pass, for want of space.
    apart: &'j BTreeSet<NodeId>,
    network: Network,
    ports: HashMap<Port, TensorId>,
    /// Along the tensors: how many read it.
    uses: Vec<usize>,
    /// Along the tensors: the step that gives it.
    makers: Vec<Option<usize>>,
}

/// How many read what comes out of `port`, under whatever shape or type.
fn uses(judgement: &Judgement) -> HashMap<Port, usize> {
    let mut uses: HashMap<Port, usize> = HashMap::new();
    for id in judgement.order.iter().rev() {
        for port in judgement.model.node(*id).inputs() {
            let more = match judgement.action(*id) {
                Some(Action::Same(_)) => uses.get(&(*id).into()).copied().unwrap_or(0),
                _ => 1,
            };
            *uses.entry(*port).or_default() += more;
        }
    }
    uses
}

impl Gatherer<'_, '_> {
    fn tensor(&mut self, image: Image, place: Place, uses: usize, maker: Option<usize>) -> TensorId {
        self.network.tensors.push(Tensor { image, place });
        self.uses.push(uses);
        self.makers.push(maker);
        self.network.tensors.len() - 1
    }

    /// Adds a node to the pass that gives one of the tensors that it reads. Of two the later: the other is there by then.
    fn joined(&mut self, id: NodeId, action: &Action, reads: &[TensorId], output: TensorId) -> bool {
        let grows = matches!(action, Action::Pool(..) | Action::Add(..));
        if grows && self.apart.contains(&id) {
            return false;
        }
        let later = |at: &usize| self.makers[reads[*at]].map_or(0, |maker| maker + 1);
        let Some(at) = (0..reads.len()).max_by_key(later) else { return false };
        let Some(maker) = self.makers[reads[at]].filter(|_| self.uses[reads[at]] == 1) else { return false };
        let addend = match action {
            Action::Add(_, Sign::Minus) if at == 1 => return false,
            Action::Add(_, sign) => Some((reads[1 - at], *sign)),
            _ => None,
        };
        let Step::Pass(pass) = &mut self.network.steps[maker] else { return false };
        if pass.output != reads[at] || !pass.join(action, addend) {
            return false;
        }
        pass.nodes.push(id);
        pass.output = output;
        self.makers[output] = Some(maker);
        true
    }

    fn step(&mut self, step: Step, output: TensorId) {
        self.makers[output] = Some(self.network.steps.len());
        self.network.steps.push(step);
    }

    fn node(&mut self, id: NodeId, uses: &HashMap<Port, usize>) {
        let Some(action) = self.judgement.action(id) else { return };
        let reads: Vec<TensorId> = action.reads().iter().map(|port| self.ports[port]).collect();
        let (model, count) = (self.judgement.model, |port: Port| uses.get(&port).copied().unwrap_or(0));
        if let Action::Output = action {
            self.network.outputs.push((id, self.ports[&model.node(id).inputs()[0]]));
            return;
        }
        if let Action::Same(_) = action {
            self.ports.insert(id.into(), reads[0]);
            return;
        }
        if let Action::Fixed = action {
            return;
        }
        for index in 0..model.node(id).outputs().len() {
            let port = id.output(index);
            let Ok(image) = self.judgement.image(port) else { continue };
            let place = match action {
                Action::Split(_, parts) => Place::Within(reads[0], parts[index].0, id),
                _ => Place::Own,
            };
            // A part of a map is there when the map is.
            let maker = if place == Place::Own { None } else { self.makers[reads[0]] };
            let tensor = self.tensor(image, place, count(port), maker);
            self.ports.insert(port, tensor);
            if matches!(action, Action::Split(..)) && self.apart.contains(&id) {
                let image = self.network.tensors[tensor].image.clone();
                let own = self.tensor(image, Place::Own, count(port), None);
                self.step(Step::Pass(Pass::copy(id, tensor, own).into()), own);
                self.ports.insert(port, own);
            }
        }
        let Some(output) = self.ports.get(&id.into()).copied() else { return };
        match action {
            Action::Input => self.network.inputs.push((id, output)),
            Action::Split(..) => {}
            Action::Concat(_) => self.step(Step::Concat { node: id, parts: reads, output }, output),
            Action::Convolve(_, filters) => {
                let image = &self.network.tensors[output].image;
                let array = Array {
                    filters: (**filters).clone(),
                    sizes: [image.height, image.width],
                    addend: None,
                    curve: None,
                };
                let pass = Pass { array: Some(array), ..Pass::new(id, reads[0], output) };
                self.step(Step::Pass(pass.into()), output);
            }
            _ if self.joined(id, action, &reads, output) => {}
            _ => {
                let mut pass = Pass::new(id, reads[0], output);
                let addend = match action {
                    Action::Add(_, sign) => Some((reads[1], *sign)),
                    _ => None,
                };
                pass.join(action, addend);
                self.step(Step::Pass(pass.into()), output);
            }
        }
    }
}

impl Network {
    /// The passes of a model without refused nodes.
    pub(crate) fn new(judgement: &Judgement, apart: &BTreeSet<NodeId>) -> Self {
        let mut gatherer = Gatherer {
            judgement,
            apart,
            network: Self::default(),
            ports: HashMap::new(),
            uses: Vec::new(),
            makers: Vec::new(),
        };
        let uses = uses(judgement);
        for id in &judgement.order {
            gatherer.node(*id, &uses);
        }
        let mut network = gatherer.network;
        let position = |ids: &[NodeId], id: NodeId| ids.iter().position(|other| *other == id);
        network.inputs.sort_by_key(|(id, _)| position(judgement.model.parameters(), *id));
        network.outputs.sort_by_key(|(id, _)| position(judgement.model.results(), *id));
        network
    }
}
