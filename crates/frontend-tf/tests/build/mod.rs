//! GraphDefs built in code.
#![allow(dead_code)] // Each test file uses its part.

use frontend_tf::{
    GraphDef,
    proto::{
        AttrValue, DataType, NodeDef, TensorShapeProto, VersionDef, attr_value::ListValue, attr_value::Value,
        tensor_shape_proto::Dim,
    },
    tensor,
};
use ir::Tensor;

/// A graph under construction; attributes go to the node that was added last.
pub(crate) struct Build(pub(crate) GraphDef);

impl Build {
    pub(crate) fn new() -> Self {
        Self(GraphDef {
            versions: Some(VersionDef { producer: 1645, ..Default::default() }),
            ..Default::default()
        })
    }

    pub(crate) fn node(mut self, name: &str, op: &str, inputs: &[&str]) -> Self {
        let input = inputs.iter().map(|i| (*i).to_owned()).collect();
        self.0.node.push(NodeDef { name: name.into(), op: op.into(), input, ..Default::default() });
        self
    }

    pub(crate) fn attr(mut self, name: &str, value: Value) -> Self {
        let node = self.0.node.last_mut().expect("a node to put it on");
        node.attr.insert(name.into(), AttrValue { value: Some(value) });
        self
    }

    pub(crate) fn int(self, name: &str, value: i64) -> Self {
        self.attr(name, Value::I(value))
    }

    pub(crate) fn float(self, name: &str, value: f32) -> Self {
        self.attr(name, Value::F(value))
    }

    pub(crate) fn flag(self, name: &str, value: bool) -> Self {
        self.attr(name, Value::B(value))
    }

    pub(crate) fn text(self, name: &str, value: &'static str) -> Self {
        self.attr(name, Value::S(value.into()))
    }

    pub(crate) fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attr(name, Value::List(ListValue { i: values.to_vec(), ..Default::default() }))
    }

    pub(crate) fn dtype(self, name: &str, ty: DataType) -> Self {
        self.attr(name, Value::Type(ty.into()))
    }

    /// A float placeholder; -1 is an unknown dimension.
    pub(crate) fn placeholder(self, name: &str, dims: &[i64]) -> Self {
        self.typed_placeholder(name, DataType::DtFloat, dims)
    }

    pub(crate) fn typed_placeholder(self, name: &str, ty: DataType, dims: &[i64]) -> Self {
        let dim = dims.iter().map(|size| Dim { size: *size, ..Default::default() }).collect();
        let shape = TensorShapeProto { dim, unknown_rank: false };
        self.node(name, "Placeholder", &[]).dtype("dtype", ty).attr("shape", Value::Shape(shape))
    }

    pub(crate) fn constant(self, name: &str, tensor: &Tensor) -> Self {
        let proto = tensor::encode(tensor).unwrap();
        self.node(name, "Const", &[])
            .attr("dtype", Value::Type(proto.dtype))
            .attr("value", Value::Tensor(proto))
    }

    pub(crate) fn floats(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        self.constant(name, &Tensor::from_slice(shape, values).unwrap())
    }

    pub(crate) fn i32s(self, name: &str, values: &[i32]) -> Self {
        self.constant(name, &Tensor::from_slice(&[values.len()], values).unwrap())
    }

    pub(crate) fn i32(self, name: &str, value: i32) -> Self {
        self.constant(name, &Tensor::scalar(value))
    }

    pub(crate) fn bool(self, name: &str, value: bool) -> Self {
        self.constant(
            name,
            &Tensor::from_i64_values(ir::ElementType::Boolean, &[], &[i64::from(value)]).unwrap(),
        )
    }
}
