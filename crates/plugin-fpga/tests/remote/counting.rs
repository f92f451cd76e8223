//! The simulator, with a counter at the bus and a gate before every run.

use plugin_fpga::{
    architecture::Architecture,
    executor::{CardMemory, Counters, Executor, ExecutorError, Loaded},
    program::Program,
    sim::Simulator,
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

#[derive(Default)]
struct Bus {
    written: AtomicUsize,
    read: AtomicUsize,
    gate: Mutex<()>,
}

#[derive(Default)]
pub(crate) struct Counting {
    simulator: Simulator,
    bus: Arc<Bus>,
}

fn lock(gate: &Mutex<()>) -> MutexGuard<'_, ()> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counting {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn reset(&self) {
        self.bus.written.store(0, Ordering::SeqCst);
        self.bus.read.store(0, Ordering::SeqCst);
    }

    /// How many feature maps were written and read over the bus.
    pub(crate) fn crossed(&self) -> [usize; 2] {
        [self.bus.written.load(Ordering::SeqCst), self.bus.read.load(Ordering::SeqCst)]
    }

    /// Nothing runs until the guard is dropped.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        lock(&self.bus.gate)
    }
}

impl Executor for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn load(
        &self,
        architecture: &Architecture,
        program: &Arc<Program>,
    ) -> Result<Box<dyn Loaded>, ExecutorError> {
        let loaded = self.simulator.load(architecture, program)?;
        Ok(Box::new(Counted { loaded, bus: self.bus.clone() }))
    }

    fn allocate(&self, values: usize) -> Result<Box<dyn CardMemory>, ExecutorError> {
        self.simulator.allocate(values)
    }

    fn reaches(&self, memory: &dyn CardMemory) -> bool {
        self.simulator.reaches(memory)
    }
}

struct Counted {
    loaded: Box<dyn Loaded>,
    bus: Arc<Bus>,
}

impl Loaded for Counted {
    fn write(&mut self, address: u32, values: &[u16]) -> Result<(), ExecutorError> {
        self.bus.written.fetch_add(1, Ordering::SeqCst);
        self.loaded.write(address, values)
    }

    fn fill(&mut self, address: u32, from: &dyn CardMemory) -> Result<(), ExecutorError> {
        self.loaded.fill(address, from)
    }

    fn drain(&mut self, address: u32, to: &mut dyn CardMemory) -> Result<(), ExecutorError> {
        self.loaded.drain(address, to)
    }

    fn launch(&mut self) -> Result<Counters, ExecutorError> {
        drop(lock(&self.bus.gate));
        self.loaded.launch()
    }

    fn read(&mut self, address: u32, values: &mut [u16]) -> Result<(), ExecutorError> {
        self.bus.read.fetch_add(1, Ordering::SeqCst);
        self.loaded.read(address, values)
    }
}
