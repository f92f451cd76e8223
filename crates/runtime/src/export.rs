//! Compiled models as bytes: what the device exports, and for a model with state a bundle of that and the variables,
//! which the device knows nothing of.
//!
//! The head is a list in JSON, `[{ "name": "sum", "type": "f32[?,2]", "shape": [0, 2] }]`: the variables in the order of
//! the device's hidden ports, and the shapes of their first values. Part 0 is the device's, the others are these values.

use crate::{CompiledModel, Error, error::Result, state::Variable};
use ir::{
    Bytes, Tensor,
    device::{
        Bundle, BundleError, BundleFormat, BundleWriter, CompiledModel as DeviceModel, Config, Device,
        DeviceError, Host,
    },
    op::PortType,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::Arc,
};

const FORMAT: BundleFormat = *b"TERRSTA\x01";

fn fault(reason: impl ToString) -> Error {
    DeviceError::Failed { device: "the engine".to_owned(), message: reason.to_string() }.into()
}

fn damaged(what: impl std::fmt::Display) -> Error {
    fault(format!("the variables of the exported model: {what}; export it anew"))
}

/// Writes what [`read`] reads.
pub(crate) fn write(device: &dyn DeviceModel, variables: &[Variable], to: &mut dyn Write) -> Result<()> {
    if variables.is_empty() {
        return Ok(device.export(to)?);
    }
    let io = |error: io::Error| fault(error);
    let mut bundle = BundleWriter::new(FORMAT, to).map_err(io)?;
    bundle.begin().map_err(io)?;
    device.export(&mut bundle)?;
    for variable in variables {
        bundle.begin().map_err(io)?;
        bundle.write_all(variable.first.bytes()).map_err(io)?;
    }
    let head = |variable: &Variable| {
        let Variable { name, ty, first } = variable;
        json!({ "name": name, "type": ty.to_string(), "shape": first.shape() })
    };
    bundle.finish(&variables.iter().map(head).collect::<Value>().to_string()).map_err(io)
}

/// Reads what [`write()`] wrote for a device.
pub(crate) fn read(
    from: Bytes,
    device: &dyn Device,
    config: &Config,
    host: &Arc<dyn Host>,
) -> Result<CompiledModel> {
    if !Bundle::is_of(&FORMAT, &from) {
        return Ok(CompiledModel::new(device.import(from, config, host)?));
    }
    let bundle = Bundle::read(&FORMAT, &from).map_err(fault)?;
    let head: Value = serde_json::from_str(&bundle.head).map_err(damaged)?;
    let rows = head.as_array().ok_or_else(|| damaged("there is no list of them"))?;
    let [own, values @ ..] = &bundle.parts[..] else { return Err(damaged("the device's part is missing")) };
    if rows.len() != values.len() {
        return Err(damaged(format!("{} of them have {} first values", rows.len(), values.len())));
    }
    let mut variables = Vec::new();
    let mut names = BTreeSet::new();
    for (i, (row, value)) in rows.iter().zip(values).enumerate() {
        let bytes = value.verified().map_err(|error: BundleError| fault(error))?;
        let variable = variable(row, bytes.clone());
        let variable = variable.ok_or_else(|| damaged(format!("number {i} is not what it should be")))?;
        variable.check(&variable.first, "its first value")?;
        if !names.insert(variable.name.clone()) {
            return Err(damaged(format!("two of them are called `{}`", variable.name)));
        }
        variables.push(variable);
    }
    let model = device.import(own.bytes.clone(), config, host)?;
    for ports in [model.inputs(), model.outputs()] {
        let hidden = ports.len().checked_sub(variables.len()).map(|own| &ports[own..]);
        let hidden = hidden.ok_or_else(|| damaged("the device's model has fewer ports"))?;
        for (port, Variable { name, ty, .. }) in hidden.iter().zip(&variables) {
            if port.ty.element_type != ty.element_type || port.ty.shape.intersect(&ty.shape).is_none() {
                return Err(damaged(format!("`{name}` is {ty}, its port on the device {}", port.ty)));
            }
        }
    }
    Ok(CompiledModel::stateful(model, variables))
}

fn variable(row: &Value, first: Bytes) -> Option<Variable> {
    let ty: PortType = row["type"].as_str()?.parse().ok()?;
    let sizes = row["shape"].as_array()?.iter().map(|size| usize::try_from(size.as_u64()?).ok());
    let first = Tensor::new(ty.element_type, sizes.collect::<Option<_>>()?, first).ok()?;
    Some(Variable { name: row["name"].as_str()?.to_owned(), ty, first })
}
