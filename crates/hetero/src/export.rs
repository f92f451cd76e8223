//! A divided model as bytes: a bundle of what the parts' devices export, with a head in JSON.
//!
//! ```json
//! { "name": "net", "devices": ["FPGA", "CPU"],
//!   "inputs": [{ "node": "x", "names": ["x:0"], "type": "f32[1,3]" }], "outputs": [{ ... }],
//!   "parts": [{ "device": "FPGA", "inputs": [0] }, { "device": "CPU", "inputs": [[0, 1], 0] }],
//!   "answers": [[1, 0]] }
//! ```
//!
//! An input of a part is an input of the model, by number, or an outlet: a part before it, and which of its outputs.
//! Each device finds out by itself whether its bytes are whole, and made for it.

use crate::{
    compiled::{Compiled, Compiling},
    settings::{NAME, PRIORITIES, Settings, names},
    subgraph::{Outlet, Source},
};
use ir::{
    Bytes,
    device::{
        Bundle, BundleError, BundleFormat, BundleWriter, Config, DeviceError, DeviceResult, Host, PortInfo,
    },
    op::PortType,
};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    sync::Arc,
};
use thiserror::Error;

const FORMAT: BundleFormat = *b"TERRHET\x01";

/// What is wrong with an exported model.
#[derive(Debug, Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("the head of the exported model: `{0}` is missing or is not what it should be; export it anew")]
    Head(String),
    #[error("part {part} of the exported model: {found} where {expected} is expected; export it anew")]
    Port { part: usize, found: String, expected: String },
    #[error(
        "the model was exported for {devices}, not for {asked}: leave {PRIORITIES} out, or compile it anew"
    )]
    Devices { devices: String, asked: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<ExportError> for DeviceError {
    fn from(error: ExportError) -> Self {
        Self::Failed { device: NAME.to_owned(), message: error.to_string() }
    }
}

type Result<T> = std::result::Result<T, ExportError>;

/// Writes what [`read`] reads.
pub(crate) fn write(compiled: &Compiled, to: &mut dyn Write) -> DeviceResult<()> {
    let outlet = |outlet: &Outlet| json!([outlet.subgraph, outlet.output]);
    let source = |source: &Source| match source {
        Source::Input(input) => json!(input),
        Source::Outlet(from) => outlet(from),
    };
    let ports = |ports: &[PortInfo]| -> Value {
        let json =
            |port: &PortInfo| json!({ "node": port.node, "names": port.names, "type": port.ty.to_string() });
        ports.iter().map(json).collect()
    };
    let mut parts = Vec::new();
    let mut bundle = BundleWriter::new(FORMAT, to).map_err(ExportError::from)?;
    for part in &compiled.parts {
        bundle.begin().map_err(ExportError::from)?;
        part.model.export(&mut bundle).map_err(|error| match error {
            DeviceError::NotOffered { what, .. } => {
                DeviceError::NotOffered { device: part.device.clone(), what }
            }
            other => other,
        })?;
        let inputs: Value = part.inputs.iter().map(source).collect();
        parts.push(json!({ "device": part.device, "inputs": inputs }));
    }
    let head = json!({
        "name": compiled.name,
        "devices": compiled.devices,
        "inputs": ports(&compiled.inputs),
        "outputs": ports(&compiled.outputs),
        "parts": parts,
        "answers": compiled.answers.iter().map(outlet).collect::<Value>(),
    });
    Ok(bundle.finish(&head.to_string()).map_err(ExportError::from)?)
}

/// Reads what [`write()`] wrote, each part by its device.
pub(crate) fn read(from: &Bytes, config: &Config, host: &Arc<dyn Host>) -> DeviceResult<Compiled> {
    let bundle = Bundle::read(&FORMAT, from).map_err(ExportError::from)?;
    let head = Head::read(&bundle)?;
    let settings = Settings::parse(config)?;
    if settings.priorities.iter().any(|asked| !head.devices.contains(asked)) {
        let (devices, asked) = (head.devices.join(","), settings.priorities.join(","));
        return Err(ExportError::Devices { devices, asked }.into());
    }
    let members = settings.members(&names(&head.devices.join(","))?, host)?;
    let mut compiling = Compiling::default();
    for (i, (part, bytes)) in head.parts.into_iter().zip(bundle.parts).enumerate() {
        let fault = |(found, expected)| ExportError::Port { part: i, found, expected };
        let member = members.iter().find(|member| member.name == part.device);
        let member = member.ok_or_else(|| ExportError::Head(format!("parts[{i}].device")))?;
        let model = member.device.import(bytes.bytes, &member.config, host)?;
        if model.inputs().len() != part.inputs.len() {
            let count = |count: usize| format!("{count} inputs");
            return Err(fault((count(model.inputs().len()), count(part.inputs.len()))).into());
        }
        for (port, source) in model.inputs().iter().zip(&part.inputs) {
            let whole = match source {
                Source::Input(input) => &head.inputs[*input],
                Source::Outlet(outlet) => compiling.outlet(*outlet).ok_or_else(|| {
                    let Outlet { subgraph, output } = outlet;
                    fault(("nothing".to_owned(), format!("output {output} of part {subgraph}")))
                })?,
            };
            fits(port, whole).map_err(fault)?;
        }
        compiling.add(part.device, model, part.inputs);
    }
    for (answer, whole) in head.answers.iter().zip(&head.outputs) {
        let port = compiling.outlet(*answer).ok_or_else(|| ExportError::Head("answers".to_owned()))?;
        let fault = |(found, expected)| ExportError::Port { part: answer.subgraph, found, expected };
        fits(port, whole).map_err(fault)?;
    }
    Ok(compiling.end(head.name, head.devices, head.inputs, head.outputs, head.answers))
}

/// A device's port at a port of the model: else what is found and what is expected.
fn fits(port: &PortInfo, whole: &PortInfo) -> std::result::Result<(), (String, String)> {
    let (own, expected) = (&port.ty, &whole.ty);
    if own.element_type == expected.element_type && own.shape.intersect(&expected.shape).is_some() {
        return Ok(());
    }
    Err((format!("`{}` is {own}", port.name()), format!("`{}` of {expected}", whole.name())))
}

struct Head {
    name: String,
    devices: Vec<String>,
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    parts: Vec<HeadPart>,
    answers: Vec<Outlet>,
}

struct HeadPart {
    device: String,
    inputs: Vec<Source>,
}

impl Head {
    /// The head of a bundle: as many parts as it holds, each taking from parts before it alone.
    fn read(bundle: &Bundle) -> Result<Self> {
        let fault = |what: &str| ExportError::Head(what.to_owned());
        let json: Value = serde_json::from_str(&bundle.head).map_err(|_| fault("JSON"))?;
        let devices = list(&json, "devices")?;
        let inputs = list(&json, "inputs")?.iter().map(port).collect::<Result<Vec<_>>>()?;
        let outputs = list(&json, "outputs")?.iter().map(port).collect::<Result<Vec<_>>>()?;
        let parts = list(&json, "parts")?.iter().enumerate();
        let parts = parts.map(|(i, json)| {
            let source = |json: &Value| match json.as_u64() {
                Some(input) if (input as usize) < inputs.len() => Some(Source::Input(input as usize)),
                Some(_) => None,
                None => outlet(json, i).map(Source::Outlet),
            };
            let sources = list(json, "inputs")?.iter().map(source).collect::<Option<_>>();
            let sources = sources.ok_or_else(|| ExportError::Head(format!("parts[{i}].inputs")))?;
            Ok(HeadPart { device: text(&json["device"], "device")?, inputs: sources })
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let answers = list(&json, "answers")?.iter().map(|json| outlet(json, parts.len()));
        let answers = answers.collect::<Option<Vec<_>>>().ok_or_else(|| fault("answers"))?;
        if parts.len() != bundle.parts.len() {
            return Err(fault("parts"));
        }
        if answers.len() != outputs.len() {
            return Err(fault("answers"));
        }
        Ok(Self {
            name: text(&json["name"], "name")?,
            devices: devices.iter().map(|name| text(name, "devices")).collect::<Result<_>>()?,
            inputs,
            outputs,
            parts,
            answers,
        })
    }
}

fn list<'j>(json: &'j Value, name: &str) -> Result<&'j Vec<Value>> {
    json[name].as_array().ok_or_else(|| ExportError::Head(name.to_owned()))
}

fn text(json: &Value, name: &str) -> Result<String> {
    json.as_str().map(str::to_owned).ok_or_else(|| ExportError::Head(name.to_owned()))
}

fn port(json: &Value) -> Result<PortInfo> {
    let ty: Option<PortType> = json["type"].as_str().and_then(|text| text.parse().ok());
    Ok(PortInfo {
        node: text(&json["node"], "node")?,
        names: list(json, "names")?.iter().map(|name| text(name, "names")).collect::<Result<_>>()?,
        ty: ty.ok_or_else(|| ExportError::Head("type".to_owned()))?,
    })
}

/// An outlet of one of the first `before` parts.
fn outlet(json: &Value, before: usize) -> Option<Outlet> {
    let [subgraph, output] = &json.as_array()?[..] else { return None };
    let number = |json: &Value| usize::try_from(json.as_u64()?).ok();
    let (subgraph, output) = (number(subgraph)?, number(output)?);
    (subgraph < before).then_some(Outlet { subgraph, output })
}
