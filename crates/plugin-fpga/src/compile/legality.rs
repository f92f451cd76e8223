//! Which nodes the overlay takes, what they become there, and why the others are refused.

use super::{
    Refusal,
    action::Action,
    constants::Constants,
    image::{Image, Span},
    movement,
};
use crate::architecture::{Architecture, Primitive};
use ir::{ElementType, Model, Node, NodeId, Op, Port};
use std::collections::HashMap;

/// Why a node is refused.
pub(crate) type Reasons = Vec<String>;

/// What is decided about the nodes of a model.
pub(crate) struct Judgement<'m> {
    pub(crate) model: &'m Model,
    pub(crate) architecture: &'m Architecture,
    pub(crate) constants: Constants,
    /// The nodes, each after those that it takes from.
    pub(crate) order: Vec<NodeId>,
    /// By [`NodeId::index`]; none for nodes that are refused.
    actions: Vec<Option<Action>>,
    images: HashMap<Port, Image>,
    pub(crate) refusals: Vec<Refusal>,
}

impl<'m> Judgement<'m> {
    /// Looks at every node, alone and with what surrounds it.
    pub(crate) fn new(model: &'m Model, architecture: &'m Architecture, order: Vec<NodeId>) -> Self {
        let constants = Constants::new(model, &order);
        let actions = vec![None; model.capacity()];
        let mut this = Self {
            model,
            architecture,
            constants,
            order,
            actions,
            images: HashMap::new(),
            refusals: Vec::new(),
        };
        let mut refused: HashMap<NodeId, Reasons> = HashMap::new();
        for id in this.order.clone() {
            let judged = this.node(id).and_then(|(action, images)| {
                let reasons = this.limits(&action, &images);
                if reasons.is_empty() { Ok((action, images)) } else { Err(reasons) }
            });
            match judged {
                Ok((action, images)) => {
                    let ports = images.into_iter().enumerate().map(|(i, image)| (id.output(i), image));
                    this.images.extend(ports);
                    this.actions[id.index()] = Some(action);
                }
                Err(reasons) => _ = refused.insert(id, reasons),
            }
        }
        for id in this.order.clone().into_iter().rev() {
            if let Some(reason) = movement::other_users(&this, id) {
                this.actions[id.index()] = None;
                refused.insert(id, vec![reason]);
            }
        }
        for id in &this.order {
            let node = model.node(*id);
            if let Some(reasons) = refused.remove(id) {
                let (name, kind) = (node.name.clone(), node.op.type_name().to_owned());
                this.refusals.push(Refusal { name, kind, reasons });
            }
        }
        this
    }

    /// What a node becomes, unless it is refused.
    pub(crate) fn action(&self, id: NodeId) -> Option<&Action> {
        self.actions[id.index()].as_ref()
    }

    /// The feature map that comes out of `port`.
    pub(crate) fn image(&self, port: Port) -> Result<Image, Reasons> {
        match self.images.get(&port) {
            Some(image) => Ok(image.clone()),
            None => self.image_of_type(port),
        }
    }

    /// Values of a word.
    pub(crate) fn vector(&self) -> usize {
        self.architecture.input_vector as usize
    }

    /// Complains when the bitstream lacks a unit.
    pub(crate) fn needs(&self, primitive: Primitive) -> Result<(), Reasons> {
        if self.architecture.primitives.contains(&primitive) {
            return Ok(());
        }
        Err(vec![format!("the bitstream has no {} unit: program one that has", primitive.name())])
    }

    fn image_of_type(&self, port: Port) -> Result<Image, Reasons> {
        let ty = self.model.ty(port);
        if !matches!(ty.element_type, ElementType::F32 | ElementType::F16) {
            return Err(vec![format!("numbers are taken as f32 or f16, found {ty}")]);
        }
        self.image_of_shape(port)
    }

    fn image_of_shape(&self, port: Port) -> Result<Image, Reasons> {
        let ty = self.model.ty(port);
        let refuse = |why: String| Err(vec![format!("{why}, found {ty}")]);
        let Some(sizes) = ty.shape.sizes() else {
            return refuse("shapes must be known: set the batch and the size of the image".to_owned());
        };
        let image = match *sizes {
            [1, channels] => Image::new(1, 1, channels),
            [1, channels, height, width] => Image::new(height, width, channels),
            [_, _] | [_, _, _, _] => return refuse("the batch must be 1".to_owned()),
            _ => return refuse("images have four dimensions, vectors two".to_owned()),
        };
        let most = self.architecture.largest_image;
        let names = ["rows", "columns", "channels"];
        for ((size, most), name) in image.sizes().into_iter().zip(most).zip(names) {
            if size == 0 || size > most as usize {
                return refuse(format!("the bitstream takes images of 1 to {most} {name}"));
            }
        }
        Ok(image)
    }

    fn node(&self, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
        let node = self.model.node(id);
        if !node.outputs().is_empty() && (0..node.outputs().len()).all(|i| self.constants.has(id.output(i))) {
            return Ok((Action::Fixed, Vec::new()));
        }
        match &node.op {
            Op::Parameter(_) => Ok((Action::Input, vec![self.input(id)?])),
            Op::OpResult(_) if self.constants.has(node.inputs()[0]) => {
                Err(vec!["its value is a constant: no layer computes it".to_owned()])
            }
            Op::OpResult(_) => {
                self.image(node.inputs()[0])?;
                Ok((Action::Output, Vec::new()))
            }
            _ => super::layers::action(self, id),
        }
    }

    /// The image of an input; the host converts integers.
    fn input(&self, id: NodeId) -> Result<Image, Reasons> {
        let ty = self.model.ty(id.into());
        match ty.element_type {
            ElementType::U8 | ElementType::U16 | ElementType::I16 => self.image_of_shape(id.into()),
            _ => self.image_of_type(id.into()),
        }
    }

    /// The image that comes out of `port`, by its type, with the channels of `lanes`.
    pub(crate) fn output_like(&self, port: Port, from: &Image) -> Result<Image, Reasons> {
        let image = self.image_of_type(port)?;
        Ok(Image { lanes: from.lanes.clone(), ..image })
    }

    /// The image that comes out of `port`, by its type.
    pub(crate) fn output(&self, port: Port) -> Result<Image, Reasons> {
        self.image_of_type(port)
    }

    /// The input that is a feature map, of an op that takes one map and one constant.
    pub(crate) fn map_and_constant(&self, node: &Node) -> Option<(usize, usize)> {
        match node.inputs() {
            [a, b] if self.constants.has(*b) && !self.constants.has(*a) => Some((0, 1)),
            [a, b] if self.constants.has(*a) && !self.constants.has(*b) => Some((1, 0)),
            _ => None,
        }
    }

    /// Complains when a layer alone, row by row, does not fit the stream buffer.
    fn limits(&self, action: &Action, outputs: &[Image]) -> Reasons {
        let images: Result<Vec<Image>, _> = action.reads().iter().map(|port| self.image(*port)).collect();
        let (Ok(images), Some(output)) = (images, outputs.first()) else { return Vec::new() };
        let words = |image: &Image, rows: usize| rows * image.width * image.lanes.blocks(self.vector());
        let window = |span: &Span| {
            let step = if span.repeat > 1 { span.repeat.min(output.height) } else { 1 };
            let rows = (0..output.height).step_by(step);
            let read =
                |row: usize| span.reads(&(row..(row + step).min(output.height)), images[0].height).0.len();
            (rows.map(read).max().unwrap_or(0), step)
        };
        let needed = match action {
            Action::Convolve(_, filters) => {
                let (read, step) = window(&filters.spans[0]);
                words(&images[0], read) + words(output, step)
            }
            Action::Pool(_, pool) if pool.is_whole() => {
                words(&images[0], images[0].height) + words(output, output.height)
            }
            Action::Pool(_, pool) => {
                let (read, step) = window(&pool.spans[0]);
                words(&images[0], read) + words(output, step)
            }
            Action::Concat(_) => {
                images.iter().map(|image| words(image, 1)).max().unwrap_or(0) + words(output, 1)
            }
            Action::Split(..) => {
                words(&images[0], 1) + outputs.iter().map(|o| words(o, 1)).max().unwrap_or(0)
            }
            Action::Add(..) => 3 * words(output, 1),
            Action::Affine(..) | Action::Normalise(..) | Action::Activate(..) => 2 * words(output, 1),
            Action::Same(_) | Action::Fixed | Action::Input | Action::Output => 0,
        };
        let holds = self.architecture.stream_words() as usize;
        if needed <= holds {
            return Vec::new();
        }
        vec![format!(
            "the least part of it takes {needed} words of the stream buffer, which has {holds}: a bitstream with a \
             deeper stream buffer takes it"
        )]
    }
}
