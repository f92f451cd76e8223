//! One inference: images in, the program, answers out. A board works for one inference at a time.

use crate::{
    device::{Compiled, failed},
    executor::{Counters, Loaded},
    number::{from_fp16_slice, to_fp16_slice},
    program::Feature,
    settings::NAME,
};
use ir::{
    ElementType, Tensor,
    device::{
        CompiledModel, Completion, DeviceError, DeviceResult, HostTensor, InferRequest, LayerStatus,
        PortIndex, PortInfo, ProfileRow,
    },
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
}

/// Every critical section below leaves whole values behind.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    pub(crate) fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        // Ends when the device, and all networks on the board, are gone.
        thread::spawn(move || queue.into_iter().for_each(|job| job()));
        Self { jobs, board: Mutex::new(()) }
    }
}

/// What an inference took; all but the device and the bus is measured on the host.
#[derive(Clone, Copy, Default)]
struct Times {
    preprocessing: Duration,
    postprocessing: Duration,
    copy: Duration,
    counters: Counters,
}

struct State {
    loaded: Box<dyn Loaded>,
    inputs: Vec<HostTensor>,
    outputs: Vec<HostTensor>,
    times: Option<Times>,
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
    pub(crate) fn new(compiled: Arc<Compiled>, loaded: Box<dyn Loaded>) -> DeviceResult<Self> {
        let own = |ports: &[PortInfo]| -> DeviceResult<Vec<HostTensor>> {
            let zeros = |port: &PortInfo| {
                let shape = port.ty.shape.sizes().unwrap_or_default();
                HostTensor::zeros(port.ty.element_type, &shape).map_err(failed)
            };
            ports.iter().map(zeros).collect()
        };
        let (inputs, outputs) = (own(compiled.inputs())?, own(compiled.outputs())?);
        let shared = Shared {
            compiled,
            state: Mutex::new(State { loaded, inputs, outputs, times: None }),
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

    fn begin(&self) -> DeviceResult<()> {
        if self.shared.is_running.swap(true, Ordering::AcqRel) {
            return Err(busy());
        }
        self.shared.is_cancelled.store(false, Ordering::Release);
        Ok(())
    }
}

fn busy() -> DeviceError {
    DeviceError::Busy("the request".to_owned())
}

impl Shared {
    fn run(&self) -> DeviceResult<()> {
        let board = lock(&self.compiled.worker.board);
        if self.is_cancelled.load(Ordering::Acquire) {
            return Err(DeviceError::Cancelled);
        }
        let state = &mut *lock(&self.state);
        state.times = None;
        let mut times = Times::default();
        let vector = self.compiled.architecture().input_vector as usize;
        for (feature, tensor) in self.compiled.program.inputs.iter().zip(&state.inputs) {
            let start = Instant::now();
            let words = to_words(feature, &floats(tensor)?, vector);
            times.preprocessing += start.elapsed();
            state.loaded.write(feature.address, &words).map_err(failed)?;
        }
        times.counters = state.loaded.launch().map_err(failed)?;
        drop(board);
        for (feature, tensor) in self.compiled.program.outputs.iter().zip(&state.outputs) {
            let mut words = vec![0; words_of(feature, vector) * vector];
            state.loaded.read(feature.address, &mut words).map_err(failed)?;
            let start = Instant::now();
            let values = from_words(feature, &words, vector);
            times.postprocessing += start.elapsed();
            let start = Instant::now();
            store(tensor, &values)?;
            times.copy += start.elapsed();
        }
        state.times = Some(times);
        Ok(())
    }
}

/// The words of a feature map.
fn words_of(feature: &Feature, vector: usize) -> usize {
    feature.height as usize * feature.width as usize * feature.pitch(vector as u32) as usize
}

/// For each channel, in the order of the tensor: where it lies in the values of a place.
fn channel_places(feature: &Feature, vector: usize) -> impl Iterator<Item = usize> + '_ {
    let piece = move |piece: &crate::program::Channels| {
        let start = piece.word as usize * vector;
        start..start + piece.count as usize
    };
    feature.channels.iter().flat_map(piece)
}

/// From channels first, as the model has them, to places with their channels.
fn to_words(feature: &Feature, values: &[f32], vector: usize) -> Vec<u16> {
    let mut halves = vec![0; values.len()];
    to_fp16_slice(values, &mut halves);
    let pitch = feature.pitch(vector as u32) as usize * vector;
    let places = feature.height as usize * feature.width as usize;
    let mut words = vec![0; places * pitch];
    for (channel, at) in channel_places(feature, vector).enumerate() {
        for (place, value) in halves[channel * places..][..places].iter().enumerate() {
            words[place * pitch + at] = *value;
        }
    }
    words
}

/// The way back.
fn from_words(feature: &Feature, words: &[u16], vector: usize) -> Vec<f32> {
    let pitch = feature.pitch(vector as u32) as usize * vector;
    let places = feature.height as usize * feature.width as usize;
    let mut halves = Vec::with_capacity(feature.shape.iter().product());
    for at in channel_places(feature, vector) {
        halves.extend((0..places).map(|place| words[place * pitch + at]));
    }
    let mut values = vec![0.0; halves.len()];
    from_fp16_slice(&halves, &mut values);
    values
}

fn floats(tensor: &HostTensor) -> DeviceResult<Vec<f32>> {
    let tensor = tensor.to_tensor()?;
    Ok(match tensor.view::<f32>() {
        Ok(values) => values.into_owned(),
        Err(_) => tensor.to_f64s().into_iter().map(|value| value as f32).collect(),
    })
}

fn store(tensor: &HostTensor, values: &[f32]) -> DeviceResult<()> {
    if tensor.element_type() == ElementType::F32 {
        return tensor.copy_from(bytemuck::cast_slice(values));
    }
    let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    let made = Tensor::from_f64s(tensor.element_type(), tensor.shape(), &values).map_err(failed)?;
    tensor.copy_from(made.bytes())
}

fn port(tensors: &mut State, index: PortIndex) -> DeviceResult<&mut HostTensor> {
    let found = match index {
        PortIndex::Input(i) => tensors.inputs.get_mut(i),
        PortIndex::Output(i) => tensors.outputs.get_mut(i),
    };
    found.ok_or_else(|| failed(format!("there is no {index:?}")))
}

impl InferRequest for Request {
    fn set_tensor(&mut self, index: PortIndex, tensor: HostTensor) -> DeviceResult<()> {
        let mut state = self.idle()?;
        let own = port(&mut state, index)?;
        if (own.element_type(), own.shape()) != (tensor.element_type(), tensor.shape()) {
            let describe = |tensor: &HostTensor| format!("{}{:?}", tensor.element_type(), tensor.shape());
            return Err(DeviceError::Tensor {
                port: format!("{index:?}"),
                expected: describe(own),
                found: describe(&tensor),
            });
        }
        *own = tensor;
        Ok(())
    }

    fn tensor(&self, index: PortIndex) -> DeviceResult<HostTensor> {
        // While the inference runs its tensors are held, but the handles may be had.
        Ok(port(&mut lock(&self.shared.state), index)?.clone())
    }

    fn infer(&mut self) -> DeviceResult<()> {
        self.begin()?;
        let result = self.shared.run();
        self.shared.is_running.store(false, Ordering::Release);
        result
    }

    fn start(&mut self, done: Completion) -> DeviceResult<()> {
        self.begin()?;
        let shared = self.shared.clone();
        let job: Job = Box::new(move || {
            // Whoever waits is told even then.
            let outcome = catch_unwind(AssertUnwindSafe(|| shared.run()));
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
        let parts = compiled.parts();
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
