//! Programs that say what no compiler would.

use crate::layers::{Case, Random, case};
use plugin_fpga::{
    executor::{Executor, ExecutorError},
    instruction::{DESCRIPTOR_BYTES, Instruction},
    program::Program,
    sim::Simulator,
};
use std::sync::Arc;

fn load(case: &Case, change: impl Fn(&mut Program)) -> Result<(), ExecutorError> {
    let mut program = (*case.program).clone();
    change(&mut program);
    Simulator::new().load(&case.architecture, &Arc::new(program)).map(|_| ())
}

#[test]
fn what_reaches_beyond_is_refused_with_its_instruction() {
    let case = case(3, "fp16");
    let refused = |change: &dyn Fn(&mut Instruction)| {
        let at =
            case.program.instructions.iter().position(|i| matches!(i, Instruction::Convolve(_))).unwrap();
        match load(&case, |program| change(&mut program.instructions[at])) {
            Err(ExecutorError::Instruction { index, what }) => {
                assert_eq!(index, at);
                what
            }
            other => panic!("{other:?}"),
        }
    };
    let convolve = |instruction: &mut Instruction,
                    change: &dyn Fn(&mut plugin_fpga::instruction::Convolve)| {
        let Instruction::Convolve(c) = instruction else { panic!("no convolution") };
        change(c);
    };
    let what = refused(&|i| convolve(i, &|c| c.input.address = u32::MAX));
    assert!(what.starts_with("the input reaches to word 42949"), "{what}");
    let what = refused(&|i| convolve(i, &|c| c.filters = u32::MAX));
    assert!(what.starts_with("the filters reach to byte"), "{what}");
    let what = refused(&|i| convolve(i, &|c| (c.out_channels, c.in_blocks) = (u16::MAX, u16::MAX)));
    assert!(what.contains("places overlap"), "{what}");
    let what = refused(&|i| convolve(i, &|c| c.zoom[1] = 0));
    assert_eq!(what, "its zoom is 0; it must be at least 1");
}

#[test]
fn programs_for_others_and_too_large_ones_are_refused() {
    let case = case(3, "fp11");
    let other = load(&case, |program| program.architecture.push_str("_more"));
    assert!(matches!(other, Err(ExecutorError::Architecture { .. })));
    let large = load(&case, |program| program.feature_words = u32::MAX);
    assert!(matches!(large, Err(ExecutorError::Device(_))));
    let short = load(&case, |program| program.constants.truncate(64));
    assert!(matches!(short, Err(ExecutorError::Instruction { .. })));
    let mut loaded = Simulator::new().load(&case.architecture, &case.program).unwrap();
    assert!(loaded.write(u32::MAX, &[0]).is_err());
    assert!(loaded.read(case.program.feature_words, &mut [0]).is_err());
}

#[test]
fn a_filter_that_is_no_block_is_refused() {
    let case = case(3, "fp16");
    let spoilt = load(&case, |program| {
        let all = vec![0x7f; program.constants.len()];
        program.constants = ir::Bytes::from(all);
    });
    let Err(ExecutorError::Instruction { what, .. }) = spoilt else { panic!("it was taken") };
    assert!(what.contains("has exponent 127; the largest is 30"), "{what}");
}

#[test]
fn programs_with_changed_bytes_run_or_are_refused() {
    let mut random = Random(11);
    let (mut ran, mut refused) = (0, 0);
    for seed in 0..400 {
        let case = case(seed % 20, "fp11");
        let mut program = (*case.program).clone();
        let at = random.from(0, program.instructions.len() as u64 - 1) as usize;
        let mut bytes = program.instructions[at].encode();
        let byte = random.from(1, DESCRIPTOR_BYTES as u64 - 1) as usize;
        bytes[byte] ^= 1 << random.from(0, 7);
        let Ok(instruction) = Instruction::decode(&bytes) else {
            refused += 1;
            continue;
        };
        program.instructions[at] = instruction;
        match Simulator::new().load(&case.architecture, &Arc::new(program)) {
            Ok(mut loaded) => {
                loaded.launch().unwrap();
                ran += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(ran > 40 && refused > 40, "{ran} ran, {refused} were refused");
}
