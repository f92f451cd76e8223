//! Stream buffers of every depth: the same bits.

use super::*;
use crate::instruction::Instruction;
use ir::op::{Concat, GroupConvolution};
use proptest::prelude::*;

/// A network of random layers; every result of it is an output or read by one.
fn random(seed: u64) -> Net {
    let mut net = Net::new(seed);
    let input = net.input(&[1, 3, 14, 9]);
    let mut maps = vec![input];
    for _ in 0..8 {
        let from = maps[maps.len() - 1 - net.numbers.below(maps.len().min(3))];
        let shape = net.model.ty(from).shape.sizes().unwrap();
        let same: Vec<Port> = maps
            .iter()
            .copied()
            .filter(|map| net.model.ty(*map).shape.sizes().unwrap()[2..] == shape[2..])
            .collect();
        let other = same[net.numbers.below(same.len())];
        let map = match net.numbers.below(8) {
            0 | 1 => {
                let outputs = 1 + net.numbers.below(30);
                net.convolution(from, outputs, 3, 1)
            }
            2 if shape[2] > 4 => net.max_pool(from, 3, 2, 1),
            3 => {
                let from = net.convolution(from, 24, 1, 1);
                let from = net.relu(from);
                net.max_pool(from, 3, 1, 1)
            }
            4 => net.add(Concat { axis: 1 }, &[from, other]),
            5 => {
                let channels = shape[1];
                let weights = net.constant(&[channels, 1, 1, 3, 3], 0.4);
                let op = GroupConvolution {
                    strides: vec![1; 2],
                    pads_begin: vec![1; 2],
                    pads_end: vec![1; 2],
                    dilations: vec![1; 2],
                    ..GroupConvolution::default()
                };
                net.add(op, &[from, weights])
            }
            6 => {
                let (a, b) = (net.convolution(from, 16, 1, 1), net.convolution(other, 16, 3, 1));
                let sum = net.sum(a, b);
                net.relu(sum)
            }
            _ => {
                let from = net.bias(from);
                net.relu(from)
            }
        };
        maps.push(map);
    }
    for map in maps {
        if net.model.consumers(map).is_empty() {
            net.result(map);
        }
    }
    net
}

fn moved(program: &Program) -> u64 {
    let words = |instruction: &Instruction| match instruction {
        Instruction::Load(transfer) | Instruction::Store(transfer) => u64::from(transfer.count),
        _ => 0,
    };
    program.instructions.iter().map(words).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_smaller_stream_buffer_never_gives_other_bits(seed in any::<u64>(), depth in 64..600u32) {
        let mut net = random(seed);
        let inputs = net.inputs();
        let compiled = |depth| compile(&net.model, &architecture("fp11", depth));
        let large = Arc::new(compiled(1 << 16).unwrap());
        let Ok(small) = compiled(depth).map(Arc::new) else {
            let refused = super::super::query(&net.model, &architecture("fp11", depth)).unwrap().refused;
            prop_assert!(!refused.is_empty());
            return Ok(());
        };
        let expected = run(&large, &architecture("fp11", 1 << 16), &inputs);
        prop_assert_eq!(run(&small, &architecture("fp11", depth), &inputs), expected);
        prop_assert!(moved(&small) >= moved(&large));
    }

    #[test]
    fn what_is_taken_compiles_alone_too(seed in any::<u64>(), depth in 64..300u32) {
        let net = random(seed);
        let architecture = architecture("fp16", depth);
        let taken = super::super::query(&net.model, &architecture).unwrap().supported;
        for (id, node) in net.model.nodes().filter(|(_, node)| taken.contains(&node.name)) {
            if node.inputs().is_empty() || matches!(node.op, ir::Op::OpResult(_)) {
                continue;
            }
            let mut alone = Model::new("alone");
            let mut inputs: Vec<Port> = Vec::new();
            for port in node.inputs() {
                let ty = net.model.ty(*port);
                inputs.push(match net.model.constant(*port) {
                    Some(tensor) => alone.add_constant("constant", tensor.clone()).into(),
                    None => alone.add_parameter("cut", ty.element_type, ty.shape.clone()).into(),
                });
            }
            let only = alone.add(node.name.clone(), node.op.clone(), &inputs).unwrap();
            alone.add_result("end", only.into()).unwrap();
            let program = compile(&alone, &architecture);
            prop_assert!(program.is_ok(), "{} {:?}: {:?}", node.name, id, program.err());
        }
    }
}

/// The same networks in each run: in one of some hundreds the terms of an output cancel, and rounding is all of it.
#[test]
fn random_networks_give_what_the_reference_gives() {
    (0..60).for_each(|seed| random(seed).check());
}

#[test]
fn slices_and_spills_happen() {
    let mut net = Net::new(2);
    let x = net.input(&[1, 3, 30, 20]);
    let a = net.convolution(x, 30, 3, 1);
    let b = net.convolution(a, 30, 3, 1);
    let c = net.sum(a, b);
    let c = net.relu(c);
    let y = net.max_pool(c, 2, 2, 0);
    net.result(y);
    let count = |depth| {
        let program = compile(&net.model, &architecture("fp16", depth)).unwrap();
        let array = |instruction: &&Instruction| matches!(instruction, Instruction::Convolve(_));
        (program.instructions.iter().filter(array).count(), moved(&program))
    };
    // 600 words in, 150 x 4 out: with room for all nothing else moves.
    assert_eq!(count(4096), (2, 600 + 600));
    let (convolutions, words) = count(512);
    assert!(convolutions > 4 && words > 6000, "{convolutions} {words}");
    let refused = super::super::query(&net.model, &architecture("fp16", 64)).unwrap().refused;
    let (name, reason) = &refused[0];
    assert_eq!(*name, net.model.node(b.node).name);
    assert!(reason.contains("320 words of the stream buffer, which has 256"), "{reason}");
}
