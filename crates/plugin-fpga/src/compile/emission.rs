//! From the schedule to descriptors, and what they read.

use super::{
    CompileError,
    action::{Pool, Sign},
    image::Span,
    legality::Judgement,
    packing::{Grouping, Packer},
    passes::{Array, Pass},
    placement::Placed,
    schedule::{Move, Run, Schedule, Words},
};
use crate::{
    instruction::{Activation, Addend, Auxiliary, Convolve, Instruction, Map, Pooling, Transfer},
    program::{Feature, Layer, Program},
};
use ir::{Bytes, NodeId};

/// What the instructions of a pass have in common.
struct Parts {
    convolve: Option<Convolve>,
    auxiliary: Option<Auxiliary>,
}

fn addend(addend: Option<Sign>, maps: &mut impl Iterator<Item = Map>) -> Addend {
    let Some(sign) = addend else { return Addend::None };
    let map = maps.next().unwrap_or_default();
    match sign {
        Sign::Plus => Addend::Plus(map),
        Sign::Minus => Addend::Minus(map),
    }
}

/// A number that legality keeps within a field of a descriptor.
fn field<T: TryFrom<usize>>(value: usize) -> T {
    T::try_from(value).ok().expect("legality keeps sizes within the fields of descriptors")
}

fn pair(spans: &[Span; 2], of: impl Fn(&Span) -> usize) -> [u8; 2] {
    [field(of(&spans[0])), field(of(&spans[1]))]
}

/// Makes a program.
struct Emitter<'a, 'm> {
    judgement: &'a Judgement<'m>,
    placed: &'a Placed,
    packer: Packer<'a>,
}

impl Emitter<'_, '_> {
    fn convolve(&mut self, layer: u16, pass: &Pass, array: &Array) -> Convolve {
        let input = &self.placed.tensors[pass.input].image;
        let Array { filters, curve, .. } = array;
        let grouping = Grouping::new(filters, &input.lanes, self.judgement.vector());
        // A table lies before the filters, not within them.
        let activation = self.packer.activation(curve.as_ref());
        Convolve {
            layer,
            input: Map::default(),
            output: Map::default(),
            addend: Addend::None,
            activation,
            chained: pass.after.is_some(),
            filters: self.packer.filters(filters, grouping, &input.lanes, curve.as_ref()),
            in_height: 0,
            in_width: field(input.width),
            in_blocks: field(grouping.in_blocks),
            out_height: 0,
            out_width: field(array.sizes[1]),
            out_channels: field(grouping.out_channels),
            groups: field(grouping.groups),
            kernel: pair(&filters.spans, |span| span.kernel),
            stride: pair(&filters.spans, |span| span.stride),
            dilation: pair(&filters.spans, |span| span.dilation),
            pad: pair(&filters.spans, |span| span.pad),
            zoom: pair(&filters.spans, |span| span.zoom),
        }
    }

    fn auxiliary(&mut self, layer: u16, pass: &Pass) -> Option<Auxiliary> {
        let after = pass.after.as_ref()?;
        let [input, output] = [pass.input, pass.output].map(|tensor| &self.placed.tensors[tensor].image);
        let none = Pool { kind: Pooling::None, spans: [Span::ONE; 2] };
        let pool = after.pool.unwrap_or(none);
        let (affine, norm, curve) = (after.affine.as_ref(), after.norm.as_ref(), after.curve.as_ref());
        let activation = self.packer.activation(curve);
        let reads = affine.is_some() || norm.is_some() || activation == Activation::Prelu;
        let parameters = if reads { self.packer.parameters(&output.lanes, affine, norm, curve) } else { 0 };
        Some(Auxiliary {
            layer,
            input: Map::default(),
            chained: pass.array.is_some(),
            output: Map::default(),
            in_height: 0,
            in_width: field(pass.array.as_ref().map_or(input.width, |array| array.sizes[1])),
            blocks: field(output.lanes.blocks(self.judgement.vector())),
            out_height: 0,
            out_width: field(output.width),
            pooling: pool.kind,
            kernel: pair(&pool.spans, |span| span.kernel),
            stride: pair(&pool.spans, |span| span.stride),
            pad: pair(&pool.spans, |span| span.pad),
            repeat: pair(&pool.spans, |span| span.repeat),
            parameters,
            scaled: affine.is_some(),
            addend: Addend::None,
            norm_size: norm.map_or(0, |norm| norm.size),
            activation,
        })
    }

    fn run(&self, parts: &Parts, run: &Run, instructions: &mut Vec<Instruction>) {
        let (pass, rows) = (&self.placed.passes[run.pass], &run.rows);
        let mut maps = run.reads.iter().copied();
        let input = maps.next().unwrap_or_default();
        if let (Some(base), Some(array)) = (parts.convolve, &pass.array) {
            let addend = addend(array.addend.map(|(_, sign)| sign), &mut maps);
            instructions.push(Instruction::Convolve(Convolve {
                input,
                output: if base.chained { Map::default() } else { run.output },
                addend,
                in_height: field(rows.input.len()),
                out_height: field(rows.middle.len()),
                pad: [field(rows.array_pad), base.pad[1]],
                ..base
            }));
        }
        if let (Some(base), Some(after)) = (parts.auxiliary, &pass.after) {
            let addend = addend(after.addend.map(|(_, sign)| sign), &mut maps);
            instructions.push(Instruction::Auxiliary(Auxiliary {
                input: if base.chained { Map::default() } else { input },
                output: run.output,
                addend,
                in_height: field(rows.middle.len()),
                out_height: field(rows.output.len()),
                pad: [field(rows.after_pad), base.pad[1]],
                ..base
            }));
        }
    }

    fn layer(&self, pass: &Pass) -> Layer {
        let model = self.judgement.model;
        let node = model.node(pass.nodes[0]);
        let image = &self.placed.tensors[pass.output].image;
        let flops = match &pass.array {
            Some(array) => array.filters.flops() * (array.sizes[0] * array.sizes[1]) as u64,
            None => image.sizes().iter().product::<usize>() as u64,
        };
        Layer {
            name: node.name.clone(),
            kind: node.op.type_name().to_owned(),
            fused: pass.nodes[1..].iter().map(|id| model.node(*id).name.clone()).collect(),
            flops,
        }
    }

    fn feature(&self, schedule: &Schedule, node: NodeId, tensor: usize) -> Feature {
        let model = self.judgement.model;
        let port = model.node(node).inputs().first().copied().unwrap_or(node.into());
        let (ty, image) = (model.ty(port), &self.placed.tensors[tensor].image);
        Feature {
            name: model.node(port.node).name.clone(),
            element_type: ty.element_type,
            shape: ty.shape.sizes().unwrap_or_default(),
            address: schedule.memory[&tensor],
            height: field(image.height),
            width: field(image.width),
            channels: image.lanes.pieces().to_vec(),
        }
    }
}

/// The program of a schedule.
pub(crate) fn program(
    judgement: &Judgement,
    placed: &Placed,
    schedule: &Schedule,
) -> Result<Program, CompileError> {
    let limit = |what, found: u64, most| match found <= most {
        true => Ok(()),
        false => Err(CompileError::TooLarge { what, found, most }),
    };
    limit("layers", placed.passes.len() as u64, 1 << 16)?;
    limit("words of the features' memory", schedule.feature_words, u32::MAX.into())?;
    let packer = Packer::new(judgement.architecture, &judgement.constants);
    let mut emitter = Emitter { judgement, placed, packer };
    let mut parts = Vec::new();
    for (index, pass) in placed.passes.iter().enumerate() {
        let layer = index as u16;
        let convolve = pass.array.as_ref().map(|array| emitter.convolve(layer, pass, array));
        parts.push(Parts { convolve, auxiliary: emitter.auxiliary(layer, pass) });
    }
    let transfer = |words: &Words| Transfer {
        layer: words.pass as u16,
        stream: words.stream,
        memory: words.memory,
        count: words.count,
    };
    let mut instructions = Vec::new();
    for step in &schedule.moves {
        match step {
            Move::Load(words) => instructions.push(Instruction::Load(transfer(words))),
            Move::Store(words) => instructions.push(Instruction::Store(transfer(words))),
            Move::Run(run) => emitter.run(&parts[run.pass], run, &mut instructions),
        }
    }
    instructions.push(Instruction::End);
    let features = |ends: &[(NodeId, usize)]| {
        ends.iter().map(|(node, tensor)| emitter.feature(schedule, *node, *tensor)).collect()
    };
    Ok(Program {
        architecture: judgement.architecture.to_string(),
        instructions,
        feature_words: schedule.feature_words as u32,
        inputs: features(&placed.inputs),
        outputs: features(&placed.outputs),
        layers: placed.passes.iter().map(|pass| emitter.layer(pass)).collect(),
        constants: Bytes::from(emitter.packer.finish()),
    })
}
