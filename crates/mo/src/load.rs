//! The network of a request as a model, whatever framework it is of.

use crate::{Error, Request, Stage, caffe, source::Framework, tensorflow};
use ir::{Model, PartialShape, cut};

/// Reads the network, with the inputs, shapes and outputs that the request asks for; nothing else is changed. The second
/// answer is what the user should know.
pub fn load(request: &Request, stage: &mut dyn FnMut(Stage)) -> Result<(Model, Vec<String>), Error> {
    stage(Stage::Read);
    match request.source.framework() {
        Framework::TensorFlow => Ok((tensorflow::load(request, stage)?, Vec::new())),
        Framework::Caffe => caffe::load(request, stage),
        Framework::Ir => {
            let mut model = ir::read_ir(&request.source.graph)?;
            stage(Stage::Convert);
            request.custom_ops.extensions.attach(&mut model)?;
            cut::cut(&mut model, &request.inputs, &request.outputs)?;
            set_shapes(&mut model, &request.input_shapes)?;
            Ok((model, Vec::new()))
        }
    }
}

/// Gives the inputs, in their order, the shapes that were given without names.
pub(crate) fn set_shapes(model: &mut Model, shapes: &[PartialShape]) -> Result<(), Error> {
    if shapes.is_empty() {
        return Ok(());
    }
    let parameters = model.parameters().to_vec();
    if shapes.len() != parameters.len() {
        let inputs = parameters.iter().map(|id| model.node(*id).name.clone()).collect();
        return Err(Error::InputCount { flag: "--input_shape", given: shapes.len(), inputs });
    }
    for (id, shape) in parameters.into_iter().zip(shapes) {
        model.set_parameter_shape(id, shape.clone());
    }
    Ok(model.infer()?)
}
