//! Single ops against their reference, on every instruction set: random shapes and attributes, and the edges.

mod computing;
mod detecting;
mod moving;

use super::tests::{Net, check};
use ir::{
    ElementType, Op, PartialShape, Port, Tensor,
    device::{LayerStatus, ProfileRow},
    op::*,
};

/// A network of single ops, one behind an output each, none of which may run by the reference.
struct Case(Net);

impl Case {
    fn new(seed: u64) -> Self {
        Self(Net::new(seed * 6151 + 3))
    }

    fn data(&mut self, ty: ElementType, shape: &[usize]) -> Port {
        let name = format!("x{}", self.0.model.parameters().len());
        self.0.model.add_parameter(name, ty, PartialShape::fixed(shape)).into()
    }

    fn f32(&mut self, shape: &[usize]) -> Port {
        self.data(ElementType::F32, shape)
    }

    /// An op whose outputs are the network's.
    fn op(&mut self, op: impl Into<Op>, inputs: &[Port]) -> Port {
        let port = self.0.add(op, inputs);
        for i in 0..self.0.model.node(port.node).outputs().len() {
            self.0.result(port.node.output(i));
        }
        port
    }

    /// Compares, and gives the names of the kernels.
    fn check(mut self, what: &str) -> Vec<ProfileRow> {
        let profile = check(&mut self.0, what);
        let slow = profile.iter().find(|row| row.exec_type == "ref_any");
        assert!(slow.is_none(), "{what}: {slow:?}\n{}", self.0.model);
        profile.into_iter().filter(|row| row.status == LayerStatus::Executed).collect()
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.random.below(n)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        self.0.random.one_of(all)
    }

    /// From 1 to `most`.
    fn size(&mut self, most: usize) -> usize {
        1 + self.below(most)
    }

    fn shape(&mut self, rank: usize, most: usize) -> Vec<usize> {
        (0..rank).map(|_| self.size(most)).collect()
    }
}

const TYPES: [ElementType; 6] = [
    ElementType::F32,
    ElementType::F16,
    ElementType::I64,
    ElementType::I32,
    ElementType::U8,
    ElementType::Boolean,
];

/// A value that comes in channel blocks: what follows must take it as it is or reorder it.
fn blocked(case: &mut Case, shape: [usize; 4]) -> Port {
    let [n, c, h, w] = shape;
    let x = case.f32(&[n, 3, h, w]);
    case.0.conv(x, c, 1, 1)
}

/// A shape that broadcasts to `shape`.
fn smaller(case: &mut Case, shape: &[usize]) -> Vec<usize> {
    let skipped = case.below(shape.len() + 1);
    shape[skipped..].iter().map(|size| if case.below(3) == 0 { 1 } else { *size }).collect()
}

/// Data in any layout of rank 3 to 5: as it comes, in channel blocks, or turned.
fn any_data(case: &mut Case) -> (Port, Vec<usize>) {
    let rank = 3 + case.below(3);
    let mut shape = case.shape(rank, 6);
    shape[1] = case.one_of(&[1, 3, 8, 16, 20, 33]);
    let x = match case.below(3) {
        0 if rank == 4 => blocked(case, [shape[0], shape[1], shape[2], shape[3]]),
        1 => {
            let mut order: Vec<i64> = (0..rank as i64).collect();
            order.swap(1, rank - 1);
            let mut turned = shape.clone();
            turned.swap(1, rank - 1);
            let x = case.f32(&turned);
            case.0.transpose(x, &order)
        }
        _ => case.f32(&shape),
    };
    (x, shape)
}

/// Some axes of `rank`, from either end.
fn some_axes(case: &mut Case, rank: usize) -> Vec<i64> {
    let mut axes: Vec<i64> = (0..rank as i64).filter(|_| case.below(2) == 0).collect();
    if axes.is_empty() {
        axes.push(case.below(rank) as i64);
    }
    axes.iter_mut().for_each(|axis| *axis -= case.below(2) as i64 * rank as i64);
    axes
}
