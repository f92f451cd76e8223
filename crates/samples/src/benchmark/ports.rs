//! Inputs and outputs in another form than the network's own: element types, mean and scale.

use super::{args::Args, inputs::Data};
use anyhow::{Context, Result, ensure};
use ir::{ElementType, Model};
use runtime::{InputSettings, OutputSettings, PortInfo};

/// Gives the model the ports that the flags ask for.
pub(super) fn apply(model: &mut Model, args: &Args, data: &Data) -> Result<()> {
    let (inputs, outputs) = (PortInfo::inputs(model), PortInfo::outputs(model));
    let mut types = vec![args.ip; inputs.len()];
    types.resize(inputs.len() + outputs.len(), args.op);
    for (name, ty) in args.iop.as_deref().map_or_else(|| Ok(Vec::new()), types_by_name)? {
        let all = inputs.iter().chain(&outputs);
        let places: Vec<usize> =
            all.enumerate().filter(|(_, port)| port.is_called(&name)).map(|(i, _)| i).collect();
        ensure!(!places.is_empty(), "-iop: the network has no input or output `{name}`");
        places.into_iter().for_each(|i| types[i] = Some(ty));
    }
    let means = data.values_by_input("mean_values", args.mean_values.as_deref(), &inputs)?;
    let scales = data.values_by_input("scale_values", args.scale_values.as_deref(), &inputs)?;
    let output_types = types.split_off(inputs.len());
    let layouts = data.layouts();
    let inputs: Vec<InputSettings> = types
        .into_iter()
        .zip(layouts)
        .zip(means.into_iter().zip(scales))
        .map(|((element_type, layout), (mean, scale))| {
            // Only mean and scale must know where the channels are.
            let layout = layout.filter(|_| !mean.is_empty() || !scale.is_empty()).cloned();
            let model_layout = layout.clone();
            InputSettings { element_type, model_layout, layout, mean, scale, ..InputSettings::default() }
        })
        .collect();
    let output = |element_type| OutputSettings { element_type, ..OutputSettings::default() };
    let outputs: Vec<OutputSettings> = output_types.into_iter().map(output).collect();
    Ok(runtime::apply_settings(model, &inputs, &outputs)?)
}

/// `input:u8, output:f16`; names may hold colons.
fn types_by_name(text: &str) -> Result<Vec<(String, ElementType)>> {
    let one = |part: &str| {
        let (name, ty) = part
            .trim()
            .rsplit_once(':')
            .with_context(|| format!("-iop {text}: expected NAME:TYPE,NAME:TYPE"))?;
        let ty = ElementType::parse(ty).with_context(|| format!("-iop {text}: `{ty}` is no element type"))?;
        Ok((name.to_owned(), ty))
    };
    text.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_by_name() {
        let found = types_by_name("x:0:u8, y:f16").unwrap();
        assert_eq!(found, [("x:0".to_owned(), ElementType::U8), ("y".to_owned(), ElementType::F16)]);
        for wrong in ["", "x", "x:f17", "x:u8,"] {
            assert!(types_by_name(wrong).is_err(), "{wrong}");
        }
    }
}
