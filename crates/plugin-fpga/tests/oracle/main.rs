//! The simulator against an oracle: `SPEC.md` in slow exact integers, which shares nothing with the simulator's numbers.

mod exact;
mod layers;
mod machine;
mod opencl;
mod refusals;

use layers::{Case, Random, case};
use plugin_fpga::{
    architecture::Precision,
    executor::Executor,
    number,
    sim::{InstructionSet, Simulator},
};

const PRECISIONS: [(Precision, &str); 2] = [(Precision::Fp11, "fp11"), (Precision::Fp16, "fp16")];

/// What an executor leaves in the features' memory.
fn run(executor: &dyn Executor, case: &Case) -> Vec<u16> {
    let mut loaded = executor.load(&case.architecture, &case.program).unwrap();
    loaded.write(0, &case.features).unwrap();
    loaded.launch().unwrap();
    let mut features = vec![0; case.features.len()];
    loaded.read(0, &mut features).unwrap();
    features
}

/// The places where two memories differ, and what is there.
fn differences(found: &[u16], expected: &[u16]) -> Vec<(usize, u16, u16)> {
    let both = found.iter().zip(expected).enumerate();
    both.filter(|(_, (found, expected))| found != expected).map(|(i, (f, e))| (i, *f, *e)).take(5).collect()
}

#[test]
fn ten_thousand_blocks_have_the_oracles_bits() {
    for (precision, _) in PRECISIONS {
        let mut random = Random(6);
        for number in 0..10_000 {
            let count = 2 * random.from(1, 32) as usize;
            // Some narrow in their exponents, some wide, some with any bits at all.
            let spread = random.from(0, 15) as u16;
            let values: Vec<u16> = (0..count)
                .map(|_| match number % 4 {
                    0 => random.next() as u16,
                    1 => random.half(),
                    _ => {
                        random.next() as u16 & 0x83ff
                            | (15 + random.from(0, spread.into()) as u16 - spread / 2) << 10
                    }
                })
                .collect();
            let mut mantissas = vec![0; count];
            let exponent = number::block(&values, precision, &mut mantissas);
            let mantissas: Vec<i32> = mantissas.into_iter().map(i32::from).collect();
            let expected = exact::block(&values, precision.mantissa_bits() as i32);
            assert_eq!((exponent, mantissas), expected, "{precision:?}, {values:x?}");
        }
    }
}

#[test]
fn every_fp16_beside_every_exponent_has_the_oracles_bits() {
    for (precision, _) in PRECISIONS {
        for bits in 0..=u16::MAX {
            for exponent in [0, 1, 5, 15, 16, 29, 30, 31] {
                let values = [bits, exponent << 10];
                let mut mantissas = [0; 2];
                let found = number::block(&values, precision, &mut mantissas);
                let expected = exact::block(&values, precision.mantissa_bits() as i32);
                assert_eq!((found, mantissas.map(i32::from).to_vec()), expected, "{precision:?} {values:x?}");
            }
        }
    }
}

#[test]
fn random_layers_have_the_oracles_bits_on_every_instruction_set_and_number_of_threads() {
    for (_, precision) in PRECISIONS {
        for seed in 0..150 {
            let case = case(seed, precision);
            let mut oracle = machine::Machine::new(&case.architecture, &case.program);
            oracle.features.copy_from_slice(&case.features);
            oracle.run();
            for set in InstructionSet::available() {
                for threads in [1, 3] {
                    let simulator = Simulator::new().with_instruction_set(set).with_threads(threads);
                    let found = run(&simulator, &case);
                    let wrong = differences(&found, &oracle.features);
                    assert!(
                        wrong.is_empty(),
                        "seed {seed} {precision} {} {threads} threads: {wrong:x?}\n{:?}",
                        set.name(),
                        case.program.instructions
                    );
                }
            }
        }
    }
}
