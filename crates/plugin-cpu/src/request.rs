//! One inference at a time: tensors, start, cancel.

use crate::{
    plan::Plans,
    stream::{Stream, Streams},
};
use ir::{
    Tensor,
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

/// What an inference needs; locked while one runs.
struct Work {
    plans: Arc<Plans>,
    input_ports: Vec<PortInfo>,
    output_ports: Vec<PortInfo>,
    inputs: Vec<Option<HostTensor>>,
    outputs: Vec<Option<HostTensor>>,
    profile: Vec<ProfileRow>,
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
            input_ports: inputs.to_vec(),
            output_ports: outputs.to_vec(),
            profile: Vec::new(),
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
        let mut inputs: Vec<Tensor> = Vec::new();
        for (tensor, port) in self.inputs.iter().zip(&self.input_ports) {
            let tensor = tensor.as_ref().ok_or_else(|| DeviceError::Tensor {
                port: format!("input `{}`", port.name()),
                expected: port.ty.to_string(),
                found: "no tensor; its shape is dynamic, so one must be set".to_owned(),
            })?;
            inputs.push(tensor.to_tensor()?);
        }
        let answers = self.plans.run(&inputs, stream, cancelled, &mut self.profile)?;
        for ((slot, answer), port) in self.outputs.iter_mut().zip(answers).zip(&self.output_ports) {
            match slot {
                Some(tensor) if tensor.shape() == answer.shape() => {
                    tensor.write()?.copy_from_slice(answer.bytes());
                }
                // A shape known beforehand can't come out differently; a dynamic one gets the memory it needs.
                _ if port.ty.shape.admits(answer.shape()) => *slot = Some(HostTensor::from(&answer)),
                _ => {
                    return Err(failed(format!("output `{}` came out as {:?}", port.name(), answer.shape())));
                }
            }
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
