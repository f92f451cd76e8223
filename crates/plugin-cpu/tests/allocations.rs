//! An inference after the first takes no memory from the allocator, on any thread.

mod net;

use ir::device::{HostTensor, PortIndex};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counters are for the whole process: one test at a time.
#[test]
fn memory_is_taken_once() {
    an_inference_allocates_nothing();
    only_tensors_with_gaps_are_copied();
}

fn an_inference_allocates_nothing() {
    for (shape, threads) in [("[1,3,19,19]", "1"), ("[1,3,19,19]", "2"), ("[?,3,?,?]", "2")] {
        let compiled = net::compile(&net::residual(shape), &[("INFERENCE_NUM_THREADS", threads)]);
        let mut request = compiled.create_request().unwrap();
        net::set_input(&mut *request, &[1, 3, 19, 19], 1);
        (0..3).for_each(|_| request.infer().unwrap());
        // Threads that start take memory, and may start late.
        std::thread::sleep(std::time::Duration::from_millis(100));
        (0..3).for_each(|_| request.infer().unwrap());
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..50).for_each(|_| request.infer().unwrap());
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{shape} on {threads} threads");
    }
}

/// The callers' tensors, at their first inference: what is copied needs memory for the copy.
fn only_tensors_with_gaps_are_copied() {
    let compiled = net::compile(&net::residual("[1,3,19,19]"), &[("INFERENCE_NUM_THREADS", "1")]);
    let mut first = compiled.clone().create_request().unwrap();
    first.infer().unwrap();
    let wide = HostTensor::from_vec(&[1, 3, 19, 24], net::numbers(3 * 19 * 24, 1)).unwrap();
    let region = wide.region(&[0..1, 0..3, 0..19, 2..21]).unwrap();
    let dense = HostTensor::from(&region.to_tensor().unwrap());
    let tall = HostTensor::from_vec(&[3, 10], vec![0f32; 30]).unwrap();
    let row = tall.region(&[1..2, 0..10]).unwrap();
    let strided = HostTensor::strided(ir::ElementType::F32, vec![1, 10], vec![120, 12], vec![0u8; 120]);
    assert!(row.is_dense() && !region.is_dense());
    let mut answers = Vec::new();
    for (input, output, copied) in [
        (dense.clone(), row, 0),
        (region.clone(), HostTensor::zeros(ir::ElementType::F32, &[1, 10]).unwrap(), 4 * 3 * 19 * 19),
        (dense, strided.unwrap(), 40),
    ] {
        let mut request = compiled.clone().create_request().unwrap();
        request.set_tensor(PortIndex::Input(0), input).unwrap();
        request.set_tensor(PortIndex::Output(0), output.clone()).unwrap();
        let before = BYTES.load(Ordering::Relaxed);
        request.infer().unwrap();
        let taken = BYTES.load(Ordering::Relaxed) - before;
        assert!((copied..copied + 64).contains(&taken), "{taken} bytes for {copied}");
        answers.push(output.to_tensor().unwrap());
        let before = BYTES.load(Ordering::Relaxed);
        request.infer().unwrap();
        assert_eq!(BYTES.load(Ordering::Relaxed) - before, 0);
    }
    assert!(answers[0] == answers[1] && answers[0] == answers[2]);
}
