//! Whatever the division: the answers are those of one device, to the bit.

mod bench;

use bench::{RestrictedCpu, answers, core, core_without, input};
use ir::{
    ElementType, Model, Port, Tensor,
    device::{Device, HostTensor},
    op::*,
};
use proptest::prelude::*;
use std::sync::Arc;

fn same_bits(expected: &[Tensor], found: &[Tensor]) {
    assert_eq!(expected.len(), found.len());
    for (expected, found) in expected.iter().zip(found) {
        assert_eq!((expected.shape(), expected.bytes()), (found.shape(), found.bytes()));
    }
}

#[test]
fn a_network_answers_the_same_wherever_it_is_cut() {
    for shape in ["[2,3,9,7]", "[?,3,?,?]"] {
        let model = bench::residual(shape);
        let images = [input(&[2, 3, 9, 7], 5)];
        for refused in [
            &[][..],
            &["Convolution"],
            &["ReLU"],
            &["Add", "ReduceMean"],
            &["Reshape"],
            &["ShapeOf"],
            &["Gather", "Softmax"],
            &["Concat", "MatMul"],
        ] {
            let core = core_without(refused);
            let expected = answers(&core, &model, "CPU", &images);
            same_bits(&expected, &answers(&core, &model, "HETERO:CPU2,CPU", &images));
        }
    }
}

/// A node as dice have it: what it computes, from which earlier tensors, and who takes it.
type Throw = (u8, [u16; 2], u8);

/// A network of elementwise ops, products, splits and reshapes on `[rows, 4]`; nodes whose bit 0 (bit 1) is set are
/// refused by CPU2 (CPU3), which their names say.
fn random_model(throws: &[Throw], rows: &str, results: &[u16]) -> Model {
    let mut model = Model::new("random");
    let shape: ir::PartialShape = format!("[{rows},4]").parse().unwrap();
    let mut ports: Vec<Port> = (0..2)
        .map(|i| model.add_parameter(format!("x{i}"), ElementType::F32, shape.clone()).into())
        .collect();
    for (i, (kind, picks, refused)) in throws.iter().enumerate() {
        let pick = |which: usize| ports[picks[which] as usize % ports.len()];
        let name = format!("n{i}_{}", refused & 3);
        let constant = |model: &mut Model, shape: &[usize]| -> Port {
            let count = shape.iter().product();
            let tensor = Tensor::from_slice(shape, &bench::numbers(count, i)).unwrap();
            model.add_constant(format!("c{i}"), tensor).into()
        };
        let new: Port = match kind % 8 {
            0 => model.add(name, Unary::Relu, &[pick(0)]),
            1 => model.add(name, Unary::Tanh, &[pick(0)]),
            2 => model.add(name, Binary::new(BinaryKind::Maximum), &[pick(0), pick(1)]),
            3 => model.add(name, Binary::new(BinaryKind::Subtract), &[pick(0), pick(1)]),
            4 => {
                let c = constant(&mut model, &[4]);
                // What follows from a constant goes with it, and the device may refuse it.
                let c =
                    model.add(format!("f{i}_{}", refused >> 4 & 3), Unary::Negative, &[c]).unwrap().into();
                model.add(name, Binary::new(BinaryKind::Minimum), &[pick(0), c])
            }
            5 => {
                let axis = model.add_constant("axis", Tensor::scalar(1i64)).into();
                let halves = model.add(name, Split { num_splits: 2 }, &[pick(0), axis]).unwrap();
                let parts = [halves.output(1), halves.output(0)];
                model.add(format!("m{i}_{}", refused >> 4 & 3), Concat { axis: 1 }, &parts)
            }
            6 => {
                // A dynamic shape that comes from another device is data to the one that reshapes: the CPU then runs
                // the whole part by reference, whose exponentials differ in the last bit.
                let refused = if rows == "?" { 0 } else { refused >> 4 & 3 };
                let dims = model.add(format!("s{i}_{refused}"), ShapeOf::default(), &[pick(1)]);
                model.add(name, Reshape::default(), &[pick(0), dims.unwrap().into()])
            }
            _ => model.add(name, Softmax { axis: 1 }, &[pick(0)]),
        }
        .unwrap()
        .into();
        ports.push(new);
    }
    let last = *ports.last().unwrap();
    model.add_result("last", last).unwrap();
    for (i, pick) in results.iter().enumerate() {
        let port = ports[*pick as usize % ports.len()];
        model.add_result(format!("r{i}"), port).unwrap();
    }
    model
}

/// The device that refuses nodes by the number at the end of their names.
fn restricted(name: &'static str, bit: u8) -> Arc<dyn Device> {
    let takes = move |node: &ir::Node| {
        let mask = node.name.rsplit('_').next().and_then(|text| text.parse::<u8>().ok());
        mask.is_none_or(|mask| mask & bit == 0)
    };
    Arc::new(RestrictedCpu::new(name, takes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_division_of_any_network_answers_as_one_device(
        throws in prop::collection::vec(any::<Throw>(), 1..24),
        results in prop::collection::vec(any::<u16>(), 0..3),
        is_dynamic in any::<bool>(),
        order in 0..3usize,
    ) {
        let model = random_model(&throws, if is_dynamic { "?" } else { "3" }, &results);
        let core = core([restricted("CPU2", 1), restricted("CPU3", 2)]);
        let inputs: Vec<HostTensor> = (0..2).map(|seed| input(&[3, 4], seed)).collect();
        let device = ["HETERO:CPU2,CPU", "HETERO:CPU2,CPU3,CPU", "HETERO:CPU3,CPU2,CPU"][order];
        let expected = answers(&core, &model, "CPU", &inputs);
        same_bits(&expected, &answers(&core, &model, device, &inputs));
    }
}
