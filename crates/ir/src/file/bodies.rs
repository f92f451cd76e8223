//! Graphs that ops own, as IR files have them: a port map, edges back, and a body or two.

use super::{
    ReadError, ReadErrorKind as Kind,
    read::{Element, Layer, Store, child, elements, fail, missing, parse, read_graph, required},
};
use crate::{
    Model, NodeId, Op,
    op::{Branch, If, Loop, LoopInput, LoopOutput, Slices},
};
use std::{collections::HashMap, fmt::Write as _, sync::Arc};

/// A body, and its layers by their ids in the file.
struct Body {
    model: Model,
    nodes: HashMap<u64, NodeId>,
}

impl Body {
    fn read(layer: &Layer, name: &'static str, weights: &Store, depth: usize) -> Result<Self, ReadError> {
        let element = child(layer.element, name)?.ok_or_else(|| missing(layer.element, name))?;
        let (model, nodes) = read_graph(element, weights, depth + 1)?;
        Ok(Self { model, nodes })
    }

    /// The number of a parameter.
    fn parameter(&self, at: Element, attribute: &'static str) -> Result<usize, ReadError> {
        self.place(at, attribute, self.model.parameters(), "the id of a Parameter of the body")
    }

    /// The number of a result.
    fn result(&self, at: Element, attribute: &'static str) -> Result<usize, ReadError> {
        self.place(at, attribute, self.model.results(), "the id of a Result of the body")
    }

    fn place(
        &self,
        at: Element,
        attribute: &'static str,
        among: &[NodeId],
        expected: &'static str,
    ) -> Result<usize, ReadError> {
        let text = required(at, attribute)?;
        let id = text.parse().ok().and_then(|id: u64| self.nodes.get(&id));
        id.and_then(|id| among.iter().position(|other| other == id)).ok_or_else(|| {
            let what = format!("attribute `{attribute}` of <{}>", at.tag_name().name());
            fail(at, Kind::BadValue { what, found: text.to_owned(), expected })
        })
    }
}

/// The number of the port that a line of a port map names; `None` for -1, no port.
fn port(at: Element, side: &'static str, ids: impl Iterator<Item = u64>) -> Result<Option<usize>, ReadError> {
    let mut id = 0i64;
    parse(at, "external_port_id", &mut id)?;
    if id == -1 {
        return Ok(None);
    }
    let found = u64::try_from(id).ok().and_then(|id| ids.into_iter().position(|other| other == id));
    found.map(Some).ok_or_else(|| {
        let what = "attribute `external_port_id` of the port map".to_owned();
        let expected = if side == "input" {
            "the id of an input of the layer"
        } else {
            "the id of an output of the layer"
        };
        fail(at, Kind::BadValue { what, found: id.to_string(), expected })
    })
}

fn input(at: Element, layer: &Layer) -> Result<Option<usize>, ReadError> {
    port(at, "input", layer.inputs.iter().map(|port| port.id))
}

fn output(at: Element, layer: &Layer) -> Result<Option<usize>, ReadError> {
    port(at, "output", layer.outputs.iter().map(|port| port.id))
}

fn lines<'a>(
    layer: &Layer<'a>,
    map: &'static str,
    name: &'static str,
) -> Result<Vec<Element<'a, 'a>>, ReadError> {
    Ok(child(layer.element, map)?.into_iter().flat_map(|map| elements(map, name)).collect())
}

fn no_port(at: Element) -> ReadError {
    let what = "attribute `external_port_id` of the port map".to_owned();
    fail(at, Kind::BadValue { what, found: "-1".to_owned(), expected: "the id of a port of the layer" })
}

/// Fills in the branches.
pub(super) fn read_if(op: &mut If, layer: &Layer, weights: &Store, depth: usize) -> Result<(), ReadError> {
    let branch = |body, map| -> Result<Branch, ReadError> {
        let body = Body::read(layer, body, weights, depth)?;
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for at in lines(layer, map, "input")? {
            let from = input(at, layer)?.ok_or_else(|| no_port(at))?;
            inputs.push((from, body.parameter(at, "internal_layer_id")?));
        }
        for at in lines(layer, map, "output")? {
            let to = output(at, layer)?.ok_or_else(|| no_port(at))?;
            outputs.push((body.result(at, "internal_layer_id")?, to));
        }
        Ok(Branch { model: Arc::new(body.model), inputs, outputs })
    };
    op.then_body = branch("then_body", "then_port_map")?;
    op.else_body = branch("else_body", "else_port_map")?;
    Ok(())
}

/// Fills in the body and who passes what to whom.
pub(super) fn read_loop(
    op: &mut Loop,
    layer: &Layer,
    weights: &Store,
    depth: usize,
) -> Result<(), ReadError> {
    let body = Body::read(layer, "body", weights, depth)?;
    for at in lines(layer, "port_map", "input")? {
        let parameter = body.parameter(at, "internal_layer_id")?;
        let slices = read_slices(at)?;
        match (input(at, layer)?, at.attribute("purpose"), &mut op.counted) {
            (_, Some("current_iteration"), Some(counted)) => counted.iteration = Some(parameter),
            (Some(input), None, _) => op.inputs.push(LoopInput { input, parameter, slices }),
            (_, purpose, _) => return Err(bad_purpose(at, purpose)),
        }
    }
    for at in lines(layer, "port_map", "output")? {
        let result = body.result(at, "internal_layer_id")?;
        let slices = read_slices(at)?;
        let condition = at.attribute("purpose") == Some("execution_condition");
        match (output(at, layer)?, &mut op.counted) {
            (port, Some(counted)) if condition => {
                counted.condition = Some(result);
                op.outputs.extend(port.map(|output| LoopOutput { result, output, slices }));
            }
            (Some(output), _) if !condition => op.outputs.push(LoopOutput { result, output, slices }),
            _ => return Err(bad_purpose(at, at.attribute("purpose"))),
        }
    }
    for edge in lines(layer, "back_edges", "edge")? {
        op.back_edges.push((body.result(edge, "from-layer")?, body.parameter(edge, "to-layer")?));
    }
    op.body = Arc::new(body.model);
    Ok(())
}

fn bad_purpose(at: Element, purpose: Option<&str>) -> ReadError {
    let what = "attribute `purpose` of the port map".to_owned();
    let expected = "no purpose and a port, current_iteration or, of an output, execution_condition";
    fail(at, Kind::BadValue { what, found: purpose.unwrap_or_default().to_owned(), expected })
}

fn read_slices(at: Element) -> Result<Option<Slices>, ReadError> {
    if at.attribute("axis").is_none() {
        return Ok(None);
    }
    let mut slices = Slices::default();
    parse(at, "axis", &mut slices.axis)?;
    for (name, value) in [
        ("start", &mut slices.start),
        ("end", &mut slices.end),
        ("stride", &mut slices.stride),
        ("part_size", &mut slices.part_size),
    ] {
        if at.attribute(name).is_some() {
            parse(at, name, value)?;
        }
    }
    // -1 is no axis.
    Ok((slices.axis != -1).then_some(slices))
}

fn write_slices(slices: Option<Slices>) -> String {
    slices.map_or(String::new(), |Slices { axis, start, end, stride, part_size }| {
        format!(
            " axis=\"{axis}\" start=\"{start}\" end=\"{end}\" stride=\"{stride}\" part_size=\"{part_size}\""
        )
    })
}

/// What stands in a layer beside its ports: elements without a graph in them, as lines, and graphs by their names.
pub(super) type Owned<'a> = (String, Vec<(&'static str, &'a Model)>);

/// The elements of an op that owns graphs. `ids` gives the numbers of a graph's layers in the file, `inputs` is the number
/// of the op's inputs, whose ports come first.
pub(super) fn write<'a>(
    op: &'a Op,
    inputs: usize,
    ids: impl Fn(&Model, NodeId) -> usize,
) -> Option<Owned<'a>> {
    let mut text = String::new();
    let mut line = |content: String| writeln!(text, "{content}").expect("a string takes all text");
    let graphs = match op {
        Op::If(op) => {
            for (map, branch) in [("then_port_map", &op.then_body), ("else_port_map", &op.else_body)] {
                let model = &*branch.model;
                line(format!("<{map}>"));
                for (from, to) in &branch.inputs {
                    let id = ids(model, model.parameters()[*to]);
                    line(format!("\t<input external_port_id=\"{from}\" internal_layer_id=\"{id}\" />"));
                }
                for (from, to) in &branch.outputs {
                    let (id, port) = (ids(model, model.results()[*from]), inputs + to);
                    line(format!("\t<output external_port_id=\"{port}\" internal_layer_id=\"{id}\" />"));
                }
                line(format!("</{map}>"));
            }
            vec![("then_body", &*op.then_body.model), ("else_body", &*op.else_body.model)]
        }
        Op::Loop(op) => {
            let model = &*op.body;
            let parameter = |i: usize| ids(model, model.parameters()[i]);
            let result = |i: usize| ids(model, model.results()[i]);
            line("<port_map>".to_owned());
            for input in &op.inputs {
                let (port, id) = (input.input, parameter(input.parameter));
                let slices = write_slices(input.slices);
                line(format!("\t<input external_port_id=\"{port}\" internal_layer_id=\"{id}\"{slices} />"));
            }
            if let Some(iteration) = op.counted.and_then(|counted| counted.iteration) {
                let id = parameter(iteration);
                line(format!(
                    "\t<input external_port_id=\"-1\" internal_layer_id=\"{id}\" purpose=\"current_iteration\" />"
                ));
            }
            for output in &op.outputs {
                let (port, id) = (inputs + output.output, result(output.result));
                let slices = write_slices(output.slices);
                line(format!("\t<output external_port_id=\"{port}\" internal_layer_id=\"{id}\"{slices} />"));
            }
            if let Some(condition) = op.counted.and_then(|counted| counted.condition) {
                let id = result(condition);
                line(format!(
                    "\t<output external_port_id=\"-1\" internal_layer_id=\"{id}\" purpose=\"execution_condition\" />"
                ));
            }
            line("</port_map>".to_owned());
            line("<back_edges>".to_owned());
            for (from, to) in &op.back_edges {
                let (from, to) = (result(*from), parameter(*to));
                line(format!("\t<edge from-layer=\"{from}\" to-layer=\"{to}\" />"));
            }
            line("</back_edges>".to_owned());
            vec![("body", model)]
        }
        _ => return None,
    };
    Some((text, graphs))
}
