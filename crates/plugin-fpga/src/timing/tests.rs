//! Layers whose cycles are counted by hand, and what must hold for all.

use super::*;
use crate::instruction::{Activation, Addend, Auxiliary, Convolve, Map, Pooling, Transfer};
use proptest::prelude::*;

const NAME: &str = "4x2x16x32_fp16_sb9408_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr";

/// A clock and memory of 10 bytes a cycle.
fn architecture(name: &str) -> Architecture {
    let mut architecture: Architecture = name.parse().unwrap();
    architecture.clock_mhz = 100.0;
    architecture.ddr_gb_s = 1.0;
    architecture
}

fn convolve() -> Convolve {
    Convolve {
        layer: 0,
        input: Map { address: 0, pitch: 2 },
        output: Map { address: 2000, pitch: 4 },
        addend: Addend::None,
        activation: Activation::None,
        chained: false,
        filters: 0,
        in_height: 13,
        in_width: 13,
        in_blocks: 2,
        out_height: 13,
        out_width: 13,
        out_channels: 64,
        groups: 1,
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [1, 1],
        zoom: [1, 1],
    }
}

fn pooling() -> Auxiliary {
    Auxiliary {
        layer: 1,
        input: Map { address: 0, pitch: 4 },
        chained: false,
        output: Map { address: 5000, pitch: 4 },
        in_height: 16,
        in_width: 16,
        blocks: 4,
        out_height: 8,
        out_width: 8,
        pooling: Pooling::Max,
        kernel: [2, 2],
        stride: [2, 2],
        pad: [0, 0],
        repeat: [1, 1],
        parameters: 0,
        scaled: false,
        addend: Addend::None,
        norm_size: 0,
        activation: Activation::None,
    }
}

fn estimate(name: &str, instructions: &[Instruction]) -> Estimate {
    Estimate::of(&architecture(name), instructions, &[])
}

/// 32 filters of 18 blocks of 33 bytes, or of 17 in FP11.
const PORTION_BYTES: u64 = 32 * 18 * 33;

#[test]
fn a_convolution_counted_by_hand() {
    let found = estimate(NAME, &[Instruction::Convolve(convolve()), Instruction::End]);
    let layer = &found.layers[0];
    // ceil(13 / 4) ceil(13 / 2) = 28 tiles of 18 taps, for 64 / 32 portions of filters.
    assert_eq!(layer.compute, 28 * 18 * 2);
    // Two values a cycle of 64.
    assert_eq!(layer.auxiliary, 28 * 32);
    assert_eq!(layer.filter_bytes, 2 * PORTION_BYTES + 64 * 4);
    // Both portions and the biases are read, then the second portion is computed.
    let reading = PORTION_BYTES.div_ceil(10);
    assert_eq!(found.cycles, 26 + 2 * reading + 28 * 18 + 32 + 4);
    assert_eq!(layer.cycles, found.cycles);
    assert_eq!(layer.bound(), Bound::Filters);
    let mut quick = architecture(NAME);
    quick.ddr_gb_s = 1e6;
    let quick = Estimate::of(&quick, &[Instruction::Convolve(convolve())], &[]);
    assert_eq!(quick.cycles, 1 + 1 + 28 * 18 * 2 + 36);
    assert_eq!(quick.layers[0].bound(), Bound::Compute);
}

#[test]
fn groups_of_a_depthwise_convolution_waste_the_array() {
    // 64 channels: 4 groups of a word, each a portion of its own, with a half of its filters used.
    let grouped = Convolve { in_blocks: 1, out_channels: 16, groups: 4, ..convolve() };
    let layer = &estimate(NAME, &[Instruction::Convolve(grouped)]).layers[0];
    assert_eq!(layer.compute, 28 * 9 * 4);
    assert_eq!(layer.auxiliary, 28 * 8 * 4);
}

#[test]
fn filters_that_do_not_fit_are_read_for_each_tile() {
    let name = NAME.replace("fcd1024", "fcd17");
    let layer = &estimate(&name, &[Instruction::Convolve(convolve())]).layers[0];
    assert_eq!(layer.filter_bytes, 28 * 2 * PORTION_BYTES + 64 * 4);
}

#[test]
fn a_pooling_takes_what_it_reads() {
    let layer = &estimate(NAME, &[Instruction::Auxiliary(pooling())]).layers[1];
    // 4 x 8 tiles of the input, 64 values at 4 a cycle.
    assert_eq!((layer.compute, layer.auxiliary), (0, 4 * 8 * 16));
    assert_eq!(layer.cycles, 4 * 8 * 16 + 36);
    assert_eq!(layer.bound(), Bound::Auxiliary);
    let normalised = Auxiliary { norm_size: 5, out_height: 15, out_width: 15, stride: [1, 1], ..pooling() };
    let layer = &estimate(NAME, &[Instruction::Auxiliary(normalised)]).layers[1];
    assert_eq!(layer.auxiliary, 4 * 8 * 64);
    assert_eq!(layer.filter_bytes, 1 << 17);
}

#[test]
fn what_is_chained_is_one_pass() {
    let first = Convolve { chained: true, out_height: 16, out_width: 16, ..convolve() };
    let both =
        [Instruction::Convolve(first), Instruction::Auxiliary(Auxiliary { chained: true, ..pooling() })];
    let found = estimate(NAME, &both);
    assert_eq!(found.layers[1].compute, 4 * 8 * 18 * 2);
    assert_eq!(found.layers[1].auxiliary, 4 * 8 * 16);
    let apart =
        [Instruction::Convolve(Convolve { chained: false, ..first }), Instruction::Auxiliary(pooling())];
    assert!(found.cycles < estimate(NAME, &apart).cycles);
}

#[test]
fn transfers_wait_only_for_words_in_use() {
    let load = |stream| Instruction::Load(Transfer { layer: 2, stream, memory: 0, count: 338 });
    let long = 338 * 32 / 10 + 1;
    let alone = estimate(NAME, &[Instruction::Convolve(convolve())]).cycles;
    // Of words that the convolution reads: it waits; of others: it does not, nor do they.
    let needed = estimate(NAME, &[load(0), Instruction::Convolve(convolve())]);
    assert!(needed.cycles > long && needed.cycles <= long + alone);
    let beside = estimate(NAME, &[Instruction::Convolve(convolve()), load(9000)]);
    assert_eq!(beside.cycles, alone.max(26 + 2 * PORTION_BYTES.div_ceil(10) + long));
    let behind = estimate(NAME, &[Instruction::Convolve(convolve()), load(0)]);
    assert_eq!(behind.cycles, alone + long);
    assert_eq!(behind.layers[2].feature_bytes, 338 * 32);
}

#[test]
fn filters_of_the_next_layer_are_read_meanwhile() {
    let small = Convolve { out_channels: 32, ..convolve() };
    let one = estimate(NAME, &[Instruction::Convolve(small)]).cycles;
    let two = estimate(NAME, &[Instruction::Convolve(small), Instruction::Convolve(small)]).cycles;
    assert!(two < 2 * one, "{two} against twice {one}");
}

#[test]
fn numbers_of_a_spoilt_file_end() {
    let all = u16::MAX;
    let huge = Convolve {
        in_height: all,
        in_width: all,
        in_blocks: all,
        out_height: all,
        out_width: all,
        out_channels: all,
        groups: all,
        kernel: [255; 2],
        ..convolve()
    };
    assert_eq!(estimate(NAME, &[Instruction::Convolve(huge); 3]).cycles, u64::MAX);
    let nothing = Convolve { out_channels: 0, groups: 0, out_height: 0, kernel: [0; 2], ..convolve() };
    assert_eq!(estimate(NAME, &[Instruction::Convolve(nothing)]).cycles, 36);
}

proptest! {
    /// The pace of many portions is that of a look at each: a layer of n groups takes what n groups in one program do,
    /// but for pipelines that are emptied.
    #[test]
    fn many_portions_have_an_even_pace(groups in 1..60u16, side in 1..40u16, channels in 1..32u16, rate in 0.1..40.0) {
        let mut board = architecture(NAME);
        board.ddr_gb_s = rate;
        let part = Convolve { out_height: side, out_width: side, out_channels: channels, groups, ..convolve() };
        let cycles = Estimate::of(&board, &[Instruction::Convolve(part)], &[]);
        let layer = &cycles.layers[0];
        let slower = layer.compute.max(layer.auxiliary).max(layer.filter_cycles);
        prop_assert!(cycles.cycles >= slower);
        let portion = layer.compute.max(layer.auxiliary) / u64::from(groups) + layer.filter_cycles / u64::from(groups);
        prop_assert!(cycles.cycles <= slower + portion + 3 * u64::from(groups) + 100);
    }

    /// More of anything never takes longer.
    #[test]
    fn a_better_board_is_never_slower(side in 1..40u16, channels in 1..200u16, blocks in 1..40u16, rate in 0.1..40.0) {
        let part = Convolve { out_height: side, out_width: side, out_channels: channels, in_blocks: blocks, ..convolve() };
        let program = [Instruction::Convolve(part), Instruction::Auxiliary(pooling()), Instruction::Convolve(part)];
        let mut board = architecture(NAME);
        board.ddr_gb_s = rate;
        let base = Estimate::of(&board, &program, &[]).cycles;
        let faster = Architecture { ddr_gb_s: 2.0 * rate, ..board.clone() };
        prop_assert!(Estimate::of(&faster, &program, &[]).cycles <= base);
        let wider = Architecture { output_width: 8, pool_vector: 8, ..board };
        prop_assert!(Estimate::of(&wider, &program, &[]).cycles <= base);
    }
}
