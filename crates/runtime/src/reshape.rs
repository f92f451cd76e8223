//! Other shapes and batches for a model's inputs.

use crate::{Error, error::Result};
use ir::{Dim, Model, NodeId, Op, PartialShape, device::PortInfo};

/// Gives inputs, by any of their names, other shapes. A model that can't have them stays as it was.
pub fn reshape(model: &mut Model, shapes: &[(&str, PartialShape)]) -> Result<()> {
    let ports = PortInfo::inputs(model);
    let mut changed = model.clone();
    for (name, shape) in shapes {
        let at = ports.iter().position(|port| port.is_called(name)).ok_or_else(|| Error::NoSuchPort {
            side: "input",
            name: (*name).to_owned(),
            available: ports.iter().map(|port| port.name().to_owned()).collect(),
        })?;
        changed.set_parameter_shape(model.parameters()[at], shape.clone());
    }
    changed.infer()?;
    *model = changed;
    Ok(())
}

/// The axis of the batch: the one that the layout calls N, or the first where the layout says nothing.
fn batch_axis(model: &Model, input: NodeId) -> Option<(usize, Vec<Dim>)> {
    let Op::Parameter(parameter) = &model.node(input).op else { return None };
    let dims = parameter.shape.dims()?;
    let axis = if parameter.layout.is_empty() { Some(0) } else { parameter.layout.index_of("N", dims.len()) };
    axis.filter(|axis| *axis < dims.len()).map(|axis| (axis, dims.to_vec()))
}

/// The batch that all inputs share; nothing where they differ, or have none.
pub fn batch(model: &Model) -> Option<Dim> {
    let mut all = model.parameters().iter().map(|id| batch_axis(model, *id).map(|(axis, dims)| dims[axis]));
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(first)
}

/// Sets the batch of all inputs. A model that can't have it stays as it was.
pub fn set_batch(model: &mut Model, batch: Dim) -> Result<()> {
    let mut changed = model.clone();
    for id in model.parameters() {
        let (axis, mut dims) = batch_axis(model, *id).ok_or_else(|| Error::Settings {
            port: model.node(*id).name.clone(),
            reason: format!("{} has no dimension for a batch", model.ty((*id).into())),
        })?;
        dims[axis] = batch;
        changed.set_parameter_shape(*id, PartialShape::new(dims));
    }
    changed.infer()?;
    *model = changed;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::{ElementType, Tensor, op::*};

    /// Two inputs; the second has its batch behind. The product pins the width to 4.
    fn model() -> Model {
        let mut model = Model::new("m");
        let a = model.add_parameter("a", ElementType::F32, "[1,4]".parse().unwrap());
        let layout = "CN".parse().unwrap();
        let b = Parameter { layout, ..Parameter::new(ElementType::F32, "[4,1]".parse().unwrap()) };
        let b = model.add("b", b, &[]).unwrap();
        let order = model.add_constant("order", Tensor::from_i64s(&[1, 0]));
        let b = model.add("turned", Transpose, &[b.into(), order.into()]).unwrap();
        let sum = model.add("sum", Binary::new(BinaryKind::Add), &[a.into(), b.into()]).unwrap();
        let weights = model.add_constant("weights", Tensor::from_slice(&[4, 2], &[1f32; 8]).unwrap());
        let product = MatMul { transpose_a: false, transpose_b: false };
        let product = model.add("product", product, &[sum.into(), weights.into()]).unwrap();
        model.add_result("result", product.into()).unwrap();
        model
    }

    fn output(model: &Model) -> String {
        PortInfo::outputs(model)[0].ty.to_string()
    }

    #[test]
    fn batches_go_where_layouts_have_them() {
        let mut model = model();
        assert_eq!(batch(&model), Some(Dim::exactly(1)));
        set_batch(&mut model, Dim::exactly(7)).unwrap();
        assert_eq!((batch(&model), output(&model)), (Some(Dim::exactly(7)), "f32[7,2]".to_owned()));
        assert_eq!(PortInfo::inputs(&model)[1].ty.to_string(), "f32[4,7]");
        set_batch(&mut model, Dim::ANY_DIM).unwrap();
        assert_eq!(output(&model), "f32[?,2]");
        reshape(&mut model, &[("a:0", "[3,4]".parse().unwrap())]).unwrap();
        assert_eq!((batch(&model), output(&model)), (None, "f32[3,2]".to_owned()));
    }

    #[test]
    fn a_model_that_cannot_be_reshaped_stays_as_it_was() {
        let mut model = model();
        let before = model.to_string();
        assert!(matches!(reshape(&mut model, &[("a", "[1,5]".parse().unwrap())]), Err(Error::Model(_))));
        let unknown = reshape(&mut model, &[("c", "[1,4]".parse().unwrap())]);
        assert_eq!(unknown.unwrap_err().to_string(), "the model has no input `c`; it has a, b");
        assert_eq!(model.to_string(), before);
        model.add_parameter("scalar", ElementType::F32, "[]".parse().unwrap());
        let error = set_batch(&mut model, Dim::exactly(2)).unwrap_err().to_string();
        assert_eq!(error, "`scalar`: f32[] has no dimension for a batch");
    }
}
