//! Custom layers on a device: with the model, and from the host.

use super::{DEVICE, bytes, config, same};
use ir::{
    ElementType, Model, PartialShape, Tensor,
    extension::{Attributes, EXTENSION_OPSET, Extension},
    op::{Binary, BinaryKind, Custom, Inputs, OpError, PortType},
};
use runtime::{CompiledModel, Config, HostTensor};
use std::sync::Arc;

/// `y = x * factor`, for positive numbers alone.
struct Scaled;

impl Extension for Scaled {
    fn type_name(&self) -> &str {
        "Scaled"
    }

    fn infer(&self, attributes: Attributes, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        attributes.required::<f32>("factor")?;
        inputs.expect(1..=1)?;
        Ok(vec![PortType::new(inputs.element_type(0), inputs.shape(0).clone())])
    }

    fn evaluate(&self, attributes: Attributes, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let factor = f64::from(attributes.required::<f32>("factor")?);
        let values = inputs[0].to_f64s();
        if let Some(wrong) = values.iter().find(|x| **x < 0.0) {
            return Err(OpError::value(format!("{wrong} is below zero")));
        }
        let scaled: Vec<f64> = values.iter().map(|x| x * factor).collect();
        Ok(vec![Tensor::from_f64s(inputs[0].element_type(), inputs[0].shape(), &scaled)?])
    }
}

#[test]
fn custom_layers_run_where_the_host_knows_them() {
    same(|core| {
        let mut model = Model::new("scaled");
        let x = model.add_parameter("x", ElementType::F32, "[?,2]".parse().unwrap());
        let op = Custom {
            type_name: "Scaled".to_owned(),
            version: EXTENSION_OPSET.to_owned(),
            attributes: vec![("factor".to_owned(), "3".to_owned())],
            outputs: vec![PortType::new(ElementType::Dynamic, PartialShape::UNKNOWN)],
            extension: None,
        };
        let scaled = model.add("scaled", op, &[x.into()]).unwrap();
        let sum = model.add("sum", Binary::new(BinaryKind::Add), &[scaled.into(), x.into()]).unwrap();
        model.add_result("result", sum.into()).unwrap();
        let refused = core.compile_model(&model, DEVICE, &Config::new()).err().unwrap().to_string();
        assert!(refused.contains("`scaled`") && refused.contains("Scaled"), "{refused}");

        core.add_extension(Arc::new(Scaled));
        let query = core.query_model(&model, DEVICE, &Config::new()).unwrap();
        assert!(query.supported.contains(&"scaled".to_owned()) && query.refused.is_empty(), "{query:?}");
        let compiled = core.compile_model(&model, DEVICE, &config(&[("PERF_COUNT", "YES")])).unwrap();
        assert_eq!(compiled.outputs()[0].ty.to_string(), "f32[?,2]");
        let answers = |compiled: &CompiledModel| {
            let mut request = compiled.create_infer_request().unwrap();
            let input = |values: &[f32]| HostTensor::from_vec(&[1, 2], values.to_vec()).unwrap();
            request.set_input(0, input(&[1.0, 0.5])).unwrap();
            request.infer().unwrap();
            assert_eq!(request.output(0).unwrap().to_tensor().unwrap().to_f64s(), [4.0, 2.0]);
            let layer = request.profile().into_iter().find(|row| row.name.ends_with("scaled")).unwrap();
            assert!(layer.layer_type == "Scaled" && layer.exec_type.ends_with("extension"), "{layer:?}");
            // What the layer says reaches the caller, and the request lives.
            request.set_input(0, input(&[1.0, -0.5])).unwrap();
            let error = request.infer().unwrap_err().to_string();
            assert!(error.contains("-0.5 is below zero"), "{error}");
            request.set_input(0, input(&[1.0, 0.25])).unwrap();
            request.infer().unwrap();
            (error, bytes(&request.output(0).unwrap()))
        };
        let first = answers(&compiled);
        // A device that reads a model itself asks its host for the layer.
        let mut exported = Vec::new();
        if compiled.export(&mut exported).is_ok() {
            let settings = config(&[("PERF_COUNT", "YES")]);
            let imported = core.import_model(exported.into(), DEVICE, &settings).unwrap();
            assert_eq!(answers(&imported), first);
        }
        first
    });
}
