//! An inference after the first takes no memory from the allocator, on any thread.

mod net;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
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

#[test]
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
