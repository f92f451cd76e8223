//! One inference: images in, the program, answers out. A board works for one inference at a time.

use crate::{
    device::{Compiled, OnBoard, failed},
    executor::Counters,
    remote::{CardTensor, Reading, Writing},
    room::Room,
    settings::NAME,
    timing::timeline::Parts,
    words::{floats, from_words, store, to_words, values_of},
};
use ir::device::{
    CompiledModel, Completion, DeviceError, DeviceResult, HostTensor, InferRequest, LayerStatus, PortIndex,
    PortInfo, ProfileRow, RemoteTensor,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

type Job = Box<dyn FnOnce() + Send>;

/// The thread that computes on a board, for all networks that lie there.
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
    /// Who computes on the board now, on this thread or a caller's.
    board: Mutex<()>,
    room: Arc<Room>,
}

/// Every critical section below leaves whole values behind.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// For a board with so many bytes of memory.
    pub(crate) fn new(memory: u64) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        // Ends when the device, and all networks on the board, are gone.
        thread::spawn(move || queue.into_iter().for_each(|job| job()));
        Self { jobs, board: Mutex::new(()), room: Room::new(memory) }
    }

    /// The board's memory.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }
}

/// What an inference took; all but the device and the bus is measured on the host.
#[derive(Clone, Copy, Default)]
struct Times {
    preprocessing: Duration,
    postprocessing: Duration,
    copy: Duration,
    counters: Counters,
    parts: Parts,
}

/// The memory of a port.
#[derive(Clone)]
enum Bound {
    Host(HostTensor),
    Card(Arc<CardTensor>),
}

/// What an inference reads, held from its start to its end where it is the card's.
enum Source {
    Host(HostTensor),
    Card(Reading),
}

/// What it writes.
enum Sink {
    Host(HostTensor),
    Card(Writing),
}

/// The ports of an inference that was started.
struct Flight {
    sources: Vec<Source>,
    sinks: Vec<Sink>,
}

impl Bound {
    fn source(&self) -> DeviceResult<Source> {
        Ok(match self {
            Self::Host(tensor) => Source::Host(tensor.clone()),
            Self::Card(tensor) => Source::Card(tensor.reading()?),
        })
    }

    fn sink(&self) -> DeviceResult<Sink> {
        Ok(match self {
            Self::Host(tensor) => Sink::Host(tensor.clone()),
            Self::Card(tensor) => Sink::Card(tensor.writing()?),
        })
    }
}

struct State {
    on_board: OnBoard,
    inputs: Vec<Bound>,
    outputs: Vec<Bound>,
    times: Option<Times>,
}

impl State {
    fn port(&mut self, index: PortIndex) -> DeviceResult<&mut Bound> {
        let found = match index {
            PortIndex::Input(i) => self.inputs.get_mut(i),
            PortIndex::Output(i) => self.outputs.get_mut(i),
        };
        found.ok_or_else(|| failed(format!("there is no {index:?}")))
    }

    /// True when a tensor lies at another port and at one of the two is written.
    fn would_overlap(&self, index: PortIndex, tensor: &Arc<CardTensor>) -> bool {
        let lies_at = |bound: &Bound| matches!(bound, Bound::Card(other) if Arc::ptr_eq(other, tensor));
        let other = |port: PortIndex, bound: &Bound| port != index && lies_at(bound);
        self.outputs.iter().enumerate().any(|(i, bound)| other(PortIndex::Output(i), bound))
            || matches!(index, PortIndex::Output(_)) && self.inputs.iter().any(lies_at)
    }

    fn flight(&self) -> DeviceResult<Flight> {
        Ok(Flight {
            sources: self.inputs.iter().map(Bound::source).collect::<DeviceResult<_>>()?,
            sinks: self.outputs.iter().map(Bound::sink).collect::<DeviceResult<_>>()?,
        })
    }
}

struct Shared {
    compiled: Arc<Compiled>,
    state: Mutex<State>,
    is_running: AtomicBool,
    is_cancelled: AtomicBool,
}

/// A request of the device.
pub(crate) struct Request {
    shared: Arc<Shared>,
}

impl Request {
    pub(crate) fn new(compiled: Arc<Compiled>, on_board: OnBoard) -> DeviceResult<Self> {
        let own = |ports: &[PortInfo]| -> DeviceResult<Vec<Bound>> {
            let zeros = |port: &PortInfo| {
                let shape = port.ty.shape.sizes().unwrap_or_default();
                HostTensor::zeros(port.ty.element_type, &shape).map(Bound::Host).map_err(failed)
            };
            ports.iter().map(zeros).collect()
        };
        let (inputs, outputs) = (own(compiled.inputs())?, own(compiled.outputs())?);
        let shared = Shared {
            compiled,
            state: Mutex::new(State { on_board, inputs, outputs, times: None }),
            is_running: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn idle(&self) -> DeviceResult<MutexGuard<'_, State>> {
        if self.shared.is_running.load(Ordering::Acquire) {
            Err(busy())
        } else {
            Ok(lock(&self.shared.state))
        }
    }

    fn begin(&self) -> DeviceResult<Flight> {
        if self.shared.is_running.swap(true, Ordering::AcqRel) {
            return Err(busy());
        }
        self.shared.is_cancelled.store(false, Ordering::Release);
        let flight = lock(&self.shared.state).flight();
        flight.inspect_err(|_| self.shared.is_running.store(false, Ordering::Release))
    }
}

fn busy() -> DeviceError {
    DeviceError::Busy("the request".to_owned())
}

impl Shared {
    /// Runs it and lets go of what it holds.
    fn run(&self, flight: Flight) -> DeviceResult<()> {
        let board = lock(&self.compiled.worker.board);
        if self.is_cancelled.load(Ordering::Acquire) {
            return Err(DeviceError::Cancelled);
        }
        let state = &mut *lock(&self.state);
        state.times = None;
        let mut times = Times::default();
        let vector = self.compiled.architecture().input_vector as usize;
        let Compiled { program, estimate, .. } = &*self.compiled;
        let loaded = &mut state.on_board.loaded;
        times.parts =
            Parts::with_remote(self.compiled.architecture(), program, estimate, |port| match port {
                PortIndex::Input(i) => matches!(flight.sources[i], Source::Card(_)),
                PortIndex::Output(i) => matches!(flight.sinks[i], Sink::Card(_)),
            });
        for (feature, source) in program.inputs.iter().zip(&flight.sources) {
            let tensor = match source {
                Source::Host(tensor) => tensor,
                Source::Card(memory) => {
                    loaded.fill(feature.address, &***memory).map_err(failed)?;
                    continue;
                }
            };
            let start = Instant::now();
            let words = to_words(feature, &floats(tensor)?, vector);
            times.preprocessing += start.elapsed();
            loaded.write(feature.address, &words).map_err(failed)?;
        }
        times.counters = loaded.launch().map_err(failed)?;
        drop(board);
        for (feature, sink) in program.outputs.iter().zip(flight.sinks) {
            let tensor = match sink {
                Sink::Host(tensor) => tensor,
                Sink::Card(mut memory) => {
                    loaded.drain(feature.address, &mut **memory).map_err(failed)?;
                    continue;
                }
            };
            let mut words = vec![0; values_of(feature, vector)];
            loaded.read(feature.address, &mut words).map_err(failed)?;
            let start = Instant::now();
            let values = from_words(feature, &words, vector);
            times.postprocessing += start.elapsed();
            let start = Instant::now();
            store(&tensor, &values)?;
            times.copy += start.elapsed();
        }
        state.times = Some(times);
        Ok(())
    }
}

impl InferRequest for Request {
    fn set_tensor(&mut self, index: PortIndex, tensor: HostTensor) -> DeviceResult<()> {
        let (port, _) = self.shared.compiled.port(index)?;
        if port.ty.element_type != tensor.element_type() || !port.ty.shape.admits(tensor.shape()) {
            return Err(DeviceError::Tensor {
                port: format!("`{}`", port.name()),
                expected: port.ty.to_string(),
                found: format!("{tensor:?}"),
            });
        }
        *self.idle()?.port(index)? = Bound::Host(tensor);
        Ok(())
    }

    fn set_remote(&mut self, index: PortIndex, tensor: Arc<dyn RemoteTensor>) -> DeviceResult<()> {
        let mut state = self.idle()?;
        let compiled = &self.shared.compiled;
        let (port, feature) = compiled.port(index)?;
        let tensor = CardTensor::of(tensor, compiled, port, feature)?;
        if state.would_overlap(index, &tensor) {
            return Err(DeviceError::Tensor {
                port: format!("`{}`", port.name()),
                expected: "memory of its own, since an output is written: take two tensors and swap them"
                    .to_owned(),
                found: "a tensor that is set at another port of the request".to_owned(),
            });
        }
        *state.port(index)? = Bound::Card(tensor);
        Ok(())
    }

    fn tensor(&self, index: PortIndex) -> DeviceResult<HostTensor> {
        // While the inference runs its tensors are held, but the handles may be had.
        match lock(&self.shared.state).port(index)? {
            Bound::Host(tensor) => Ok(tensor.clone()),
            Bound::Card(_) => {
                let name = self.shared.compiled.port(index)?.0.name();
                let what = format!(
                    "`{name}` in the host's memory while a remote tensor is set there: copy from that one, or set a \
                     `HostTensor`"
                );
                Err(DeviceError::NotOffered { device: self.shared.compiled.place(), what })
            }
        }
    }

    fn infer(&mut self) -> DeviceResult<()> {
        let flight = self.begin()?;
        let result = self.shared.run(flight);
        self.shared.is_running.store(false, Ordering::Release);
        result
    }

    fn start(&mut self, done: Completion) -> DeviceResult<()> {
        let flight = self.begin()?;
        let shared = self.shared.clone();
        let job: Job = Box::new(move || {
            // Whoever waits is told even then.
            let outcome = catch_unwind(AssertUnwindSafe(|| shared.run(flight)));
            let result = outcome.unwrap_or_else(|_| Err(failed("the inference panicked")));
            shared.is_running.store(false, Ordering::Release);
            done(result);
        });
        self.shared.compiled.worker.jobs.send(job).map_err(|_| {
            self.shared.is_running.store(false, Ordering::Release);
            failed("the board's thread has ended")
        })
    }

    fn cancel(&self) {
        self.shared.is_cancelled.store(true, Ordering::Release);
    }

    /// Intel's six rows: "FPGA execution does not separate individual kernels". What the bus and the device take is the
    /// model's; the rest was measured.
    fn profile(&self) -> Vec<ProfileRow> {
        let compiled = &self.shared.compiled;
        let Some(times) = lock(&self.shared.state).times.filter(|_| compiled.settings.profile) else {
            return Vec::new();
        };
        let parts = times.parts;
        let microseconds = |time: f64| Duration::from_secs_f64(time / 1e6);
        let row = |name: &str, exec_type: &str, real_time: Duration, cpu_time: Duration| ProfileRow {
            name: name.to_owned(),
            status: LayerStatus::Executed,
            layer_type: String::new(),
            exec_type: exec_type.to_owned(),
            real_time,
            cpu_time,
            span: None,
        };
        let host = |name, time| row(name, "HOST", time, time);
        let model = |name, exec_type, time| row(name, exec_type, microseconds(time), Duration::ZERO);
        let mut rows = vec![
            host("1. input preprocessing (mean data/FPGA)", times.preprocessing),
            model("2. input transfer to DDR", "PCIE_MODEL", parts.write),
            model("3. FPGA execute time", "DLA_MODEL", parts.device),
            model("4. output transfer from DDR", "PCIE_MODEL", parts.read),
            host("5. FPGA output postprocessing", times.postprocessing),
            host("6. copy to IE blob", times.copy),
        ];
        // No part of the total: these say more about the same time, or about the simulator.
        let aside = |name: String, layer_type: &str, exec_type: String| ProfileRow {
            status: LayerStatus::NotRun,
            layer_type: layer_type.to_owned(),
            ..row(&name, &exec_type, Duration::ZERO, Duration::ZERO)
        };
        if compiled.settings.estimation {
            let name = "FPGA theoretical execute time".to_owned();
            rows.push(aside(name, "", format!("DLA_MODEL {:.0} us", parts.device)));
        }
        if compiled.settings.layers {
            for layer in compiled.estimate.layers.iter().filter(|layer| layer.cycles > 0) {
                let time = layer.cycles as f64 / compiled.estimate.clock_mhz;
                let how = format!("DLA_MODEL {time:.1} us, bound by {}", layer.bound().name());
                rows.push(aside(layer.name.clone(), &layer.kind, how));
            }
        }
        let executor = compiled.executor.name();
        let host = times.counters.host.as_micros();
        rows.push(aside(format!("{executor} on the host"), "", format!("{NAME}_{executor} {host} us")));
        rows
    }
}
