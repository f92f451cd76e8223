//! An input in the caller's form.

use super::ResizeAlgorithm;
use super::{InputSettings, chain::Chain, color, resize};
use crate::error::Result;
use ir::{
    Dim, ElementType, Layout, Model, NodeId, Op, PartialShape, Port, Tensor,
    op::{Binary, BinaryKind, Parameter, Round},
};

pub(super) fn apply(model: &mut Model, id: NodeId, settings: &InputSettings) -> Result<()> {
    let name = model.node(id).name.clone();
    let consumers = model.consumers(id.into());
    let Op::Parameter(parameter) = &model.node(id).op else { unreachable!("parameters are Parameters") };
    let parameter = parameter.clone();
    let model_layout = settings.model_layout.clone().unwrap_or_else(|| parameter.layout.clone());
    let frames = settings.color.and_then(|(given, _)| given.frame());
    let last = || "NHWC".parse::<Layout>().expect("a layout");
    let default = || if frames.is_some() { last() } else { model_layout.clone() };
    let layout = settings.layout.clone().unwrap_or_else(default);

    let mut chain = Chain { model, name, at: id.into() };
    if frames.is_some() && layout != last() {
        return Err(chain.fail(format!("frames of video have the layout NHWC, not {layout}")));
    }
    let order = chain.order(&layout, &model_layout)?;
    // The model's shape with its dimensions as the caller's.
    let dims = parameter.shape.dims().map(<[Dim]>::to_vec);
    let dims = match (&order, dims) {
        (Some(order), Some(dims)) if dims.len() != order.len() => {
            return Err(chain.fail(format!("layout {layout} does not fit shape {}", parameter.shape)));
        }
        (Some(order), Some(dims)) => {
            let mut given = dims.clone();
            order.iter().zip(dims).for_each(|(to, dim)| given[*to] = dim);
            Some(given)
        }
        (_, dims) => dims,
    };
    let axes = Axes { layout: &layout, dims: dims.as_deref() };
    let work = Work { settings, axes, model_type: parameter.element_type };
    work.begin(&mut chain, id, &layout, parameter.shape.clone())?;
    work.geometry(&mut chain)?;
    work.arithmetic(&mut chain)?;
    if let Some(order) = order {
        chain.transpose(&order)?;
    }
    chain.custom(settings.custom.as_ref())?;
    for (node, input) in consumers {
        chain.model.set_input(node, input, chain.at);
    }
    Ok(())
}

/// Where dimensions are, in the caller's order, and what the model makes of them.
#[derive(Clone, Copy)]
struct Axes<'a> {
    layout: &'a Layout,
    dims: Option<&'a [Dim]>,
}

impl<'a> Axes<'a> {
    /// The axis called `name`; `what` needs it.
    fn find(&self, chain: &Chain, name: &str, what: &str) -> Result<(usize, &'a [Dim])> {
        let found = self.dims.and_then(|dims| Some((self.layout.index_of(name, dims.len())?, dims)));
        found.ok_or_else(|| {
            let layout = self.layout;
            chain.fail(format!("{what} needs to know which dimension is {name}, but the layout is {layout}"))
        })
    }

    /// Height and width.
    fn image(&self, chain: &Chain, what: &str) -> Result<([usize; 2], [Dim; 2])> {
        let (height, dims) = self.find(chain, "H", what)?;
        let (width, _) = self.find(chain, "W", what)?;
        Ok(([height, width], [dims[height], dims[width]]))
    }
}

struct Work<'a> {
    settings: &'a InputSettings,
    axes: Axes<'a>,
    model_type: ElementType,
}

impl Work<'_> {
    /// The parameter takes what the caller gives; planes of frames become parameters of their own, and frames colours.
    fn begin(&self, chain: &mut Chain, id: NodeId, layout: &Layout, shape: PartialShape) -> Result<()> {
        let settings = self.settings;
        let ty = settings.element_type.unwrap_or(self.model_type);
        let mut given = self.axes.dims.map(<[Dim]>::to_vec);
        let resizes = settings.resize.is_some() || settings.crop.is_some();
        if settings.size.is_some() || resizes {
            let (axes, _) = self.axes.image(chain, "an image of another size")?;
            let size = settings.size.unwrap_or([Dim::ANY_DIM; 2]);
            let given = given.as_mut().expect("the axes were found");
            axes.into_iter().zip(size).for_each(|(axis, dim)| given[axis] = dim);
        }
        let mut planes = Vec::new();
        let frames = settings.color.and_then(|(given, _)| given.frame());
        if let Some((color, _)) = settings.color {
            let (axis, _) = self.axes.find(chain, "C", "a change of colours")?;
            let given = given.as_mut().expect("the axis was found");
            given[axis] = Dim::exactly(if frames.is_some() { 1 } else { color.channels().len() as i64 });
        }
        if let Some((_, names)) = frames {
            if !color::frame_type(ty) {
                return Err(chain.fail(format!("frames of video are u8 or floats, not {ty}")));
            }
            let given = given.as_mut().expect("the axis was found");
            for (name, channels) in names {
                let plane = [given[0], color::half(given[1]), color::half(given[2]), Dim::exactly(*channels)];
                let op = Parameter { layout: layout.clone(), ..Parameter::new(ty, PartialShape::new(plane)) };
                let name = format!("{}/{name}", chain.name);
                let plane = chain.model.add(name.as_str(), op, &[])?;
                *chain.model.names_mut(plane.into()) = vec![name];
                planes.push(plane);
            }
            if names.is_empty() {
                given[1] = color::frame_rows(given[1]);
            }
        }
        let shape = given.map_or(shape, PartialShape::new);
        chain.model.node_mut(id).op =
            Parameter { layout: layout.clone(), ..Parameter::new(ty, shape) }.into();
        chain.model.infer_node(id)?;
        if let Some((frame, _)) = frames {
            // Planes stand behind the image that they belong to.
            let mut order = chain.model.parameters().to_vec();
            order.retain(|other| !planes.contains(other));
            let at = order.iter().position(|other| *other == id).expect("it is one of them");
            order.splice(at + 1..at + 1, planes.iter().copied());
            chain.model.set_parameter_order(order);
            let planes: Vec<Port> = planes.into_iter().map(Port::from).collect();
            color::frame_to_bgr(chain, frame, &planes)?;
        }
        Ok(())
    }

    /// What happens to the image's height and width.
    fn geometry(&self, chain: &mut Chain) -> Result<()> {
        let settings = self.settings;
        if let Some(crop) = settings.crop {
            let (axes, _) = self.axes.image(chain, "cutting out a part")?;
            resize::crop(chain, crop, axes)?;
        }
        if let Some(algorithm) = settings.resize {
            let (axes, wanted) = self.axes.image(chain, "resizing")?;
            let [Some(height), Some(width)] = wanted.map(Dim::size) else {
                return Err(chain.fail(format!(
                    "the model takes images of {} x {} pixels: give it a shape to resize to",
                    wanted[0], wanted[1]
                )));
            };
            if algorithm != ResizeAlgorithm::Nearest {
                chain.convert(ElementType::F32)?;
            }
            resize::resize(chain, algorithm, axes, [height, width])?;
        }
        if settings.size.is_some() || settings.crop.is_some() {
            let (axes, wanted) = self.axes.image(chain, "an image of another size")?;
            let found = axes.map(|axis| chain.ty().shape.dims().expect("the axes were found")[axis]);
            if (0..2).any(|i| found[i].intersect(wanted[i]).is_none()) {
                let [h, w] = found;
                let [height, width] = wanted;
                return Err(chain.fail(format!(
                    "images come out as {h} x {w} pixels, the model takes {height} x {width}: resize them"
                )));
            }
        }
        Ok(())
    }

    /// What happens to the image's channels.
    fn arithmetic(&self, chain: &mut Chain) -> Result<()> {
        let settings = self.settings;
        let computes = settings.color.is_some_and(|(from, to)| from.computes(to));
        let adjusts = computes || !settings.mean.is_empty() || !settings.scale.is_empty();
        let found = chain.ty().element_type;
        // What resizing has made floating-point stays so until the end.
        let keeps = !self.model_type.is_float() && (adjusts || found.is_float());
        chain.convert(if keeps { ElementType::F32 } else { self.model_type })?;
        if let Some((from, to)) = settings.color {
            let (axis, _) = self.axes.find(chain, "C", "a change of colours")?;
            color::convert(chain, from, to, axis)?;
        }
        if settings.reverse_channels {
            let (axis, size) = self.channels(chain)?;
            let size =
                size.ok_or_else(|| chain.fail("the number of channels must be known to reverse them"))?;
            let places: Vec<i64> = (0..size as i64).rev().collect();
            color::pick(chain, &places, axis)?;
        }
        for (values, kind, what) in
            [(&settings.mean, BinaryKind::Subtract, "mean"), (&settings.scale, BinaryKind::Divide, "scale")]
        {
            self.each_channel(chain, values, kind, what)?;
        }
        if keeps && self.model_type.is_integer() {
            chain.then(Round::default(), &[])?;
        }
        chain.convert(self.model_type)
    }

    /// The axis of the channels, and how many there are.
    fn channels(&self, chain: &Chain) -> Result<(usize, Option<usize>)> {
        let (axis, _) = self.axes.find(chain, "C", "mean, scale or channel reversal")?;
        Ok((axis, chain.ty().shape.dims().expect("the axis was found")[axis].size()))
    }

    fn each_channel(&self, chain: &mut Chain, values: &[f32], kind: BinaryKind, what: &str) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let (axis, size) = self.channels(chain)?;
        if let Some(size) = size.filter(|size| values.len() != 1 && *size != values.len()) {
            let count = values.len();
            return Err(
                chain.fail(format!("{count} {what} values for {size} channels; give one, or one each"))
            );
        }
        let mut dims = vec![1; chain.ty().shape.rank().expect("the axis was found")];
        dims[axis] = values.len();
        let wide: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        let tensor = Tensor::from_f64s(chain.ty().element_type, &dims, &wide);
        let constant = chain.constant(&format!("{what}/values"), tensor.expect("as many as the shape says"));
        chain.then(Binary::new(kind), &[constant])
    }
}
