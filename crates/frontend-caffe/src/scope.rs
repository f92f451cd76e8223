//! What the conversion of one layer sees: its inputs, parameters and weights, and the model that it adds to.

use crate::{
    blob::Blob,
    message::{Field, Message},
    upgrade::Layer,
};
use ir::{
    ElementType, Model, ModelError, Op, Port, Tensor, element_count,
    op::{Binary, BinaryKind, Reshape, Transpose},
};
use std::{cell::RefCell, collections::HashSet};

/// Why a layer was not converted.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The layer asks for something that has no conversion.
    Refused(String),
    /// The layer does not fit its inputs.
    Invalid(ModelError),
    /// The layer itself is malformed.
    Malformed(String),
    /// Weights are not there: what, and the shape that was expected.
    NoBlob(String, String),
    /// Weights have another shape: what, the shape that was found, and the one that was expected.
    BlobShape(String, String, String),
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        Self::Invalid(error)
    }
}

/// The tops of a converted layer.
pub(crate) type Converted = Result<Vec<Port>, Problem>;

pub(crate) fn refuse<T>(reason: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Refused(reason.into()))
}

pub(crate) fn malformed<T>(reason: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Malformed(reason.into()))
}

/// One layer under conversion.
pub(crate) struct Scope<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) inputs: Vec<Port>,
    pub(crate) model: &'a mut Model,
    /// What the user should know about this layer.
    pub(crate) notes: Vec<String>,
    read: RefCell<HashSet<*const Field>>,
}

/// The parameters in one message of a layer, `convolution_param`. A message that stands twice counts as one.
pub(crate) struct Params<'a, 's> {
    name: &'static str,
    messages: Vec<&'a Message>,
    read: &'s RefCell<HashSet<*const Field>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(layer: &'a Layer, inputs: Vec<Port>, model: &'a mut Model) -> Self {
        Self { layer, inputs, model, notes: Vec::new(), read: RefCell::default() }
    }

    // Inputs

    /// Input `i`.
    pub(crate) fn input(&self, i: usize) -> Result<Port, Problem> {
        let found = self.inputs.len();
        self.inputs
            .get(i)
            .copied()
            .map_or_else(|| malformed(format!("it has {found} bottoms; bottom {i} is missing")), Ok)
    }

    /// Exactly `N` inputs.
    pub(crate) fn exactly<const N: usize>(&self) -> Result<[Port; N], Problem> {
        let found = self.inputs.len();
        <[Port; N]>::try_from(&self.inputs[..])
            .or_else(|_| malformed(format!("it has {found} bottoms where {N} are expected")))
    }

    pub(crate) fn element_type(&self, port: Port) -> ElementType {
        self.model.ty(port).element_type
    }

    /// The dimensions as far as they are known.
    pub(crate) fn dims(&self, port: Port) -> Result<Vec<Option<usize>>, Problem> {
        match self.model.ty(port).shape.dims() {
            Some(dims) => Ok(dims.iter().map(|dim| dim.size()).collect()),
            None => {
                refuse("the rank of its input is not known; give the network's input a shape (--input_shape)")
            }
        }
    }

    pub(crate) fn rank(&self, port: Port) -> Result<usize, Problem> {
        Ok(self.dims(port)?.len())
    }

    /// The dimensions, all of which the conversion cannot do without.
    pub(crate) fn sizes(&self, port: Port) -> Result<Vec<usize>, Problem> {
        match self.model.ty(port).shape.sizes() {
            Some(sizes) => Ok(sizes),
            None => refuse(format!(
                "its input is {}; a fixed shape is needed (--input_shape)",
                self.model.ty(port).shape
            )),
        }
    }

    // What the layer adds to the model

    /// Adds a node that stands for the layer itself; its first output.
    pub(crate) fn emit(&mut self, op: impl Into<Op>, inputs: &[Port]) -> Result<Port, Problem> {
        Ok(self.model.add(self.layer.name.clone(), op, inputs)?.into())
    }

    /// Adds a node beside the one that stands for the layer, `<name>/<suffix>`; its first output.
    pub(crate) fn add(&mut self, suffix: &str, op: impl Into<Op>, inputs: &[Port]) -> Result<Port, Problem> {
        Ok(self.model.add(format!("{}/{suffix}", self.layer.name), op, inputs)?.into())
    }

    /// Emits an op of one output.
    pub(crate) fn one(&mut self, op: impl Into<Op>, inputs: &[Port]) -> Converted {
        Ok(vec![self.emit(op, inputs)?])
    }

    /// Emits an op of as many outputs as it has.
    pub(crate) fn several(&mut self, op: impl Into<Op>, inputs: &[Port]) -> Converted {
        let first = self.emit(op, inputs)?;
        let count = self.model.node(first.node).outputs().len();
        Ok((0..count).map(|i| first.node.output(i)).collect())
    }

    pub(crate) fn binary(
        &mut self,
        suffix: &str,
        kind: BinaryKind,
        a: Port,
        b: Port,
    ) -> Result<Port, Problem> {
        self.add(suffix, Binary::new(kind), &[a, b])
    }

    pub(crate) fn constant(&mut self, suffix: &str, tensor: Tensor) -> Port {
        self.model.add_constant(format!("{}/{suffix}", self.layer.name), tensor).into()
    }

    pub(crate) fn i64s(&mut self, suffix: &str, values: &[i64]) -> Port {
        self.constant(suffix, Tensor::from_i64s(values))
    }

    /// One integer without dimensions.
    pub(crate) fn i64(&mut self, suffix: &str, value: i64) -> Port {
        self.constant(suffix, Tensor::scalar(value))
    }

    /// One number without dimensions.
    pub(crate) fn scalar(&mut self, suffix: &str, value: f64) -> Port {
        self.constant(suffix, Tensor::scalar(value as f32))
    }

    /// Numbers of a shape, which has as many elements.
    pub(crate) fn floats(&mut self, suffix: &str, shape: &[usize], values: &[f64]) -> Result<Port, Problem> {
        match Tensor::from_f64s(ElementType::F32, shape, values) {
            Ok(tensor) => Ok(self.constant(suffix, tensor)),
            Err(error) => malformed(error.to_string()),
        }
    }

    /// `port` under another shape, in which 0 keeps a dimension and -1 is what is left.
    pub(crate) fn reshaped(&mut self, suffix: &str, port: Port, pattern: &[i64]) -> Result<Port, Problem> {
        let pattern = self.i64s(&format!("{suffix}/shape"), pattern);
        self.add(suffix, Reshape { special_zero: true }, &[port, pattern])
    }

    pub(crate) fn transposed(&mut self, suffix: &str, port: Port, order: &[i64]) -> Result<Port, Problem> {
        let order = self.i64s(&format!("{suffix}/order"), order);
        self.add(suffix, Transpose, &[port, order])
    }

    // Parameters. Every one that is read is recorded; what is left over becomes a note.

    /// The parameters in a message of the layer; none where it has no such message.
    pub(crate) fn params(&self, name: &'static str) -> Params<'a, '_> {
        self.read.borrow_mut().extend(self.layer.params.all(name).map(std::ptr::from_ref));
        Params { name, messages: self.layer.params.messages(name).collect(), read: &self.read }
    }

    /// Fields that say nothing about an inference.
    pub(crate) fn ignore(&self, names: &[&str]) {
        let fields = self.layer.params.fields.iter().filter(|field| names.contains(&&*field.name));
        self.read.borrow_mut().extend(fields.map(std::ptr::from_ref));
    }

    /// The names of fields that nobody read and that might matter.
    pub(crate) fn unread(&self) -> Vec<String> {
        const OF_TRAINING: &[&str] = &[
            "blobs_lr",
            "weight_decay",
            "loss_weight",
            "propagate_down",
            "blob_share_mode",
            "include",
            "exclude",
            "transform_param",
            "loss_param",
            "weight_filler",
            "bias_filler",
            "filler",
            "scale_filler",
            "engine",
            "moving_average_fraction",
            "force_nd_im2col",
            "stable_prod_grad",
            "device",
            "buffer",
            "debug_info",
        ];
        let read = self.read.borrow();
        let mut found = Vec::new();
        for field in &self.layer.params.fields {
            if OF_TRAINING.contains(&&*field.name) {
                continue;
            }
            match field.value.message() {
                Some(message) if read.contains(&std::ptr::from_ref(field)) => {
                    let own = message.fields.iter().filter(|own| {
                        !read.contains(&std::ptr::from_ref(*own)) && !OF_TRAINING.contains(&&*own.name)
                    });
                    found.extend(own.map(|own| format!("{}.{}", field.name, own.name)));
                }
                _ if read.contains(&std::ptr::from_ref(field)) => {}
                _ => found.push(field.name.to_string()),
            }
        }
        found.dedup();
        found
    }

    // Weights

    /// The number of blobs that the file has for this layer.
    pub(crate) fn blob_count(&self) -> usize {
        self.layer.blobs.len()
    }

    /// Blob `i` as the file has it.
    pub(crate) fn raw_blob(&self, i: usize, what: &str, expected: &str) -> Result<Blob, Problem> {
        match self.layer.blobs.get(i) {
            Some(Some(value)) => Blob::new(value)
                .map_err(|error| Problem::Malformed(format!("its {what} cannot be read: {error}"))),
            _ => Err(Problem::NoBlob(what.to_owned(), expected.to_owned())),
        }
    }

    /// Blob `i`, which must be of a shape. Dimensions of 1 are neither here nor there: old files pad shapes with them.
    pub(crate) fn blob(&self, i: usize, what: &str, shape: &[usize]) -> Result<Tensor, Problem> {
        let blob = self.raw_blob(i, what, &format!("{shape:?}"))?;
        let significant = |shape: &[usize]| shape.iter().copied().filter(|dim| *dim != 1).collect::<Vec<_>>();
        let found = &blob.shape;
        let fits = significant(found) == significant(shape) && element_count(shape) == Some(blob.len());
        match blob.tensor(shape) {
            Ok(tensor) if fits => Ok(tensor),
            _ => {
                let found = if element_count(found) == Some(blob.len()) {
                    format!("{found:?}")
                } else {
                    format!("{found:?} with {} values", blob.len())
                };
                Err(Problem::BlobShape(what.to_owned(), found, format!("{shape:?}")))
            }
        }
    }

    /// Blob `i` as a constant.
    pub(crate) fn weights(&mut self, i: usize, what: &str, shape: &[usize]) -> Result<Port, Problem> {
        let tensor = self.blob(i, what, shape)?;
        Ok(self.constant(what, tensor))
    }

    /// A value along one axis of a tensor of `rank` dimensions: `[1,C,1,1]`.
    pub(crate) fn along(axis: usize, rank: usize, size: usize) -> Vec<usize> {
        (0..rank).map(|i| if i == axis { size } else { 1 }).collect()
    }
}

/// `axis`, which may count from the end, as one of `rank` axes. `end` allows the place behind the last one.
pub(crate) fn axis_of(axis: i64, rank: usize, name: &str, end: bool) -> Result<usize, Problem> {
    let rank_i = i64::try_from(rank).unwrap_or(i64::MAX);
    let last = rank_i + i64::from(end);
    let found = if axis < 0 { axis.saturating_add(last) } else { axis };
    match usize::try_from(found) {
        Ok(found) if (found as i64) < last => Ok(found),
        _ => malformed(format!("`{name}` is {axis}, but its input has {rank} dimensions")),
    }
}

impl<'a> Params<'a, '_> {
    fn fields(&self, name: &str) -> Vec<&'a Field> {
        let found: Vec<&Field> = self
            .messages
            .iter()
            .flat_map(|message| message.fields.iter())
            .filter(|f| f.name == name)
            .collect();
        self.read.borrow_mut().extend(found.iter().map(|field| std::ptr::from_ref(*field)));
        found
    }

    fn last<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&'a Field) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        match self.fields(name).last() {
            None => Ok(None),
            Some(field) => match read(field) {
                Some(value) => Ok(Some(value)),
                None => malformed(field.wrong(expected)),
            },
        }
    }

    /// An integer, where there is one.
    pub(crate) fn maybe_int(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.last(name, "an integer", |field| field.value.integer())
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> Result<i64, Problem> {
        Ok(self.maybe_int(name)?.unwrap_or(default))
    }

    /// An integer that is not negative.
    pub(crate) fn maybe_size(&self, name: &str) -> Result<Option<usize>, Problem> {
        self.last(name, "an integer that is not negative", size)
    }

    pub(crate) fn size(&self, name: &str, default: usize) -> Result<usize, Problem> {
        Ok(self.maybe_size(name)?.unwrap_or(default))
    }

    /// An integer above 0 that must be there.
    pub(crate) fn required_size(&self, name: &str) -> Result<usize, Problem> {
        match self.maybe_size(name)? {
            Some(0) => malformed(format!("`{}.{name}` is 0, expected a positive number", self.name)),
            Some(value) => Ok(value),
            None => malformed(format!("`{}.{name}` is missing", self.name)),
        }
    }

    pub(crate) fn sizes(&self, name: &str) -> Result<Vec<usize>, Problem> {
        self.every(name, "an integer that is not negative", size)
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Vec<i64>, Problem> {
        self.every(name, "an integer", |field| field.value.integer())
    }

    pub(crate) fn maybe_float(&self, name: &str) -> Result<Option<f64>, Problem> {
        self.last(name, "a number", |field| field.value.real())
    }

    pub(crate) fn float(&self, name: &str, default: f64) -> Result<f64, Problem> {
        Ok(self.maybe_float(name)?.unwrap_or(default))
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Vec<f64>, Problem> {
        self.every(name, "a number", |field| field.value.real())
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        Ok(self.last(name, "true or false", |field| field.value.flag())?.unwrap_or(default))
    }

    /// A string.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        self.last(name, "a string", |field| field.value.text())
    }

    /// One of an enum's values, by name or by number.
    pub(crate) fn choice<T: Copy>(
        &self,
        name: &str,
        values: &[(&str, i64, T)],
        default: T,
    ) -> Result<T, Problem> {
        let expected = || values.iter().map(|value| value.0).collect::<Vec<_>>().join(", ");
        let read = |field: &Field| {
            let by_name = |text| values.iter().find(|value| value.0.eq_ignore_ascii_case(text));
            let by_number = |number| values.iter().find(|value| value.1 == number);
            let found = field.value.text().and_then(by_name).or_else(|| by_number(field.value.integer()?));
            found.map(|value| value.2)
        };
        Ok(self.last(name, &format!("one of {}", expected()), read)?.unwrap_or(default))
    }

    /// The messages inside of this one under a name.
    pub(crate) fn inner(&self, name: &'static str) -> Self {
        let messages = self.fields(name).into_iter().filter_map(|field| field.value.message()).collect();
        Self { name, messages, read: self.read }
    }

    /// Each message inside of this one under a name, for those that repeat.
    pub(crate) fn each(&self, name: &'static str) -> Vec<Self> {
        let messages = self.fields(name).into_iter().filter_map(|field| field.value.message());
        messages.map(|message| Self { name, messages: vec![message], read: self.read }).collect()
    }

    /// Parameters that say nothing about the result.
    pub(crate) fn ignore(&self, names: &[&str]) {
        names.iter().for_each(|name| drop(self.fields(name)));
    }

    fn every<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&Field) -> Option<T>,
    ) -> Result<Vec<T>, Problem> {
        let value = |field: &Field| read(field).map_or_else(|| malformed(field.wrong(expected)), Ok);
        self.fields(name).into_iter().map(value).collect()
    }
}

fn size(field: &Field) -> Option<usize> {
    usize::try_from(field.value.integer()?).ok()
}
