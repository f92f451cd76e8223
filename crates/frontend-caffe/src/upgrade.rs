//! Every form of a network that Caffe ever had, brought to one: a list of layers with types as text.
//!
//! Version 0 (`layers { layer { type: "conv" } }`), version 1 (`layers { type: CONVOLUTION }`) and the current one
//! (`layer { type: "Convolution" }`) may stand in one file.

use crate::{
    error::{Error, Site},
    message::{Field, Message, Position, Value},
};
use std::{borrow::Cow, collections::HashMap};

/// One layer, whatever form the file has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) bottoms: Vec<String>,
    pub(crate) tops: Vec<String>,
    /// Everything else that it says.
    pub(crate) params: Message,
    /// Its weights; `None` where only a later one is known.
    pub(crate) blobs: Vec<Option<Value>>,
    /// Names under which layers share weights; empty for a blob of its own.
    pub(crate) shared: Vec<String>,
    pub(crate) at: Option<Position>,
}

impl Layer {
    pub(crate) fn site(&self) -> Box<Site> {
        Box::new(Site { layer: self.name.clone(), kind: self.kind.clone(), at: self.at })
    }
}

/// The layers of a network, its inputs first.
pub(crate) fn layers(net: Message) -> Result<Vec<Layer>, Error> {
    let mut layers = inputs(&net)?;
    let mut paddings: HashMap<String, (String, Field)> = HashMap::new();
    for field in net.fields {
        let is_old = field.name == "layers";
        if !is_old && field.name != "layer" {
            continue;
        }
        let Value::Message(message) = field.value else {
            return Err(Error::Net(field.wrong("a message, `layer { ... }`")));
        };
        let first = message.messages("layer").next().map(|inner| first_version(&message, inner, field.at));
        let mut layer = first.unwrap_or_else(|| layer(message, is_old, field.at));
        // In version 0, padding was a layer of its own, which its user has taken in since.
        if layer.kind == "padding" {
            let pad = layer.params.fields.iter().find(|f| f.name == "pad").cloned();
            if let (Some(pad), [bottom], [top]) = (pad, &layer.bottoms[..], &layer.tops[..]) {
                paddings.insert(top.clone(), (bottom.clone(), pad));
                continue;
            }
        }
        let param = layer.params.fields.iter_mut().find_map(|field| match &mut field.value {
            Value::Message(message) if field.name.ends_with("_param") => Some(message),
            _ => None,
        });
        if let (Some(param), false) = (param, paddings.is_empty()) {
            for taken in &mut layer.bottoms {
                if let Some((bottom, pad)) = paddings.get(taken) {
                    taken.clone_from(bottom);
                    param.fields.push(pad.clone());
                }
            }
        }
        layers.push(layer);
    }
    Ok(layers)
}

/// `input` with `input_shape` or `input_dim`, as layers.
fn inputs(net: &Message) -> Result<Vec<Layer>, Error> {
    let names: Vec<&Field> = net.all("input").collect();
    let mut shapes: Vec<Vec<Value>> = Vec::new();
    for shape in net.messages("input_shape") {
        shapes.push(shape.all("dim").map(|dim| dim.value.clone()).collect());
    }
    let dims: Vec<Value> = net.all("input_dim").map(|dim| dim.value.clone()).collect();
    match names.len() {
        _ if dims.is_empty() => {}
        1 => shapes.push(dims),
        n if dims.len() == 4 * n => shapes.extend(dims.chunks(4).map(<[Value]>::to_vec)),
        n => {
            return Err(Error::Net(format!(
                "{n} inputs have {} times `input_dim`; expected four for each, or `input_shape`",
                dims.len()
            )));
        }
    }
    if shapes.len() > 1 && shapes.len() != names.len() {
        return Err(Error::Net(format!("{} inputs have {} shapes", names.len(), shapes.len())));
    }
    let mut layers = Vec::new();
    for (i, field) in names.iter().enumerate() {
        let Some(name) = field.value.text() else { return Err(Error::Net(field.wrong("a string"))) };
        let mut params = Message::default();
        if let Some(dims) = shapes.get(i).or(shapes.first()) {
            let field = |value: &Value| Field::new("dim", value.clone(), field.at);
            let shape = Message { fields: dims.iter().map(field).collect() };
            let mut input = Message::default();
            input.push("shape", Value::Message(shape), None);
            params.push("input_param", Value::Message(input), None);
        }
        layers.push(Layer {
            name: name.to_owned(),
            kind: "Input".to_owned(),
            bottoms: Vec::new(),
            tops: vec![name.to_owned()],
            params,
            blobs: Vec::new(),
            shared: Vec::new(),
            at: field.at,
        });
    }
    Ok(layers)
}

/// A layer of version 1 or of the current form.
fn layer(message: Message, is_old: bool, at: Option<Position>) -> Layer {
    let texts = |name: &str| message.texts(name).map(str::to_owned).collect::<Vec<_>>();
    let kind = match message.last("type").map(|field| &field.value) {
        Some(Value::Integer(number)) => {
            old_type(|row| row.0 == *number).map_or(number.to_string(), str::to_owned)
        }
        Some(Value::Word(word)) => match word.parse::<i64>() {
            Ok(number) => old_type(|row| row.0 == number).unwrap_or(word).to_owned(),
            Err(_) => old_type(|row| row.1 == *word).unwrap_or(word).to_owned(),
        },
        Some(Value::Text(text)) if is_old => old_type(|row| row.1 == *text).unwrap_or(text).to_owned(),
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let shared_name = |field: &Field| match &field.value {
        Value::Message(param) => param.text("name").unwrap_or_default().to_owned(),
        value => value.text().unwrap_or_default().to_owned(),
    };
    let shared = message.all("param").map(shared_name).collect();
    let (bottoms, tops) = (texts("bottom"), texts("top"));
    let name = message.text("name").or(tops.first().map(String::as_str)).unwrap_or_default().to_owned();
    let mut params = message;
    let mut blobs = Vec::new();
    params.fields.retain_mut(|field| {
        if field.name == "blobs" {
            blobs.push(Some(std::mem::replace(&mut field.value, Value::Integer(0))));
        }
        !matches!(&*field.name, "name" | "type" | "bottom" | "top" | "blobs" | "param")
    });
    Layer { name, kind, bottoms, tops, params, blobs, shared, at }
}

/// A layer of version 0: what the layer is stands in a message inside of it, all parameters side by side.
fn first_version(outer: &Message, inner: &Message, at: Option<Position>) -> Layer {
    let texts = |name: &str| outer.texts(name).map(str::to_owned).collect::<Vec<_>>();
    let old = inner.text("type").unwrap_or_default();
    let row = FIRST_TYPES.iter().find(|row| row.0 == old);
    let (kind, param) = row.map_or((old, ""), |row| (row.1, row.2));
    let mut own = Message::default();
    let mut blobs = Vec::new();
    for field in &inner.fields {
        let name: Cow<'static, str> = match &*field.name {
            "name" | "type" | "blobs_lr" | "weight_decay" => continue,
            "blobs" => {
                blobs.push(Some(field.value.clone()));
                continue;
            }
            "biasterm" => "bias_term".into(),
            "kernelsize" => "kernel_size".into(),
            "batchsize" => "batch_size".into(),
            "cropsize" => "crop_size".into(),
            other => other.to_owned().into(),
        };
        own.fields.push(Field { name, value: field.value.clone(), at: field.at });
    }
    let params = match param {
        "" => own,
        param => Message { fields: vec![Field::new(param, Value::Message(own), at)] },
    };
    let tops = texts("top");
    let name = inner.text("name").or(tops.first().map(String::as_str)).unwrap_or_default().to_owned();
    Layer {
        name,
        kind: kind.to_owned(),
        bottoms: texts("bottom"),
        tops,
        params,
        blobs,
        shared: Vec::new(),
        at,
    }
}

fn old_type(is_it: impl Fn(&(i64, &'static str, &'static str)) -> bool) -> Option<&'static str> {
    OLD_TYPES.iter().find(|row| is_it(row)).map(|row| row.2)
}

/// The types of version 1: number, name, and the type today.
const OLD_TYPES: &[(i64, &str, &str)] = &[
    (35, "ABSVAL", "AbsVal"),
    (1, "ACCURACY", "Accuracy"),
    (30, "ARGMAX", "ArgMax"),
    (2, "BNLL", "BNLL"),
    (3, "CONCAT", "Concat"),
    (37, "CONTRASTIVE_LOSS", "ContrastiveLoss"),
    (4, "CONVOLUTION", "Convolution"),
    (5, "DATA", "Data"),
    (39, "DECONVOLUTION", "Deconvolution"),
    (6, "DROPOUT", "Dropout"),
    (32, "DUMMY_DATA", "DummyData"),
    (7, "EUCLIDEAN_LOSS", "EuclideanLoss"),
    (25, "ELTWISE", "Eltwise"),
    (38, "EXP", "Exp"),
    (8, "FLATTEN", "Flatten"),
    (9, "HDF5_DATA", "HDF5Data"),
    (10, "HDF5_OUTPUT", "HDF5Output"),
    (28, "HINGE_LOSS", "HingeLoss"),
    (11, "IM2COL", "Im2col"),
    (12, "IMAGE_DATA", "ImageData"),
    (13, "INFOGAIN_LOSS", "InfogainLoss"),
    (14, "INNER_PRODUCT", "InnerProduct"),
    (15, "LRN", "LRN"),
    (29, "MEMORY_DATA", "MemoryData"),
    (16, "MULTINOMIAL_LOGISTIC_LOSS", "MultinomialLogisticLoss"),
    (34, "MVN", "MVN"),
    (17, "POOLING", "Pooling"),
    (26, "POWER", "Power"),
    (18, "RELU", "ReLU"),
    (19, "SIGMOID", "Sigmoid"),
    (27, "SIGMOID_CROSS_ENTROPY_LOSS", "SigmoidCrossEntropyLoss"),
    (36, "SILENCE", "Silence"),
    (20, "SOFTMAX", "Softmax"),
    (21, "SOFTMAX_LOSS", "SoftmaxWithLoss"),
    (22, "SPLIT", "Split"),
    (33, "SLICE", "Slice"),
    (23, "TANH", "TanH"),
    (24, "WINDOW_DATA", "WindowData"),
    (31, "THRESHOLD", "Threshold"),
];

/// The types of version 0: name, the type today, and the message that its parameters stand in today.
const FIRST_TYPES: &[(&str, &str, &str)] = &[
    ("accuracy", "Accuracy", ""),
    ("bnll", "BNLL", ""),
    ("concat", "Concat", "concat_param"),
    ("conv", "Convolution", "convolution_param"),
    ("data", "Data", "data_param"),
    ("dropout", "Dropout", "dropout_param"),
    ("euclidean_loss", "EuclideanLoss", ""),
    ("flatten", "Flatten", ""),
    ("hdf5_data", "HDF5Data", "hdf5_data_param"),
    ("hdf5_output", "HDF5Output", ""),
    ("images", "ImageData", "image_data_param"),
    ("infogain_loss", "InfogainLoss", ""),
    ("innerproduct", "InnerProduct", "inner_product_param"),
    ("lrn", "LRN", "lrn_param"),
    ("multinomial_logistic_loss", "MultinomialLogisticLoss", ""),
    ("pool", "Pooling", "pooling_param"),
    ("relu", "ReLU", ""),
    ("sigmoid", "Sigmoid", ""),
    ("softmax", "Softmax", ""),
    ("softmax_loss", "SoftmaxWithLoss", ""),
    ("split", "Split", ""),
    ("tanh", "TanH", ""),
    ("window_data", "WindowData", "window_data_param"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Layer> {
        layers(crate::text::parse(text.as_bytes()).unwrap()).unwrap()
    }

    fn own<'a>(layer: &'a Layer, param: &'a str) -> &'a Message {
        layer.params.messages(param).next().unwrap()
    }

    #[test]
    fn all_versions_become_one_form() {
        let layers = read(
            "input: 'data' input_dim: [1, 3, 4, 5]
             layers { layer { name: 'c' type: 'conv' num_output: 8 kernelsize: 3 biasterm: false blobs_lr: 1 }
                      bottom: 'data' top: 'c' }
             layers { name: 'r' type: RELU bottom: 'c' top: 'c' param: 'w' }
             layers { name: 's' type: 18 bottom: 'c' top: 's' }
             layer { name: 't' type: 'TanH' bottom: 's' top: 't' param { lr_mult: 1 } param { name: 'b' } }
             layer { name: 'u' type: SIGMOID bottom: 't' top: 'u' }",
        );
        let kinds: Vec<&str> = layers.iter().map(|layer| layer.kind.as_str()).collect();
        assert_eq!(kinds, ["Input", "Convolution", "ReLU", "ReLU", "TanH", "Sigmoid"]);
        let dims = own(&layers[0], "input_param").messages("shape").next().unwrap();
        assert_eq!(dims.all("dim").filter_map(|d| d.value.integer()).collect::<Vec<_>>(), [1, 3, 4, 5]);
        let params = own(&layers[1], "convolution_param");
        let names: Vec<&str> = params.fields.iter().map(|f| &*f.name).collect();
        assert_eq!(names, ["num_output", "kernel_size", "bias_term"]);
        assert_eq!((&layers[1].bottoms[..], &layers[1].tops[..]), (&["data".into()][..], &["c".into()][..]));
        assert_eq!(layers[2].shared, ["w"]);
        assert_eq!(layers[4].shared, ["", "b"]);
    }

    #[test]
    fn padding_of_version_0_goes_into_its_user() {
        let layers = read(
            "input: 'data'
             layers { layer { name: 'p' type: 'padding' pad: 2 } bottom: 'data' top: 'p' }
             layers { layer { name: 'c' type: 'conv' num_output: 8 kernelsize: 3 } bottom: 'p' top: 'c' }",
        );
        assert_eq!(layers.len(), 2);
        assert_eq!(layers[1].bottoms, ["data"]);
        assert_eq!(own(&layers[1], "convolution_param").last("pad").unwrap().value.integer(), Some(2));
    }

    #[test]
    fn shapes_of_inputs_must_fit() {
        for (text, part) in [
            ("input: 'a' input: 'b' input_dim: 1 input_dim: 2", "2 inputs have 2 times `input_dim`"),
            ("input: 'a' input_shape { dim: 1 } input_shape { dim: 1 }", "1 inputs have 2 shapes"),
            ("layer: 3", "`layer` is 3, expected a message"),
            ("input { }", "`input` is a message, expected a string"),
        ] {
            let error = layers(crate::text::parse(text.as_bytes()).unwrap()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
