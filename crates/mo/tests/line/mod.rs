//! Command lines of `mo` on networks that are built on the spot.
// Each test file uses its part of it.
#![allow(dead_code)]

use ir::{ElementType, Model, NodeId, Op, Tensor, op::*};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A folder with networks, and `mo` run in it.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

/// What `mo` said.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `model` as `name`.
    pub(crate) fn write(&self, name: &str, model: &Model) {
        ir::write_ir(model, self.path(name)).unwrap();
    }

    /// Runs `mo` with these words, parted by spaces.
    pub(crate) fn mo(&self, line: &str) -> Answer {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_mo"))
            .args(words)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Answer { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// Converts `from`; answers the IR.
    #[track_caller]
    pub(crate) fn converted(&self, from: &Path, flags: &str) -> Model {
        let answer = self.mo(&format!("--input_model {} --model_name out {flags}", from.display()));
        assert_eq!(answer.code, 0, "{flags}: {}", answer.err);
        assert!(answer.out.contains("[ SUCCESS ] Generated IR model."), "{}", answer.out);
        ir::read_ir(self.path("out.xml")).unwrap()
    }

    /// Demands that a conversion fails, says all of `parts`, and leaves nothing behind.
    #[track_caller]
    pub(crate) fn refused(&self, from: &str, flags: &str, parts: &[&str]) {
        let answer = self.mo(&format!("--input_model {from} --model_name refused {flags}"));
        assert_ne!(answer.code, 0, "{flags}");
        for part in parts {
            assert!(answer.err.contains(part), "{flags}: {part:?} is not in: {}", answer.err);
        }
        assert!(!self.path("refused.xml").exists() && !self.path("refused.bin").exists());
    }
}

/// How many nodes of a type there are.
pub(crate) fn count(model: &Model, ty: &str) -> usize {
    model.nodes().filter(|(_, node)| node.op.type_name() == ty).count()
}

/// Pseudo-random numbers from -1 to 1.
pub(crate) fn noise(shape: &[usize], seed: u64) -> Tensor {
    let count: usize = shape.iter().product();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    Tensor::from_slice(shape, &(0..count).map(|_| next()).collect::<Vec<_>>()).unwrap()
}

/// A convolution with weights of this shape.
pub(crate) fn conv(
    model: &mut Model,
    name: &str,
    from: ir::Port,
    weights: &[usize],
    stride: usize,
    pad: i64,
) -> NodeId {
    let op = Convolution {
        strides: vec![stride; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        dilations: vec![1; 2],
        ..Convolution::default()
    };
    let seed = name.bytes().fold(weights.len() as u64, |sum, byte| sum * 31 + u64::from(byte));
    let weights = model.add_constant(format!("{name}/weights"), noise(weights, seed));
    named(model, name, op, &[from, weights.into()])
}

/// A node whose tensor goes by its name.
pub(crate) fn named(model: &mut Model, name: &str, op: impl Into<Op>, inputs: &[ir::Port]) -> NodeId {
    let id = model.add(name, op, inputs).unwrap();
    model.names_mut(id.into()).push(name.to_owned());
    id
}

/// `image [1,3,8,8] -> conv1 -> scale1 -> relu1 -> conv2 -> prob`.
pub(crate) fn small(pad: i64) -> Model {
    let mut model = Model::new("small");
    let image = model.add_parameter("image", ElementType::F32, "[1,3,8,8]".parse().unwrap());
    model.names_mut(image.into()).push("image".to_owned());
    let conv1 = conv(&mut model, "conv1", image.into(), &[4, 3, 3, 3], 1, pad);
    let factors = model.add_constant("factors", noise(&[1, 4, 1, 1], 7));
    let scale =
        named(&mut model, "scale1", Binary::new(BinaryKind::Multiply), &[conv1.into(), factors.into()]);
    let relu = named(&mut model, "relu1", Unary::Relu, &[scale.into()]);
    let conv2 = conv(&mut model, "conv2", relu.into(), &[5, 4, 3, 3], 1, 0);
    let prob = named(&mut model, "prob", Softmax { axis: 1 }, &[conv2.into()]);
    model.add_result("prob/sink_port_0", prob.into()).unwrap();
    model
}

/// Runs a model of one output.
pub(crate) fn run(model: &Model, inputs: &[Tensor]) -> Tensor {
    ir::evaluate(model, inputs).unwrap_or_else(|e| panic!("{e}")).remove(0)
}

/// max |found - want| / max |want|.
#[track_caller]
pub(crate) fn assert_close(found: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(found.shape(), want.shape());
    let (found, want) = (found.to_f64s(), want.to_f64s());
    let difference = found.iter().zip(&want).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max);
    let most = want.iter().fold(0.0, |most: f64, w| w.abs().max(most));
    assert!(difference <= tolerance * most, "{difference} of {most}");
}
