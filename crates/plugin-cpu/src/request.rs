//! One inference at a time: tensors, start, cancel.

use crate::{
    plan::{Few, Plans},
    stream::{Stream, Streams},
};
use ir::{
    AlignedBytes, ElementType,
    device::{
        Completion, DeviceError, DeviceResult, HostTensor, InferRequest, PortIndex, PortInfo, ProfileRow,
    },
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, TryLockError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

/// Memory for a copy of `len` bytes, kept from one inference to the next.
fn stage(memory: &mut AlignedBytes, len: usize) -> &mut [u8] {
    if memory.len() != len {
        *memory = ir::aligned_zeros(len);
    }
    memory
}

/// True when any element type can be read there.
fn is_aligned(bytes: &[u8]) -> bool {
    bytes.is_empty() || (bytes.as_ptr() as usize).is_multiple_of(8)
}

/// The tensor of an output, made anew when the one there has another shape. A shape known beforehand can't come out
/// differently; a dynamic one gets the memory it needs.
fn fit<'a>(
    slot: &'a mut Option<HostTensor>,
    ty: ElementType,
    shape: &[usize],
    port: &PortInfo,
) -> DeviceResult<&'a mut HostTensor> {
    if slot.as_ref().is_none_or(|tensor| tensor.shape() != shape) {
        if !port.ty.shape.admits(shape) {
            return Err(failed(format!("output `{}` came out as {shape:?}", port.name())));
        }
        *slot = Some(HostTensor::zeros(ty, shape).map_err(failed)?);
    }
    Ok(slot.as_mut().expect("just made"))
}

/// What an inference needs; locked while one runs.
struct Work {
    plans: Arc<Plans>,
    input_ports: Vec<PortInfo>,
    output_ports: Vec<PortInfo>,
    inputs: Vec<Option<HostTensor>>,
    outputs: Vec<Option<HostTensor>>,
    /// Copies of inputs that can't be used where they lie.
    staged_inputs: Vec<AlignedBytes>,
    /// Where outputs are made that can't be made where they lie.
    staged_outputs: Vec<AlignedBytes>,
    profile: Vec<ProfileRow>,
    profiled: bool,
}

struct Shared {
    work: Mutex<Work>,
    /// Set from the start of an inference until just before its completion is called.
    running: AtomicBool,
    cancelled: AtomicBool,
}

/// A request of this device.
pub(crate) struct Request {
    shared: Arc<Shared>,
    streams: Streams,
}

impl Request {
    /// A request with zeroed tensors for every port of known shape.
    pub(crate) fn new(
        plans: Arc<Plans>,
        streams: Streams,
        inputs: &[PortInfo],
        outputs: &[PortInfo],
        profiled: bool,
    ) -> DeviceResult<Self> {
        let allocate = |ports: &[PortInfo]| -> DeviceResult<Vec<Option<HostTensor>>> {
            let tensor = |port: &PortInfo| {
                let sizes = port.ty.shape.sizes();
                sizes.map(|sizes| HostTensor::zeros(port.ty.element_type, &sizes)).transpose()
            };
            ports.iter().map(|port| tensor(port).map_err(failed)).collect()
        };
        let work = Work {
            plans,
            inputs: allocate(inputs)?,
            outputs: allocate(outputs)?,
            staged_inputs: vec![ir::aligned_zeros(0); inputs.len()],
            staged_outputs: vec![ir::aligned_zeros(0); outputs.len()],
            input_ports: inputs.to_vec(),
            output_ports: outputs.to_vec(),
            profile: Vec::new(),
            profiled,
        };
        let shared = Shared {
            work: Mutex::new(work),
            running: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared), streams })
    }

    /// The work, unless an inference has it.
    fn work(&self) -> DeviceResult<MutexGuard<'_, Work>> {
        let busy = || DeviceError::Busy("the request".to_owned());
        if self.shared.running.load(Ordering::Acquire) {
            return Err(busy());
        }
        match self.shared.work.try_lock() {
            Ok(work) => Ok(work),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(busy()),
        }
    }

    fn begin(&self) -> DeviceResult<()> {
        if self.shared.running.swap(true, Ordering::AcqRel) {
            return Err(DeviceError::Busy("the request".to_owned()));
        }
        self.shared.cancelled.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> DeviceError {
    DeviceError::Failed { device: "CPU".to_owned(), message: error.to_string() }
}

impl Shared {
    /// Runs the inference; a panic in it becomes an error of this request alone.
    fn run(&self, stream: &mut Stream) -> DeviceResult<()> {
        let mut work = self.work.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let run = AssertUnwindSafe(|| work.run(stream, &self.cancelled));
        let result = catch_unwind(run).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(failed(format!("internal error: {text}")))
        });
        drop(work);
        self.running.store(false, Ordering::Release);
        result
    }
}

impl Work {
    fn run(&mut self, stream: &mut Stream, cancelled: &AtomicBool) -> DeviceResult<()> {
        let mut inputs = Few::new();
        for (tensor, port) in self.inputs.iter().zip(&self.input_ports) {
            inputs.push(tensor.as_ref().ok_or_else(|| DeviceError::Tensor {
                port: format!("input `{}`", port.name()),
                expected: port.ty.to_string(),
                found: "no tensor; its shape is dynamic, so one must be set".to_owned(),
            })?);
        }
        let shapes: Few<&[usize]> = inputs.iter().map(|tensor| tensor.shape()).collect();
        let profile = self.profiled.then_some(&mut self.profile);
        let Some(plan) = self.plans.plan(&shapes)? else {
            let inputs = inputs.into_iter().map(HostTensor::to_tensor).collect::<DeviceResult<Vec<_>>>()?;
            let answers = self.plans.interpret(&inputs, cancelled, profile, stream.number)?;
            for ((slot, answer), port) in self.outputs.iter_mut().zip(&answers).zip(&self.output_ports) {
                let (ty, shape) = (answer.element_type(), answer.shape());
                fit(slot, ty, shape, port)?.copy_from(answer.bytes())?;
            }
            return Ok(());
        };
        let mut outputs = Few::new();
        for ((slot, answer), port) in self.outputs.iter_mut().zip(plan.answers()).zip(&self.output_ports) {
            outputs.push(&*fit(slot, answer.element_type, &answer.shape, port)?);
        }
        // Tensors that share memory, have gaps, or are not aligned for their elements are used through a copy.
        let shared = |tensor: &HostTensor, others: &[&HostTensor]| {
            others.iter().any(|other| tensor.shares_memory_with(other))
        };
        let mut guards = Few::new();
        for (tensor, staged) in inputs.iter().zip(&mut self.staged_inputs) {
            let direct = tensor.is_dense() && !shared(tensor, &outputs);
            let guard = if direct { Some(tensor.read()?) } else { None };
            let guard = guard.filter(|bytes| is_aligned(bytes));
            if guard.is_none() {
                tensor.copy_to(stage(staged, tensor.byte_len()))?;
            }
            guards.push(guard);
        }
        let staged = self.staged_inputs.iter();
        let views: Few<&[u8]> =
            guards.iter().zip(staged).map(|(guard, staged)| guard.as_deref().unwrap_or(staged)).collect();
        let mut answers = Few::new();
        for (i, tensor) in outputs.iter().enumerate() {
            let direct = tensor.is_dense() && !shared(tensor, &outputs[..i]);
            let guard = if direct { Some(tensor.write()?) } else { None };
            answers.push(guard.filter(|bytes| is_aligned(bytes)));
        }
        let staged = self.staged_outputs.iter_mut().enumerate();
        let mut places: Few<&mut [u8]> = answers
            .iter_mut()
            .zip(staged)
            .map(|(guard, (i, staged))| match guard {
                Some(guard) => &mut guard[..],
                None => stage(staged, plan.output_bytes(i)),
            })
            .collect();
        plan.run(&views, &mut places, stream, cancelled, profile)?;
        drop(places);
        let copied: Few<bool> = answers.into_iter().map(|guard| guard.is_none()).collect();
        for (i, tensor) in outputs.iter().enumerate().filter(|(i, _)| copied[*i]) {
            tensor.copy_from(&self.staged_outputs[i])?;
        }
        Ok(())
    }

    fn slot(&mut self, port: PortIndex) -> Option<(&mut Option<HostTensor>, &PortInfo)> {
        match port {
            PortIndex::Input(i) => Some((self.inputs.get_mut(i)?, &self.input_ports[i])),
            PortIndex::Output(i) => Some((self.outputs.get_mut(i)?, &self.output_ports[i])),
        }
    }
}

impl InferRequest for Request {
    fn set_tensor(&mut self, port: PortIndex, tensor: HostTensor) -> DeviceResult<()> {
        let mut work = self.work()?;
        let (slot, info) = work.slot(port).ok_or_else(|| failed(format!("there is no {port:?}")))?;
        if tensor.element_type() != info.ty.element_type || !info.ty.shape.admits(tensor.shape()) {
            return Err(DeviceError::Tensor {
                port: format!("`{}`", info.name()),
                expected: info.ty.to_string(),
                found: format!("{tensor:?}"),
            });
        }
        *slot = Some(tensor);
        Ok(())
    }

    fn tensor(&self, port: PortIndex) -> DeviceResult<HostTensor> {
        let mut work = self.work()?;
        let (slot, info) = work.slot(port).ok_or_else(|| failed(format!("there is no {port:?}")))?;
        slot.clone().ok_or_else(|| DeviceError::Tensor {
            port: format!("`{}`", info.name()),
            expected: info.ty.to_string(),
            found: "no tensor yet: its shape is dynamic; set one, or infer first".to_owned(),
        })
    }

    fn infer(&mut self) -> DeviceResult<()> {
        self.begin()?;
        let shared = &self.shared;
        match self.streams.try_run(|stream| shared.run(stream)) {
            Ok(result) => result,
            Err(_) => {
                let (sender, receiver) = mpsc::sync_channel(1);
                let shared = shared.clone();
                self.streams.push(Box::new(move |stream| _ = sender.send(shared.run(stream))));
                receiver.recv().map_err(|_| failed("the stream ended before the inference did"))?
            }
        }
    }

    fn start(&mut self, done: Completion) -> DeviceResult<()> {
        self.begin()?;
        let shared = self.shared.clone();
        self.streams.push(Box::new(move |stream| {
            let result = shared.run(stream);
            // The caller's code must not take this thread down with it.
            _ = catch_unwind(AssertUnwindSafe(|| done(result)));
        }));
        Ok(())
    }

    fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    fn profile(&self) -> Vec<ProfileRow> {
        self.work().map(|work| work.profile.clone()).unwrap_or_default()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.cancel();
    }
}
