//! What a look at the network tells before it runs anywhere: inputs that feed nothing, shapes that cannot work,
//! numbers that a precision cannot hold, nodes that a device does not take.

pub mod device;
mod precision;

pub use precision::{half_arithmetic, numbers};

use ir::{Model, Op, Port};

/// One thing that the user should know.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// The node.
    pub node: String,
    /// What about it, and what to do.
    pub text: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}' {}", self.node, self.text)
    }
}

/// Inputs on which no output depends.
pub fn dead_inputs(model: &Model) -> Vec<Finding> {
    let mut alive = vec![false; model.capacity()];
    let mut open = model.results().to_vec();
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut alive[id.index()], true) {
            open.extend(model.node(id).inputs().iter().map(|port| port.node));
        }
    }
    let dead = model.parameters().iter().filter(|id| !alive[id.index()]);
    let finding = |id: &ir::NodeId| Finding {
        node: model.node(*id).name.clone(),
        text: "is an input on which no output depends; leave it out with --input".to_owned(),
    };
    dead.map(finding).collect()
}

/// Tensors without elements, and outputs whose rank is not known: a device can do nothing with either.
pub fn shapes(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, node) in model.nodes() {
        for index in 0..node.outputs().len() {
            let port: Port = id.output(index);
            let shape = &model.ty(port).shape;
            let is_empty = shape.dims().is_some_and(|dims| dims.iter().any(|dim| dim.max() == 0));
            // What a network makes of empty tensors itself (an empty list of axes) is its own affair.
            let is_data =
                model.output(port).value.is_none() && !matches!(node.op, Op::Constant(_) | Op::OpResult(_));
            if is_empty && is_data {
                let text = format!("gives out no elements: {shape}; is the input's shape too small?");
                found.push(Finding { node: node.name.clone(), text });
            }
        }
    }
    for id in model.results() {
        let from = model.node(*id).inputs()[0];
        if model.ty(from).shape.rank().is_none() {
            let text = "is an output of unknown rank; give the inputs shapes with --input_shape".to_owned();
            found.push(Finding { node: model.node(from.node).name.clone(), text });
        }
    }
    found
}

/// Inputs with dimensions that are not fixed.
pub fn open_inputs(model: &Model) -> Vec<Finding> {
    let open = |id: &&ir::NodeId| !model.ty((**id).into()).shape.is_fixed();
    let finding = |id: &ir::NodeId| Finding {
        node: model.node(*id).name.clone(),
        text: format!("is an input of open shape {}", model.ty((*id).into()).shape),
    };
    model.parameters().iter().filter(open).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::{
        ElementType,
        op::{MaxPool, Unary},
    };

    #[test]
    fn what_cannot_work_is_found() {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[1,1,4,?]".parse().unwrap());
        model.add_parameter("unused", ElementType::F32, "[2]".parse().unwrap());
        let empty = model.add_parameter("empty", ElementType::F32, "[1,0]".parse().unwrap());
        let relu = model.add("relu", Unary::Relu, &[empty.into()]).unwrap();
        let pool = MaxPool {
            kernel: vec![2, 2],
            strides: vec![2, 2],
            pads_begin: vec![0, 0],
            pads_end: vec![0, 0],
            ..MaxPool::default()
        };
        let pool = model.add("pool", pool, &[x.into()]).unwrap();
        model.add_result("a", pool.into()).unwrap();
        model.add_result("b", relu.into()).unwrap();
        let names = |found: Vec<Finding>| found.into_iter().map(|f| f.node).collect::<Vec<_>>();
        assert_eq!(names(dead_inputs(&model)), ["unused"]);
        assert_eq!(names(shapes(&model)), ["empty", "relu"]);
        assert_eq!(names(open_inputs(&model)), ["x"]);
    }
}
