//! A small program's report.

use super::*;
use crate::{
    instruction::{Activation, Convolve, Transfer},
    program::{Channels, Feature, Layer},
    timing::pcie,
};
use ir::ElementType;

const NAME: &str = "4x2x16x32_fp16_sb9408_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr";

fn program() -> Program {
    let transfer = |stream, count| Transfer { layer: 0, stream, memory: 0, count };
    let convolve = Convolve {
        layer: 1,
        input: Map { address: 0, pitch: 1 },
        output: Map { address: 400, pitch: 2 },
        addend: Addend::None,
        activation: Activation::Relu { slope: 0 },
        chained: false,
        filters: 0,
        in_height: 20,
        in_width: 20,
        in_blocks: 1,
        out_height: 20,
        out_width: 20,
        out_channels: 32,
        groups: 1,
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [1, 1],
        zoom: [1, 1],
    };
    let feature = |name: &str, channels: usize, address| Feature {
        name: name.to_owned(),
        element_type: ElementType::F32,
        shape: vec![1, channels, 20, 20],
        address,
        height: 20,
        width: 20,
        channels: vec![Channels { word: 0, count: channels as u32 }],
    };
    let layer = |name: &str, kind: &str, flops| Layer {
        name: name.to_owned(),
        kind: kind.to_owned(),
        fused: Vec::new(),
        flops,
    };
    Program {
        architecture: NAME.to_owned(),
        instructions: vec![
            Instruction::Load(transfer(0, 400)),
            Instruction::Convolve(convolve),
            Instruction::Store(transfer(400, 800)),
            Instruction::End,
        ],
        constants: ir::Bytes::from(vec![0; 32 * 9 * 33 + 128]),
        feature_words: 1200,
        inputs: vec![feature("image", 16, 0)],
        outputs: vec![feature("<answer>", 32, 400)],
        layers: vec![layer("image", "Parameter", 0), layer("<conv> & relu", "Convolution", 3_686_400)],
    }
}

#[test]
fn the_three_forms_agree() {
    let (architecture, program) = (NAME.parse().unwrap(), program());
    let report = Report::new(&architecture, &program);
    let json = report.json();
    let layers = json["layers"].as_array().unwrap();
    let sum: u64 = layers.iter().map(|layer| layer["cycles"].as_u64().unwrap()).sum();
    assert_eq!(json["cycles"].as_u64(), Some(sum));
    assert_eq!(json["buffers"]["stream_words"]["used"], 1200);
    assert_eq!(json["buffers"]["filter_blocks"]["used"], 9);
    assert_eq!(json["ddr_bytes"]["features"], 1200 * 32);
    // 5 x 10 tiles, 9 taps, one portion: the array computes 32 channels of 16 at 400 of 400 places.
    assert_eq!(layers[1]["compute_cycles"], 450);
    assert_eq!(layers[1]["auxiliary_cycles"], 50 * 16);
    assert_eq!(layers[1]["bound"], "auxiliary");

    let text = report.to_string();
    assert!(text.contains(&format!("Total          {sum} cycles")), "{text}");
    assert!(text.contains("1200 of 75264 words") && text.contains("9 of 1024 blocks"), "{text}");
    assert!(text.contains("cycle model; no board was measured"), "{text}");

    let picture = report.picture();
    assert_eq!(picture.matches("<title>").count(), report.estimate.spans.len());
    assert!(picture.contains("&lt;conv&gt; &amp; relu") && !picture.contains("<conv>"), "{picture}");
}

#[test]
fn transfers_are_those_of_the_words() {
    let (architecture, program) = (NAME.parse().unwrap(), program());
    let parts = Report::new(&architecture, &program).parts();
    assert_eq!(parts.write, pcie::write_us(400 * 32));
    assert_eq!(parts.read, pcie::read_us(800 * 32));
}
