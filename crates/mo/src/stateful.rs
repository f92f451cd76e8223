//! `--transform MakeStateful`: pairs of an input and an output become variables, as OpenVINO's transformation makes them.

use crate::error::Error;
use ir::{
    Model, Tensor,
    device::PortInfo,
    op::{Assign, ReadValue},
};

/// Lets what each output of a pair gives be what its input takes in the next inference; the first one takes zeros.
pub(crate) fn make_stateful(model: &mut Model, pairs: &[(String, String)]) -> Result<(), Error> {
    for (input, output) in pairs {
        let (inputs, outputs) = (PortInfo::inputs(model), PortInfo::outputs(model));
        let find = |ports: &[PortInfo], name: &str, side: &'static str| {
            ports.iter().position(|port| port.is_called(name)).ok_or_else(|| Error::State {
                pair: format!("{input}:{output}"),
                problem: format!(
                    "there is no {side} `{name}`; there are {}",
                    ports.iter().map(PortInfo::name).collect::<Vec<_>>().join(", ")
                ),
            })
        };
        let (from, to) = (find(&inputs, input, "input")?, find(&outputs, output, "output")?);
        let (taken, given) = (&inputs[from].ty, &outputs[to].ty);
        let sizes = taken.shape.sizes().filter(|_| taken == given);
        let Some(sizes) = sizes else {
            let problem = format!(
                "the input takes {taken}, the output gives {given}; both must be the same, and fixed"
            );
            return Err(Error::State { pair: format!("{input}:{output}"), problem });
        };
        let (parameter, result) = (model.parameters()[from], model.results()[to]);
        let left = model.node(result).inputs()[0];
        let count = sizes.iter().product();
        let zeros = Tensor::from_f64s(taken.element_type, &sizes, &vec![0.0; count]);
        let zeros =
            zeros.map_err(|e| Error::State { pair: format!("{input}:{output}"), problem: e.to_string() })?;
        let name = model.node(parameter).name.clone();
        let first = model.add_constant(format!("{name}/first"), zeros);
        // OpenVINO's name for the variable of a pair.
        let variable_id = format!("{input}{output}");
        let read = ReadValue {
            variable_id: variable_id.clone(),
            variable_type: taken.element_type,
            variable_shape: taken.shape.clone(),
        };
        let read = model.add(name, read, &[first.into()])?;
        model.replace(parameter.into(), read.into());
        model.remove(parameter);
        // The input itself may have been what the output gave.
        let left = if left.node == parameter { read.into() } else { left };
        model.remove(result);
        model.add(format!("{output}/left"), Assign { variable_id }, &[left])?;
    }
    Ok(())
}
