//! A custom layer in Rust: TensorFlow's `Cross`, which Terroir doesn't know, is given a meaning; then the network
//! converts with known shapes and runs.
//!
//! ```sh
//! cargo run -p mo --example custom_layer -- fixtures/custom_ops/cross.pb 0.5 -1 2 0 1
//! ```

use anyhow::{Context, bail};
use ir::{
    Dim, PartialShape, Tensor,
    extension::{Attributes, Extension, Extensions},
    op::{Inputs, OpError, PortType},
    unsupported::CustomOps,
};
use mo::{Request, Source, load};
use runtime::{Config, HostTensor};
use std::sync::Arc;

/// The cross product of vectors along the last axis, of three elements.
pub(crate) struct Cross;

impl Extension for Cross {
    fn type_name(&self) -> &str {
        "Cross"
    }

    fn infer(&self, _: Attributes, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let ty = inputs.same_element_type(0..2)?;
        let both = inputs.shape(0).intersect(inputs.shape(1));
        let shape = both
            .ok_or_else(|| OpError::shape(format!("{} and {} differ", inputs.shape(0), inputs.shape(1))))?;
        match shape.dims().map(<[Dim]>::last) {
            None => {}
            Some(Some(last)) if last.size().is_none_or(|n| n == 3) => {}
            _ => return Err(OpError::shape(format!("{shape}: the last axis must hold three elements"))),
        }
        Ok(vec![PortType::new(ty, shape)])
    }

    fn evaluate(&self, _: Attributes, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let (a, b) = (inputs[0].to_f64s(), inputs[1].to_f64s());
        let mut cross = Vec::with_capacity(a.len());
        for (a, b) in a.chunks_exact(3).zip(b.chunks_exact(3)) {
            cross.extend((0..3).map(|i| {
                let (j, k) = ((i + 1) % 3, (i + 2) % 3);
                a[j] * b[k] - a[k] * b[j]
            }));
        }
        Ok(vec![Tensor::from_f64s(inputs[0].element_type(), inputs[0].shape(), &cross)?])
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let graph = arguments.next().context("which network? fixtures/custom_ops/cross.pb")?;
    let row = arguments.map(|text| text.parse().context(text)).collect::<anyhow::Result<Vec<f32>>>()?;

    let mut extensions = Extensions::default();
    extensions.add(Arc::new(Cross));
    let request = Request {
        source: Source { graph: graph.into(), ..Source::default() },
        input_shapes: vec![PartialShape::fixed(&[1, row.len()])],
        custom_ops: CustomOps { extensions, ..CustomOps::default() },
        ..Request::default()
    };
    let (model, _) = load(&request, &mut |_| {})?;
    for (_, node) in model.nodes().filter(|(_, node)| node.op.type_name() == "Cross") {
        println!("{} `{}` gives {}", node.op.type_name(), node.name, node.outputs()[0].ty);
    }

    let core = samples::engine::core();
    let compiled = core.compile_model(&model, "CPU", &Config::new())?;
    let mut request = compiled.create_infer_request()?;
    let [input] = compiled.inputs() else { bail!("expected a network of one input") };
    println!("{} takes {}", input.name(), input.ty);
    request.set_input(0, HostTensor::from_vec(&[1, row.len()], row)?)?;
    request.infer()?;
    println!("{:?}", request.output(0)?.to_tensor()?.to_f64s());
    Ok(())
}
