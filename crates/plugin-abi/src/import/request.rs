//! A request of the other side.

use super::{compiled, remote};
use crate::{
    c,
    import::running::{self, Flight},
    owner::Object,
    raw::{Fault, take, text},
    status::{Gather, ask, fault},
    tensor,
};
use ir::device::{
    Completion, DeviceError, DeviceResult, HostTensor, InferRequest, LayerStatus, PortIndex, PortInfo,
    ProfileRow, RemoteTensor, Span,
};
use std::{
    ffi::c_void,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

/// A request object of the other side, and what must outlive it.
pub(super) struct Handle {
    object: Object<c::RequestFunctions>,
    // Fields are dropped in order: the model after its request.
    _compiled: compiled::Handle,
    device: Arc<str>,
}

impl Handle {
    pub(super) fn new(
        object: Object<c::RequestFunctions>,
        compiled: compiled::Handle,
        device: Arc<str>,
    ) -> Self {
        Self { object, _compiled: compiled, device }
    }

    /// Gives a tensor to the other side, and says where it lies.
    fn send(&self, port: PortIndex, tensor: &HostTensor) -> DeviceResult<*const u8> {
        let (data, len) = match port {
            PortIndex::Input(_) => {
                let bytes = tensor.read_span()?;
                (bytes.as_ptr().cast_mut(), bytes.len())
            }
            PortIndex::Output(_) => {
                let mut bytes = tensor.write_span()?;
                (bytes.as_mut_ptr(), bytes.len())
            }
        };
        self.set_tensor(port, tensor, data, len)?;
        Ok(data)
    }

    fn set_tensor(
        &self,
        port: PortIndex,
        tensor: &HostTensor,
        data: *mut u8,
        len: usize,
    ) -> DeviceResult<()> {
        let call = self.object.functions.set_tensor.expect("checked when it was adopted");
        let (side, index) = numbers(port);
        let view = tensor::view(tensor.clone(), data, len);
        // SAFETY: the object lives; the view is retained until it is ended below.
        let result = unsafe {
            ask(&self.device, |message| call(self.object.object, side, index, &raw const view, message))
        };
        tensor::end_view(&view);
        result
    }

    pub(super) fn device(&self) -> &str {
        &self.device
    }

    pub(super) fn infer(&self) -> DeviceResult<()> {
        let infer = self.object.functions.infer.expect("checked when it was adopted");
        // SAFETY: the object lives, and its tensors are held for it.
        unsafe { ask(&self.device, |message| infer(self.object.object, message)) }
    }
}

fn numbers(port: PortIndex) -> (i32, usize) {
    match port {
        PortIndex::Input(i) => (c::SIDE_INPUT, i),
        PortIndex::Output(i) => (c::SIDE_OUTPUT, i),
    }
}

/// What this side knows of a port's tensor.
struct Slot {
    port: PortInfo,
    fixed: bool,
    /// The tensor as callers see it.
    tensor: Option<HostTensor>,
    /// Where the other side has it.
    data: *const u8,
    /// What the other side has instead, when the memory is another port's too: contents are copied.
    staged: Option<HostTensor>,
}

// SAFETY: the pointer is compared, never followed.
unsafe impl Send for Slot {}

impl Slot {
    fn new(port: &PortInfo) -> Self {
        let (port, fixed) = (port.clone(), port.ty.shape.is_fixed());
        Self { port, fixed, tensor: None, data: ptr::null(), staged: None }
    }
}

struct Slots {
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
}

impl Slots {
    fn get(&mut self, port: PortIndex, device: &str) -> DeviceResult<&mut Slot> {
        let slot = match port {
            PortIndex::Input(i) => self.inputs.get_mut(i),
            PortIndex::Output(i) => self.outputs.get_mut(i),
        };
        let message = format!("there is no {port:?}");
        slot.ok_or_else(|| DeviceError::Failed { device: device.to_owned(), message })
    }

    /// True when an output and another port would lie in the same memory.
    fn would_overlap(&self, port: PortIndex, tensor: &HostTensor) -> bool {
        let lies_there = |slot: &Slot| {
            slot.staged.is_none()
                && slot.tensor.as_ref().is_some_and(|other| other.shares_memory_with(tensor))
        };
        let other = |at: PortIndex, slot: &Slot| at != port && lies_there(slot);
        self.outputs.iter().enumerate().any(|(i, slot)| other(PortIndex::Output(i), slot))
            || matches!(port, PortIndex::Output(_)) && self.inputs.iter().any(lies_there)
    }
}

/// One inference at a time on the other side. Only one call of its functions runs at a time, but for `cancel`: the
/// others are behind `&mut`, or the lock on the slots, and are refused while an inference runs.
pub(super) struct Request {
    handle: Arc<Handle>,
    slots: Mutex<Slots>,
    running: Arc<AtomicBool>,
}

impl Request {
    pub(super) fn new(handle: Handle, inputs: &[PortInfo], outputs: &[PortInfo]) -> Self {
        let slots = |ports: &[PortInfo]| ports.iter().map(Slot::new).collect();
        let slots = Slots { inputs: slots(inputs), outputs: slots(outputs) };
        Self { handle: Arc::new(handle), slots: Mutex::new(slots), running: Arc::default() }
    }

    /// The slots, unless an inference runs.
    fn idle(&self) -> DeviceResult<MutexGuard<'_, Slots>> {
        if self.running.load(Ordering::Acquire) {
            return Err(DeviceError::Busy("the request".to_owned()));
        }
        Ok(self.slots.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Holds every tensor that this side knows of for the time of an inference.
    fn begin(&self) -> DeviceResult<Flight> {
        let mut slots = self.idle()?;
        let mut flight = Flight::new(self.running.clone());
        let Slots { inputs, outputs } = &mut *slots;
        for (i, slot) in inputs.iter_mut().enumerate() {
            let Some(tensor) = &slot.tensor else { continue };
            if let Some(staged) = &slot.staged {
                tensor.copy_to(&mut staged.write()?)?;
                continue;
            }
            let bytes = tensor.read_span_owned()?;
            if bytes.as_ptr() != slot.data {
                self.handle.set_tensor(
                    PortIndex::Input(i),
                    tensor,
                    bytes.as_ptr().cast_mut(),
                    bytes.len(),
                )?;
                slot.data = bytes.as_ptr();
            }
            flight.hold_input(bytes);
        }
        for (i, slot) in outputs.iter_mut().enumerate() {
            let Some(tensor) = &slot.tensor else { continue };
            if let Some(staged) = &slot.staged {
                flight.copy_back(staged, tensor);
                continue;
            }
            let mut bytes = tensor.write_span_owned()?;
            let (data, len) = (bytes.as_mut_ptr(), bytes.len());
            if data.cast_const() != slot.data {
                self.handle.set_tensor(PortIndex::Output(i), tensor, data, len)?;
                slot.data = data;
            }
            flight.hold_output(bytes);
        }
        Ok(flight)
    }
}

impl InferRequest for Request {
    fn set_tensor(&mut self, port: PortIndex, given: HostTensor) -> DeviceResult<()> {
        let mut slots = self.idle()?;
        let device = &self.handle.device;
        let info = &slots.get(port, device)?.port;
        if given.element_type() != info.ty.element_type || !info.ty.shape.admits(given.shape()) {
            return Err(DeviceError::Tensor {
                port: format!("`{}`", info.name()),
                expected: info.ty.to_string(),
                found: format!("{given:?}"),
            });
        }
        // What lies at another port too is staged, and what the other side does not take with gaps.
        let sent = match slots.would_overlap(port, &given) {
            true => None,
            false => match self.handle.send(port, &given) {
                Err(DeviceError::NotOffered { .. }) if !given.is_dense() => None,
                sent => Some(sent?),
            },
        };
        let slot = slots.get(port, device)?;
        if let Some(data) = sent {
            (slot.tensor, slot.data, slot.staged) = (Some(given), data, None);
            return Ok(());
        }
        let own = HostTensor::zeros(given.element_type(), given.shape());
        let own =
            own.map_err(|e| DeviceError::Failed { device: device.to_string(), message: e.to_string() })?;
        let data = self.handle.send(port, &own)?;
        (slot.tensor, slot.data, slot.staged) = (Some(given), data, Some(own));
        Ok(())
    }

    fn set_remote(&mut self, port: PortIndex, given: Arc<dyn RemoteTensor>) -> DeviceResult<()> {
        let mut slots = self.idle()?;
        let device = &self.handle.device;
        let slot = slots.get(port, device)?;
        let Some(call) = self.handle.object.functions.set_remote else {
            return Err(DeviceError::no_remote_tensors(&**device));
        };
        let (remote, (side, index)) = (remote::crossed(&given, device, &slot.port)?, numbers(port));
        // SAFETY: the object lives, and the tensor until the call returns.
        unsafe {
            ask(device, |message| call(self.handle.object.object, side, index, remote, message))?;
        }
        // Only the other side knows of it now: nothing is held for inferences.
        (slot.tensor, slot.data, slot.staged) = (None, ptr::null(), None);
        Ok(())
    }

    fn tensor(&self, port: PortIndex) -> DeviceResult<HostTensor> {
        let mut slots = self.idle()?;
        let device = &self.handle.device;
        let slot = slots.get(port, device)?;
        if let Some(tensor) = slot.tensor.as_ref().filter(|_| slot.fixed) {
            return Ok(tensor.clone());
        }
        let call = self.handle.object.functions.tensor.expect("checked when it was adopted");
        // SAFETY: zeros are a value of every field.
        let mut view: c::Tensor = unsafe { std::mem::zeroed() };
        view.size = size_of::<c::Tensor>();
        let (side, index) = numbers(port);
        // SAFETY: the object lives; what it gives comes retained, and is as the contract has it.
        let (view, kept, shape) = unsafe {
            ask(device, |message| call(self.handle.object.object, side, index, &raw mut view, message))?;
            let view = take(&raw const view).map_err(fault(device))?;
            let kept = tensor::keeper(&view, self.handle.clone());
            let shape = tensor::shape_of(&view).map_err(fault(device))?;
            (view, kept, shape)
        };
        let known = slot.tensor.as_ref().filter(|tensor| slot.data == view.data && tensor.shape() == shape);
        if let Some(tensor) = known {
            return Ok(tensor.clone());
        }
        // SAFETY: `kept` keeps the memory.
        let found = unsafe { tensor::receive(&view, kept, device)? };
        let ty = &slot.port.ty;
        if found.element_type() != ty.element_type || !ty.shape.admits(found.shape()) {
            let reason = format!("{found:?} at `{}`, which is {ty}", slot.port.name());
            return Err(fault(device)(Fault::Contradiction { what: "the tensor of a port", reason }));
        }
        (slot.tensor, slot.data, slot.staged) = (Some(found.clone()), view.data, None);
        Ok(found)
    }

    fn infer(&mut self) -> DeviceResult<()> {
        let flight = self.begin()?;
        let result = self.handle.infer();
        flight.end(result)
    }

    fn start(&mut self, done: Completion) -> DeviceResult<()> {
        let flight = self.begin()?;
        let id = running::enter(flight, done, self.handle.clone());
        let Some(start) = self.handle.object.functions.start else {
            let handle = self.handle.clone();
            let thread = std::thread::Builder::new().name("plugin-infer".to_owned());
            let spawned = thread.spawn(move || running::leave(id, handle.infer()));
            return spawned.map(drop).map_err(|error| {
                running::abandon(id);
                let message = format!("no thread for the inference: {error}");
                DeviceError::Failed { device: self.handle.device.to_string(), message }
            });
        };
        // SAFETY: the object lives, and its tensors are held until the completion, which takes any number.
        let started = unsafe {
            ask(&self.handle.device, |message| {
                start(self.handle.object.object, Some(running::completed), id.as_pointer(), message)
            })
        };
        // Whoever has had the completion must not hear of a failure too.
        started.or_else(|error| if running::abandon(id) { Err(error) } else { Ok(()) })
    }

    fn cancel(&self) {
        if let Some(cancel) = self.handle.object.functions.cancel {
            // SAFETY: the object lives; `cancel` may come at any time.
            unsafe { cancel(self.handle.object.object) };
        }
    }

    fn profile(&self) -> Vec<ProfileRow> {
        let (Ok(_idle), Some(profile)) = (self.idle(), self.handle.object.functions.profile) else {
            return Vec::new();
        };
        let rows = Gather::run(&self.handle.device, Vec::new(), |user| {
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe {
                ask(&self.handle.device, |message| {
                    profile(self.handle.object.object, Some(visit_row), user, message)
                })
            }
        });
        rows.unwrap_or_else(|error| {
            tracing::warn!("no profile: {error}");
            Vec::new()
        })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.running.load(Ordering::Acquire) {
            self.cancel();
        }
    }
}

unsafe extern "C" fn visit_row(user: *mut c_void, row: *const c::ProfileRow) {
    // SAFETY: `user` is the gathering of `profile`; the row is as the contract has it.
    unsafe {
        Gather::<Vec<ProfileRow>>::add(user, |rows, device| {
            let read = || {
                let row = take(row)?;
                Ok(ProfileRow {
                    name: text(row.name, "the name of a layer")?.to_owned(),
                    status: match row.status {
                        c::LAYER_EXECUTED => LayerStatus::Executed,
                        c::LAYER_NOT_RUN => LayerStatus::NotRun,
                        c::LAYER_OPTIMIZED_OUT => LayerStatus::OptimizedOut,
                        found => {
                            return Err(Fault::Number { what: "the status of a layer", found: found.into() });
                        }
                    },
                    layer_type: text(row.layer_type, "the type of a layer")?.to_owned(),
                    exec_type: text(row.exec_type, "the exec type of a layer")?.to_owned(),
                    real_time: Duration::from_nanos(row.real_nanoseconds),
                    cpu_time: Duration::from_nanos(row.cpu_nanoseconds),
                    span: match row.begin_nanoseconds {
                        0 => None,
                        begin => Some(Span {
                            device: text(row.device, "the device of a layer")?.to_owned(),
                            lane: row.lane,
                            begin: UNIX_EPOCH + Duration::from_nanos(begin),
                        }),
                    },
                })
            };
            rows.push(read().map_err(fault(device))?);
            Ok(())
        });
    }
}
