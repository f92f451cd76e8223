//! Which device each node goes to, and why: where the user wants it; else the first device in the list that takes it.
//! Shape arithmetic goes with those who use it: shapes that come from another device would be data to them.

use crate::{
    affinity,
    settings::{Member, NAME, PRIORITIES, Settings},
};
use ir::{
    Model, Node, NodeId, Op, Port,
    device::{DeviceError, DeviceResult, Host, Placement, Support},
    element_count,
    op::Value,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Integers up to this number are shape arithmetic: as many as inference follows.
const MOST_INTEGERS: usize = 1024;

/// What part a node has in the division.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// An input or an output of the model.
    Edge,
    /// A constant, or what follows from constants and shapes alone: each who takes it has its own.
    Fixed,
    /// Shape arithmetic, with dimensions that only a run shows.
    Shape,
    /// It computes.
    Compute,
}

/// The roles of all nodes, by [`NodeId::index`].
fn roles(model: &Model, order: &[NodeId]) -> Vec<Role> {
    let mut roles = vec![Role::Compute; model.capacity()];
    for id in order {
        let node = model.node(*id);
        let inputs = || node.inputs().iter().map(|port| roles[port.node.index()]);
        let known = |output: &ir::Output| matches!(output.value, Some(Value::Known(_)));
        let is_small = |output: &ir::Output| {
            let sizes = output.ty.shape.sizes();
            let count = sizes.and_then(|sizes| element_count(&sizes));
            !output.ty.element_type.is_float() && count.is_some_and(|count| count <= MOST_INTEGERS)
        };
        roles[id.index()] = match &node.op {
            Op::Parameter(_) | Op::OpResult(_) => Role::Edge,
            Op::Constant(_) => Role::Fixed,
            // Nobody knows what it does.
            Op::Custom(_) => Role::Compute,
            _ if node.outputs().iter().all(known) => Role::Fixed,
            _ if !node.inputs().is_empty() && inputs().all(|role| role == Role::Fixed) => Role::Fixed,
            Op::ShapeOf(_) => Role::Shape,
            _ if node.outputs().iter().all(is_small)
                && inputs().all(|role| matches!(role, Role::Fixed | Role::Shape)) =>
            {
                Role::Shape
            }
            _ => Role::Compute,
        };
    }
    roles
}

/// What a device says of the nodes, by name.
struct Answers(BTreeMap<String, Result<(), String>>);

impl Answers {
    fn new(support: Support) -> Self {
        let taken = support.supported.into_iter().map(|name| (name, Ok(())));
        // Of several nodes of one name the refused one counts.
        let refused = support.refused.into_iter().map(|(name, reason)| (name, Err(reason)));
        Self(taken.chain(refused).collect())
    }

    fn of(&self, node: &Node) -> Result<(), &str> {
        match self.0.get(&node.name) {
            Some(answer) => answer.as_ref().copied().map_err(String::as_str),
            None => Err("it does not say that it takes the node"),
        }
    }
}

/// A node that no device takes.
pub(crate) struct Homeless {
    pub(crate) node: NodeId,
    /// What each device says.
    pub(crate) reason: String,
}

/// Where every node goes.
pub(crate) struct Places {
    pub(crate) members: Vec<Member>,
    pub(crate) roles: Vec<Role>,
    /// The device of each node that computes, by [`NodeId::index`].
    pub(crate) device: Vec<Option<usize>>,
    reasons: Vec<String>,
    pub(crate) homeless: Vec<Homeless>,
    answers: Vec<Answers>,
    /// The nodes, each after those that it takes from.
    pub(crate) order: Vec<NodeId>,
}

impl Places {
    /// Places the nodes of a model.
    pub(crate) fn new(model: &Model, settings: &Settings, host: &Arc<dyn Host>) -> DeviceResult<Self> {
        let order = model.topological_order()?;
        let wishes = wishes(model, settings)?;
        let mut names = settings.priorities.clone();
        for name in wishes.values().map(|(device, _)| device) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if names.is_empty() {
            let reason = "which devices? name them in the order of preference: HETERO:FPGA,CPU".to_owned();
            let (key, value) = (PRIORITIES.to_owned(), String::new());
            return Err(DeviceError::Config { device: NAME.to_owned(), key, value, reason });
        }
        let members = settings.members(&names, host)?;
        let ask = |member: &Member| member.device.query_with(model, &member.config, host).map(Answers::new);
        let answers: Vec<Answers> = members.iter().map(ask).collect::<DeviceResult<_>>()?;
        let roles = roles(model, &order);
        let mut places = Self {
            members,
            roles,
            device: vec![None; model.capacity()],
            reasons: vec![String::new(); model.capacity()],
            homeless: Vec::new(),
            answers,
            order,
        };
        // Who uses shape arithmetic must have a place before it has.
        let with = |role| {
            let ids = places.order.iter().copied().filter(|id| places.roles[id.index()] == role);
            ids.collect::<Vec<NodeId>>()
        };
        let (computing, shapes, preferred) =
            (with(Role::Compute), with(Role::Shape), settings.priorities.len());
        for id in computing {
            places.place(model, id, &wishes, preferred);
        }
        let mut users = vec![BTreeSet::new(); model.capacity()];
        for id in shapes.into_iter().rev() {
            match places.users(model, id, &users) {
                Some(devices) if !wishes.contains_key(&id.index()) => users[id.index()] = devices,
                _ => places.place(model, id, &wishes, preferred),
            }
        }
        Ok(places)
    }

    /// The first of the `preferred` devices that takes the node; the wished one when there is a wish.
    fn place(&mut self, model: &Model, id: NodeId, wishes: &Wishes, preferred: usize) {
        let node = model.node(id);
        let mut refusals = Vec::new();
        let wish = wishes.get(&id.index());
        for (device, member) in self.members.iter().enumerate() {
            if wish.map_or(device >= preferred, |(wished, _)| *wished != member.name) {
                continue;
            }
            match self.answers[device].of(node) {
                Ok(()) => {
                    self.device[id.index()] = Some(device);
                    self.reasons[id.index()] = match wish {
                        Some((_, source)) => format!("the user wants it there ({source})"),
                        None if refusals.is_empty() => "the preferred device takes it".to_owned(),
                        None => format!("the first that takes it; {}", refusals.join("; ")),
                    };
                    return;
                }
                Err(reason) => refusals.push(format!("{} refuses: {reason}", member.name)),
            }
        }
        let mut reason = refusals.join("; ");
        if let Some((_, source)) = wish {
            reason = format!("{reason}; the user wants it there ({source})");
        } else if preferred == 0 {
            reason = "no affinity is set for it, and no list of devices is given".to_owned();
        }
        self.homeless.push(Homeless { node: id, reason });
    }

    /// The devices of all that use the node, if each of them takes it; `users` knows those of shape arithmetic that
    /// goes with its users.
    fn users(&self, model: &Model, id: NodeId, users: &[BTreeSet<usize>]) -> Option<BTreeSet<usize>> {
        let mut devices = BTreeSet::new();
        for (user, _) in model.users_of(id) {
            match self.device[user.index()] {
                Some(device) => _ = devices.insert(device),
                None if users[user.index()].is_empty() => return None,
                None => devices.extend(&users[user.index()]),
            }
        }
        let all_take = devices.iter().all(|device| self.takes(*device, model.node(id)));
        Some(devices).filter(|devices| all_take && !devices.is_empty())
    }

    /// True for nodes that each subgraph which takes from them has for itself.
    pub(crate) fn is_carried(&self, id: NodeId) -> bool {
        match self.roles[id.index()] {
            Role::Fixed => true,
            Role::Shape => self.device[id.index()].is_none(),
            Role::Edge | Role::Compute => false,
        }
    }

    /// What a node takes of those that have a device: directly, or through what it carries.
    pub(crate) fn taken(&self, model: &Model, id: NodeId) -> Vec<Port> {
        let (mut taken, mut known, mut open) = (Vec::new(), BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            for port in model.node(id).inputs() {
                if self.device[port.node.index()].is_some() {
                    taken.push(*port);
                } else if self.roles[port.node.index()] == Role::Shape && known.insert(port.node) {
                    open.push(port.node);
                }
            }
        }
        taken
    }

    /// True when the device takes the node, by what it says.
    pub(crate) fn takes(&self, device: usize, node: &Node) -> bool {
        self.answers[device].of(node).is_ok()
    }

    /// The error for the first node that no device takes.
    pub(crate) fn complete(&self, model: &Model) -> DeviceResult<()> {
        let Some(homeless) = self.homeless.first() else { return Ok(()) };
        let names: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
        Err(DeviceError::Unsupported {
            device: format!("{NAME}:{}", names.join(",")),
            node: model.node(homeless.node).name.clone(),
            reason: homeless.reason.clone(),
        })
    }

    /// What `query` answers.
    pub(crate) fn support(&self, model: &Model) -> Support {
        let mut support = Support::default();
        let homeless = |id: NodeId| self.homeless.iter().find(|homeless| homeless.node == id);
        for id in &self.order {
            let node = model.node(*id).name.clone();
            if let Some(homeless) = homeless(*id) {
                support.refused.push((node, homeless.reason.clone()));
                continue;
            }
            let (device, reason) = match self.device[id.index()] {
                Some(device) => (device, self.reasons[id.index()].clone()),
                None => self.beside(model, *id),
            };
            let device = self.members[device].name.clone();
            support.supported.push(node.clone());
            support.placements.push(Placement { node, device, reason });
        }
        support
    }

    /// The device of a neighbour, for nodes that have none of their own.
    fn beside(&self, model: &Model, id: NodeId) -> (usize, String) {
        let users = model.users_of(id).map(|(user, _)| user);
        let sources = model.node(id).inputs().iter().map(|port| port.node);
        let neighbour = users.chain(sources).find_map(|near| Some((self.device[near.index()]?, near)));
        match neighbour {
            Some((device, near)) => (device, format!("with `{}`", model.node(near).name)),
            None => (0, "no node that computes is beside it".to_owned()),
        }
    }
}

/// By [`NodeId::index`]: the device, and where that wish stands.
type Wishes = BTreeMap<usize, (String, &'static str)>;

/// What the user wants: in the nodes' information, and in a file, which counts more.
fn wishes(model: &Model, settings: &Settings) -> DeviceResult<Wishes> {
    let stated = |(id, node): (NodeId, &Node)| {
        let device = affinity::affinity(node)?;
        Some((id.index(), (device.to_owned(), "affinity in the node's rt_info")))
    };
    let mut wishes: Wishes = model.nodes().filter_map(stated).collect();
    let Some(path) = &settings.affinity_file else { return Ok(wishes) };
    for (name, device) in affinity::read(path)? {
        let mut is_known = false;
        for (id, _) in model.nodes().filter(|(_, node)| node.name == name) {
            wishes.insert(id.index(), (device.clone(), "affinity file"));
            is_known = true;
        }
        if !is_known {
            let message = format!("{}: the model has no node `{name}`", path.display());
            return Err(DeviceError::Failed { device: NAME.to_owned(), message });
        }
    }
    Ok(wishes)
}
