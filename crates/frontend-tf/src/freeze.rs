//! Freezing: a graph and its variables' values become one graph of constants.

use crate::{
    Error, VariableError,
    graph::{Graph, attr, is_variable, is_variable_writer, split_port},
    proto::{AttrValue, DataType, GraphDef, NodeDef, TensorProto, attr_value::Value},
    tensor,
};
use ir::Tensor;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What to freeze. The names are nodes' names.
#[derive(Debug, Clone, Default)]
pub struct FreezeOptions {
    /// The nodes to keep, with everything that they need; `node:port` counts as `node`.
    pub outputs: Vec<String>,
    /// When not empty: only these variables become constants.
    pub variables: Vec<String>,
    /// These variables stay variables.
    pub keep_variables: Vec<String>,
    /// Forget which device a node was placed on.
    pub clear_devices: bool,
}

/// The part of `graph` that `options.outputs` need, every variable in it replaced by a constant.
///
/// `lookup` answers the value of a variable by the name under which a checkpoint stores it: what the graph's own
/// restore ops say, else the shared name, else the node's name; `None` when there is no such variable. A part of a
/// partitioned variable is cut from the whole. Values are shared, not copied.
///
/// Fails when an output is not in the graph, when variables have no value, or a value of another type or shape
/// than the graph says.
pub fn freeze(
    graph: &GraphDef,
    options: &FreezeOptions,
    mut lookup: impl FnMut(&str) -> Result<Option<Tensor>, VariableError>,
) -> Result<GraphDef, Error> {
    let index = Graph::new(graph)?;
    let roots: Vec<usize> =
        options.outputs.iter().map(|name| index.named(split_port(name).0)).collect::<Result<_, _>>()?;
    let kept = needed(&index, &roots)?;
    let stored = stored_names(&index)?;
    let wanted = |node: &usize| {
        let NodeDef { name, op, .. } = index.node(*node);
        kept.contains(node)
            && is_variable(op)
            && (options.variables.is_empty() || options.variables.contains(name))
            && !options.keep_variables.contains(name)
    };
    let mut values = HashMap::new();
    let (mut total, mut missing) = (0, Vec::new());
    for node in (0..graph.node.len()).filter(wanted) {
        total += 1;
        match value_of(&index, node, stored.get(&node), &mut lookup)? {
            Some(value) => drop(values.insert(node, value)),
            None => missing.push(index.node(node).name.clone()),
        }
    }
    if !missing.is_empty() {
        return Err(Error::MissingVariables { names: missing, total });
    }
    rewrite(&index, graph, &kept, values, options.clear_devices)
}

/// What the roots need through data and control. Writing a variable is no part of inference.
fn needed(graph: &Graph, roots: &[usize]) -> Result<HashSet<usize>, Error> {
    graph.reachable(roots.iter().copied(), |node| {
        let mut needs: Vec<usize> = graph.inputs(node)?.into_iter().map(|(node, _)| node).collect();
        needs.extend(kept_control_inputs(graph, node)?);
        Ok(needs)
    })
}

fn kept_control_inputs(graph: &Graph, node: usize) -> Result<Vec<usize>, Error> {
    let mut control = graph.control_inputs(node)?;
    control.retain(|input| !is_variable_writer(&graph.node(*input).op));
    Ok(control)
}

/// Under which name, and as which slice, a checkpoint stores a variable.
struct Stored {
    name: String,
    slice: Option<Slice>,
}

/// A part of a variable.
#[derive(Debug, PartialEq)]
struct Slice {
    start: Vec<usize>,
    size: Vec<usize>,
}

/// What the graph's restore ops say about its variables.
fn stored_names(graph: &Graph) -> Result<HashMap<usize, Stored>, Error> {
    let mut stored = HashMap::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        if !matches!(node.op.as_str(), "Assign" | "AssignVariableOp") {
            continue;
        }
        let inputs = graph.inputs(index)?;
        let &[(variable, _), (mut source, mut port)] = &inputs[..] else { continue };
        let mut hops = 0;
        while graph.node(source).op == "Identity" && hops < 8 {
            let Some(next) = graph.inputs(source)?.first().copied() else { break };
            (source, port) = next;
            hops += 1;
        }
        let column = match graph.node(source).op.as_str() {
            "RestoreV2" => port,
            "Restore" | "RestoreSlice" => 0,
            _ => continue,
        };
        let restore = graph.inputs(source)?;
        let text = |input: usize| -> Option<String> {
            let node = graph.node(restore.get(input)?.0);
            let Some(Value::Tensor(proto)) = attr(node, "value") else { return None };
            String::from_utf8(tensor::strings(proto).get(column)?.to_vec()).ok()
        };
        if let Some(name) = text(1) {
            let slice = text(2).and_then(|spec| Slice::parse(&spec));
            stored.entry(variable).or_insert(Stored { name, slice });
        }
    }
    Ok(stored)
}

impl Slice {
    /// Reads a saver's slice: `20 10 5,5:-` is rows 5 to 9 of a 20 x 10 variable. Empty means the whole.
    fn parse(spec: &str) -> Option<Self> {
        let mut words: Vec<&str> = spec.split_whitespace().collect();
        let ranges = words.pop()?;
        let whole: Vec<usize> = words.iter().map(|w| w.parse().ok()).collect::<Option<_>>()?;
        let range = |(text, whole): (&str, &usize)| match text {
            "-" => Some((0, *whole)),
            _ => {
                text.split_once(',').and_then(|(start, size)| Some((start.parse().ok()?, size.parse().ok()?)))
            }
        };
        let ranges: Vec<&str> = ranges.split(':').collect();
        if ranges.len() != whole.len() {
            return None;
        }
        let (start, size) = ranges.into_iter().zip(&whole).map(range).collect::<Option<_>>()?;
        Some(Self { start, size })
    }

    /// Cuts the part out of the whole.
    fn of(&self, whole: &Tensor) -> Result<Tensor, String> {
        let shape = whole.shape();
        let fits =
            |axis: usize| self.start[axis].checked_add(self.size[axis]).is_some_and(|end| end <= shape[axis]);
        if self.start.len() != shape.len() || !(0..shape.len()).all(fits) {
            return Err(format!(
                "the part {:?}+{:?} lies outside the stored {shape:?}",
                self.start, self.size
            ));
        }
        let width = whole.element_type().bits() / 8;
        let Some(outer) = (0..shape.len()).find(|axis| self.size[*axis] != shape[*axis]) else {
            return Ok(whole.clone());
        };
        // Rows below the outermost cut axis are contiguous when nothing below is cut.
        if (outer + 1..shape.len()).any(|axis| self.size[axis] != shape[axis]) {
            return Err("a variable that is partitioned along several axes".to_owned());
        }
        let row = shape[outer + 1..].iter().product::<usize>() * width;
        let blocks = shape[..outer].iter().product::<usize>();
        let stride = row * shape[outer];
        let (from, len) = (row * self.start[outer], row * self.size[outer]);
        let bytes = whole.bytes();
        let part = match blocks {
            1 => bytes.slice(from..from + len),
            _ => (0..blocks)
                .flat_map(|b| &bytes[b * stride + from..b * stride + from + len])
                .copied()
                .collect(),
        };
        Tensor::new(whole.element_type(), self.size.clone(), part).map_err(|e| e.to_string())
    }
}

/// The value of a variable under the first of its names that the source knows.
fn value_of(
    graph: &Graph,
    index: usize,
    stored: Option<&Stored>,
    lookup: &mut impl FnMut(&str) -> Result<Option<Tensor>, VariableError>,
) -> Result<Option<Tensor>, Error> {
    let node = graph.node(index);
    let problem = |problem: String| Error::Node { node: node.name.clone(), op: node.op.clone(), problem };
    let mut find =
        |name: &str| lookup(name).map_err(|source| Error::Variable { name: name.to_owned(), source });
    let mut value = None;
    if let Some(Stored { name, slice }) = stored
        && let Some(whole) = find(name)?
    {
        value = Some(match slice {
            Some(slice) => slice.of(&whole).map_err(problem)?,
            None => whole,
        });
    }
    let shared_name = match attr(node, "shared_name") {
        Some(Value::S(name)) if !name.is_empty() => std::str::from_utf8(name).ok(),
        _ => None,
    };
    for name in shared_name.into_iter().chain([node.name.as_str()]) {
        if value.is_none() {
            value = find(name)?;
        }
    }
    let declared = match attr(node, "shape") {
        Some(Value::Shape(shape)) => tensor::dimensions(shape).map_err(problem)?,
        _ => None,
    };
    if value.is_none()
        && let Some((whole, part)) = partition(&node.name)
        && let Some(tensor) = find(whole)?
    {
        let slice = part_of(graph, whole, part, tensor.shape()).map_err(problem)?;
        value = Some(slice.of(&tensor).map_err(problem)?);
    }
    let Some(value) = value else { return Ok(None) };
    let ty = dtype(node).ok_or_else(|| problem("it has no dtype".to_owned()))?;
    let expected = tensor::element_type(ty).map_err(problem)?;
    if expected != value.element_type() {
        return Err(problem(format!(
            "the graph says {expected}, the checkpoint holds {}",
            value.element_type()
        )));
    }
    if let Some(declared) = declared {
        let fits = declared.len() == value.shape().len()
            && declared.iter().zip(value.shape()).all(|(dim, found)| dim.is_none_or(|dim| dim == *found));
        if !fits {
            let text = dims_text(&declared);
            return Err(problem(format!("the graph says {text}, the checkpoint holds {:?}", value.shape())));
        }
    }
    Ok(Some(value))
}

fn dims_text(dims: &[Option<usize>]) -> String {
    let dims: Vec<_> = dims.iter().map(|d| d.map_or("?".to_owned(), |d| d.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

/// `weights/part_1` is part 1 of `weights`.
fn partition(name: &str) -> Option<(&str, usize)> {
    let (whole, part) = name.rsplit_once("/part_")?;
    Some((whole, part.parse().ok()?))
}

/// Where a part lies in its variable, from the shapes of the parts before it: a graph that was written before its
/// saver was made says it nowhere else.
fn part_of(graph: &Graph, whole: &str, part: usize, shape: &[usize]) -> Result<Slice, String> {
    let unknown = || format!("where this part lies in '{whole}' {shape:?} is not known");
    let shape_of = |part: usize| -> Option<Vec<usize>> {
        let node = graph.node(graph.find(&format!("{whole}/part_{part}"))?);
        let Some(Value::Shape(shape)) = attr(node, "shape") else { return None };
        tensor::dimensions(shape).ok()??.into_iter().collect()
    };
    let size = shape_of(part).filter(|size| size.len() == shape.len()).ok_or_else(unknown)?;
    let mut start = vec![0; shape.len()];
    if let Some(axis) = (0..shape.len()).find(|axis| size[*axis] != shape[*axis]) {
        // As many parts as a variable has rows is all that can be asked for.
        for before in 0..part {
            let rows = shape_of(before).and_then(|size| size.get(axis).copied()).ok_or_else(unknown)?;
            start[axis] = rows.checked_add(start[axis]).ok_or_else(unknown)?;
        }
    }
    Ok(Slice { start, size })
}

fn dtype(node: &NodeDef) -> Option<i32> {
    match attr(node, "dtype") {
        Some(Value::Type(ty)) => Some(*ty),
        _ => None,
    }
}

/// The kept nodes, variables and what reads them rewritten.
fn rewrite(
    index: &Graph,
    graph: &GraphDef,
    kept: &HashSet<usize>,
    mut values: HashMap<usize, Tensor>,
    clear_devices: bool,
) -> Result<GraphDef, Error> {
    // Outputs that used to be a resource and now are the frozen value: (type of the value).
    let mut plain: HashMap<usize, i32> = HashMap::new();
    for node in values.keys() {
        plain.extend(dtype(index.node(*node)).map(|ty| (*node, ty)));
    }
    spread(index, kept, &mut plain)?;
    let mut nodes = Vec::with_capacity(kept.len());
    for (i, node) in graph.node.iter().enumerate().filter(|(i, _)| kept.contains(i)) {
        let problem = |problem: String| Error::Node { node: node.name.clone(), op: node.op.clone(), problem };
        let mut new = node.clone();
        if let Some(value) = values.remove(&i) {
            new = constant(&node.name, tensor::encode(&value).map_err(problem)?);
            new.device = node.device.clone();
            new.input = node.input.iter().filter(|input| input.starts_with('^')).cloned().collect();
        } else if let Some(ty) = index.inputs(i)?.first().and_then(|(input, _)| plain.get(input)) {
            let extra = read_frozen(&mut new, *ty).map_err(problem)?;
            nodes.extend(extra);
        }
        let control = kept_control_inputs(index, i)?;
        new.input.retain(|input| match input.strip_prefix('^') {
            Some(name) => index.find(name).is_some_and(|node| control.contains(&node)),
            None => true,
        });
        if clear_devices {
            new.device.clear();
        }
        keep_colocation(&mut new, |name| index.find(name).is_some_and(|node| kept.contains(&node)));
        nodes.push(new);
    }
    Ok(GraphDef {
        node: nodes,
        library: graph.library.clone(),
        versions: graph.versions.clone(),
        version: graph.version,
    })
}

/// Follows resources through the ops that only hand them on.
fn spread(index: &Graph, kept: &HashSet<usize>, plain: &mut HashMap<usize, i32>) -> Result<(), Error> {
    let mut grown = !plain.is_empty();
    while grown {
        grown = false;
        for &node in kept {
            if plain.contains_key(&node) || !hands_on(&index.node(node).op) {
                continue;
            }
            for (input, _) in index.inputs(node)? {
                if let Some(ty) = plain.get(&input).copied() {
                    grown |= plain.insert(node, ty).is_none();
                }
            }
        }
    }
    Ok(())
}

fn hands_on(op: &str) -> bool {
    matches!(
        op.strip_prefix("Ref").unwrap_or(op),
        "Identity" | "Switch" | "Merge" | "Enter" | "Exit" | "NextIteration"
    )
}

/// Turns a node that read a variable into one that reads a constant. Answers the nodes it needs besides.
fn read_frozen(node: &mut NodeDef, ty: i32) -> Result<Option<NodeDef>, String> {
    let ty = Value::Type(if ty > 100 { ty - 100 } else { ty });
    let op = node.op.clone();
    let mut set =
        |name: &str, value: Value| node.attr.insert(name.to_owned(), AttrValue { value: Some(value) });
    match op.as_str() {
        "ReadVariableOp" => {
            set("T", ty);
            node.attr.remove("dtype");
            node.op = "Identity".into();
        }
        "ResourceGather" => {
            set("Tparams", ty);
            set("Taxis", Value::Type(DataType::DtInt32.into()));
            node.attr.remove("dtype");
            node.attr.remove("validate_indices");
            node.op = "GatherV2".into();
            let axis = format!("{}/axis", node.name);
            node.input.insert(2, axis.clone());
            let zero = Tensor::scalar(0i32);
            return Ok(Some(constant(&axis, tensor::encode(&zero)?)));
        }
        "VariableShape" => {
            set("T", ty);
            node.op = "Shape".into();
        }
        "VarIsInitializedOp" | "IsVariableInitialized" => {
            let yes =
                Tensor::new(ir::ElementType::Boolean, vec![], vec![1].into()).map_err(|e| e.to_string())?;
            *node = constant(&node.name, tensor::encode(&yes)?);
        }
        _ if hands_on(&op) => {
            set("T", ty);
            node.op = op.strip_prefix("Ref").unwrap_or(&op).into();
        }
        _ if is_variable_writer(&op) => return Err("it writes a variable that is to be frozen".to_owned()),
        _ => {}
    }
    Ok(None)
}

fn constant(name: &str, value: TensorProto) -> NodeDef {
    let attr = |name: &str, value| (name.to_owned(), AttrValue { value: Some(value) });
    let dtype = Value::Type(value.dtype);
    let attr = BTreeMap::from([attr("dtype", dtype), attr("value", Value::Tensor(value))]);
    NodeDef { name: name.into(), op: "Const".into(), attr, ..Default::default() }
}

/// Drops colocation with nodes that are gone: TensorFlow refuses such a graph.
fn keep_colocation(node: &mut NodeDef, is_kept: impl Fn(&str) -> bool) {
    let Some(Value::List(list)) = node.attr.get_mut("_class").and_then(|a| a.value.as_mut()) else { return };
    list.s.retain(|class| {
        std::str::from_utf8(class).ok().and_then(|c| c.strip_prefix("loc:@")).is_some_and(&is_kept)
    });
    if list.s.is_empty() {
        node.attr.remove("_class");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::graph_of;

    fn set(def: &mut GraphDef, node: &str, name: &str, value: Value) {
        let node = def.node.iter_mut().find(|n| n.name == node).unwrap();
        node.attr.insert(name.into(), AttrValue { value: Some(value) });
    }

    fn floats(def: &mut GraphDef, names: &[&str]) {
        for name in names {
            set(def, name, "dtype", Value::Type(DataType::DtFloat.into()));
        }
    }

    fn options(outputs: &[&str]) -> FreezeOptions {
        FreezeOptions { outputs: outputs.iter().map(|o| (*o).into()).collect(), ..Default::default() }
    }

    fn row(values: &[f32]) -> Tensor {
        Tensor::from_slice(&[values.len()], values).unwrap()
    }

    fn value(def: &GraphDef, name: &str) -> Tensor {
        let node = def.node.iter().find(|n| n.name == name).unwrap();
        assert_eq!(node.op, "Const");
        let Some(Value::Tensor(proto)) = attr(node, "value") else { panic!() };
        tensor::decode(proto).unwrap()
    }

    #[test]
    fn variables_of_both_kinds_become_constants() {
        let mut def = graph_of(&[
            ("x", "Placeholder", &[]),
            ("w", "VariableV2", &[]),
            ("w/read", "Identity", &["w"]),
            ("v", "VarHandleOp", &[]),
            ("v/Read", "ReadVariableOp", &["v", "^w/read"]),
            ("a", "Mul", &["x", "w/read"]),
            ("y", "Add", &["a", "v/Read", "^update"]),
            ("update", "AssignSub", &["w", "a"]),
            ("e", "VarHandleOp", &[]),
            ("emb", "ResourceGather", &["e", "x"]),
            ("unused", "VariableV2", &[]),
        ]);
        floats(&mut def, &["w", "v", "v/Read", "e", "emb", "unused"]);
        set(&mut def, "v", "shared_name", Value::S("stored/v".into()));
        let class = crate::proto::attr_value::ListValue {
            s: vec!["loc:@w".into(), "loc:@unused".into()],
            ..Default::default()
        };
        set(&mut def, "w/read", "_class", Value::List(class));
        let source = |name: &str| {
            Ok(match name {
                "w" => Some(row(&[1.0])),
                "stored/v" => Some(row(&[2.0])),
                "e" => Some(row(&[3.0])),
                _ => None,
            })
        };
        let frozen = freeze(&def, &options(&["y:0", "emb"]), source).unwrap();
        let ops: Vec<_> = frozen.node.iter().map(|n| (n.name.as_str(), n.op.as_str())).collect();
        assert_eq!(
            ops,
            [
                ("x", "Placeholder"),
                ("w", "Const"),
                ("w/read", "Identity"),
                ("v", "Const"),
                ("v/Read", "Identity"),
                ("a", "Mul"),
                ("y", "Add"),
                ("e", "Const"),
                ("emb/axis", "Const"),
                ("emb", "GatherV2"),
            ]
        );
        assert_eq!(value(&frozen, "v"), row(&[2.0]));
        let node = |name: &str| frozen.node.iter().find(|n| n.name == name).unwrap();
        assert_eq!(attr(node("v/Read"), "T"), Some(&Value::Type(DataType::DtFloat.into())));
        assert_eq!(node("v/Read").input, ["v", "^w/read"]);
        assert_eq!(node("y").input, ["a", "v/Read"]);
        assert_eq!(node("emb").input, ["e", "x", "emb/axis"]);
        let Some(Value::List(class)) = attr(node("w/read"), "_class") else { panic!() };
        assert_eq!(class.s, ["loc:@w"]);
        // Only some of them.
        let some = FreezeOptions { keep_variables: vec!["v".into(), "e".into()], ..options(&["y"]) };
        let frozen = freeze(&def, &some, source).unwrap();
        assert!(frozen.node.iter().any(|n| n.op == "VarHandleOp"));
        let some = FreezeOptions { variables: vec!["v".into()], ..options(&["y"]) };
        let frozen = freeze(&def, &some, source).unwrap();
        assert!(frozen.node.iter().any(|n| n.op == "VariableV2"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let mut def =
            graph_of(&[("w", "VariableV2", &[]), ("b", "VariableV2", &[]), ("y", "Add", &["w", "b"])]);
        floats(&mut def, &["w", "b"]);
        let err = freeze(&def, &options(&["y"]), |n| Ok((n == "w").then(|| row(&[1.0])))).unwrap_err();
        assert!(err.to_string().starts_with("1 of 2 variables have no value: 'b';"), "{err}");
        let err = freeze(&def, &options(&["y"]), |_| Ok(Some(Tensor::scalar(1i32)))).unwrap_err();
        assert_eq!(err.to_string(), "node 'w' (VariableV2): the graph says f32, the checkpoint holds i32");
        let err = freeze(&def, &options(&["y"]), |_| Err("bad crc".into())).unwrap_err();
        assert_eq!(err.to_string(), "variable 'w': bad crc");
        let err = freeze(&def, &options(&["z"]), |_| Ok(None)).unwrap_err();
        assert!(matches!(err, Error::NoSuchNode { .. }));
        let dim = crate::proto::tensor_shape_proto::Dim { size: 3, ..Default::default() };
        let shape = crate::proto::TensorShapeProto { dim: vec![dim], unknown_rank: false };
        set(&mut def, "w", "shape", Value::Shape(shape));
        let err = freeze(&def, &options(&["y"]), |_| Ok(Some(row(&[1.0])))).unwrap_err();
        assert!(err.to_string().ends_with("the graph says [3], the checkpoint holds [1]"), "{err}");
    }

    #[test]
    fn the_graphs_own_restore_ops_name_and_slice_variables() {
        let mut def = graph_of(&[
            ("w/part_0", "VariableV2", &[]),
            ("w/part_1", "VariableV2", &[]),
            ("save/names", "Const", &[]),
            ("save/slices", "Const", &[]),
            ("save/prefix", "Const", &[]),
            ("save/restore", "RestoreV2", &["save/prefix", "save/names", "save/slices"]),
            ("save/id", "Identity", &["save/restore:1"]),
            ("save/a0", "Assign", &["w/part_0", "save/restore"]),
            ("save/a1", "Assign", &["w/part_1", "save/id"]),
            ("y", "ConcatV2", &["w/part_0", "w/part_1"]),
        ]);
        floats(&mut def, &["w/part_0", "w/part_1"]);
        let strings = |values: &[&'static str]| {
            Value::Tensor(TensorProto {
                dtype: DataType::DtString.into(),
                string_val: values.iter().map(|v| (*v).into()).collect(),
                ..Default::default()
            })
        };
        set(&mut def, "save/names", "value", strings(&["renamed", "renamed"]));
        set(&mut def, "save/slices", "value", strings(&["2 3 -:0,1", "2 3 -:1,2"]));
        let whole = Tensor::from_slice(&[2, 3], &[0.0f32, 1.0, 2.0, 10.0, 11.0, 12.0]).unwrap();
        let frozen = freeze(&def, &options(&["y"]), |n| Ok((n == "renamed").then(|| whole.clone()))).unwrap();
        assert_eq!(value(&frozen, "w/part_0").to_f64s(), [0.0, 10.0]);
        assert_eq!(value(&frozen, "w/part_1").to_f64s(), [1.0, 2.0, 11.0, 12.0]);
        // Without them the parts' shapes tell.
        def.node.retain(|n| !n.name.starts_with("save"));
        for (part, columns) in [("w/part_0", 1), ("w/part_1", 2)] {
            let dim = |size| crate::proto::tensor_shape_proto::Dim { size, ..Default::default() };
            let shape =
                crate::proto::TensorShapeProto { dim: vec![dim(2), dim(columns)], unknown_rank: false };
            set(&mut def, part, "shape", Value::Shape(shape));
        }
        let frozen = freeze(&def, &options(&["y"]), |n| Ok((n == "w").then(|| whole.clone()))).unwrap();
        assert_eq!(value(&frozen, "w/part_1").to_f64s(), [1.0, 2.0, 11.0, 12.0]);
    }

    #[test]
    fn slices_are_read_as_savers_write_them() {
        assert_eq!(Slice::parse("20 10 5,6:-"), Some(Slice { start: vec![5, 0], size: vec![6, 10] }));
        assert_eq!(Slice::parse(""), None);
        assert_eq!(Slice::parse("20 5,6:-"), None);
        let outside = Slice { start: vec![usize::MAX], size: vec![2] };
        assert!(outside.of(&row(&[1.0])).is_err());
    }
}
