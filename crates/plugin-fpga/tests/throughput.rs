//! How fast the simulator is, on the convolutions of ResNet50.

use plugin_fpga::{
    architecture::Architecture,
    executor::Executor,
    instruction::{Convolve, Instruction, Map},
    program::Program,
    sim::{InstructionSet, Simulator},
};
use std::{sync::Arc, time::Duration};

/// How often, side of the input, its channels, output channels, kernel, stride.
const RESNET50: &[(u32, u16, u16, u16, u8, u8)] = &[
    (1, 224, 3, 64, 7, 2),
    (1, 56, 64, 64, 1, 1),
    (3, 56, 64, 64, 3, 1),
    (4, 56, 64, 256, 1, 1),
    (2, 56, 256, 64, 1, 1),
    (1, 56, 256, 128, 1, 2),
    (4, 28, 128, 128, 3, 1),
    (4, 28, 128, 512, 1, 1),
    (1, 56, 256, 512, 1, 2),
    (3, 28, 512, 128, 1, 1),
    (1, 28, 512, 256, 1, 2),
    (6, 14, 256, 256, 3, 1),
    (6, 14, 256, 1024, 1, 1),
    (1, 28, 512, 1024, 1, 2),
    (5, 14, 1024, 256, 1, 1),
    (1, 14, 1024, 512, 1, 2),
    (3, 7, 512, 512, 3, 1),
    (3, 7, 512, 2048, 1, 1),
    (1, 14, 1024, 2048, 1, 2),
    (2, 7, 2048, 512, 1, 1),
    (1, 1, 2048, 1000, 1, 1),
];

/// A program of one convolution. All filters are blocks of exponent 15 with mantissas of 21, FP11 or FP16.
fn program(architecture: &Architecture, layer: (u32, u16, u16, u16, u8, u8)) -> (Arc<Program>, f64) {
    let (_, side, channels, out_channels, kernel, stride) = layer;
    let blocks = architecture.blocks(channels.into()) as u16;
    let out = side.div_ceil(stride.into());
    let out_words = architecture.blocks(out_channels.into());
    let convolve = Convolve {
        layer: 0,
        input: Map { address: 0, pitch: blocks },
        output: Map { address: u32::from(side).pow(2) * u32::from(blocks), pitch: out_words as u16 },
        addend: Default::default(),
        activation: Default::default(),
        chained: false,
        filters: 0,
        in_height: side,
        in_width: side,
        in_blocks: blocks,
        out_height: out,
        out_width: out,
        out_channels,
        groups: 1,
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        pad: [kernel / 2; 2],
        zoom: [1; 2],
    };
    let taps = usize::from(kernel).pow(2) * usize::from(blocks);
    let all = usize::from(out_channels).next_multiple_of(architecture.output_vector as usize);
    let size = if architecture.precision.mantissa_bits() == 6 { 1 } else { 2 };
    let mut constants = vec![0; (4 * all).next_multiple_of(64)];
    constants.resize(constants.len() + (all * taps).next_multiple_of(64), 15);
    let mantissas = all * taps * architecture.input_vector as usize;
    constants.extend((0..mantissas * size).map(|byte| if byte % size == 0 { 21u8 } else { 0 }));
    constants.resize(constants.len().next_multiple_of(64), 0);
    let program = Program {
        architecture: architecture.to_string(),
        instructions: vec![Instruction::Convolve(convolve), Instruction::End],
        constants: ir::Bytes::from(constants),
        feature_words: 0,
        inputs: Vec::new(),
        outputs: Vec::new(),
        layers: Vec::new(),
    };
    let macs =
        f64::from(out).powi(2) * f64::from(kernel).powi(2) * f64::from(channels) * f64::from(out_channels);
    (Arc::new(program), macs)
}

#[test]
#[ignore = "measures time: run it in release with --nocapture"]
fn convolutions_of_resnet50() {
    for precision in ["fp16", "fp11"] {
        let name =
            format!("4x2x16x32_{precision}_sb131072_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr");
        let architecture: Architecture = name.parse().unwrap();
        for set in InstructionSet::available() {
            let simulator = Simulator::new().with_instruction_set(set);
            let (mut time, mut work) = (Duration::ZERO, 0.0);
            for layer in RESNET50 {
                let (program, macs) = program(&architecture, *layer);
                let mut loaded = simulator.load(&architecture, &program).unwrap();
                let runs = (0..4).map(|_| loaded.launch().unwrap().host);
                let best = runs.min().unwrap();
                if set == InstructionSet::best() {
                    println!("{layer:?}: {best:?}, {:.1} GMAC/s", macs / best.as_secs_f64() / 1e9);
                }
                time += best * layer.0;
                work += macs * f64::from(layer.0);
            }
            let rate = work / time.as_secs_f64() / 1e9;
            println!("{precision} {}: {:.2} GMAC in {time:?}, {rate:.1} GMAC/s", set.name(), work / 1e9);
        }
    }
}
