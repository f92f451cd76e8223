//! One inference at a time: the parts run one after another, each as soon as what it takes is there. No thread waits:
//! the end of a part starts the next.

use crate::{
    compiled::Compiled,
    settings::NAME,
    subgraph::{Outlet, Source},
};
use ir::device::{
    CompiledModel, Completion, DeviceError, DeviceResult, HostTensor, InferRequest, PortIndex, ProfileRow,
    RemoteTensor,
};
use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

/// Every critical section below leaves whole values behind.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn busy() -> DeviceError {
    DeviceError::Busy("the request".to_owned())
}

/// Where an inference stands.
#[derive(Default)]
struct Run {
    /// Somebody looks after it; others leave word in `ended`.
    is_driven: bool,
    /// Parts that have ended, and how.
    ended: Vec<(usize, DeviceResult<()>)>,
    /// Parts that can start.
    ready: Vec<usize>,
    /// Along the parts: others that each still waits for.
    waiting: Vec<usize>,
    /// Along the parts: it runs.
    running: Vec<bool>,
    /// The first error; nothing more starts after it.
    error: Option<DeviceError>,
    done: Option<Completion>,
}

/// The caller's tensors.
struct Tensors {
    inputs: Vec<Option<HostTensor>>,
    outputs: Vec<Option<HostTensor>>,
    /// Outputs that lie in memory which a part may read while another writes: they are copied there at the end.
    copied: Vec<bool>,
}

struct Shared {
    compiled: Arc<Compiled>,
    /// A request for each part.
    requests: Vec<Mutex<Box<dyn InferRequest>>>,
    tensors: Mutex<Tensors>,
    run: Mutex<Run>,
    /// From the start of an inference until just before its completion is called.
    is_running: AtomicBool,
    is_cancelled: AtomicBool,
}

/// A request of this device.
pub(crate) struct Request {
    shared: Arc<Shared>,
}

impl Request {
    pub(crate) fn new(compiled: Arc<Compiled>) -> DeviceResult<Self> {
        let create = |part: &crate::compiled::Part| part.model.clone().create_request().map(Mutex::new);
        let requests: Vec<_> = compiled.parts.iter().map(create).collect::<DeviceResult<_>>()?;
        // Who shares an input shares its tensor. What nobody takes has one here.
        let mut inputs = Vec::new();
        for (takers, port) in compiled.takers.iter().zip(compiled.inputs()) {
            let sizes = port.ty.shape.sizes();
            let tensor = match (takers.first(), sizes) {
                (_, None) => None,
                (Some((part, input)), _) => Some(lock(&requests[*part]).tensor(*input)?),
                (None, Some(sizes)) => Some(HostTensor::zeros(port.ty.element_type, &sizes).map_err(failed)?),
            };
            for (part, input) in takers.iter().skip(1) {
                if let Some(tensor) = &tensor {
                    lock(&requests[*part]).set_tensor(*input, tensor.clone())?;
                }
            }
            inputs.push(tensor);
        }
        let count = compiled.answers.len();
        let tensors = Tensors { inputs, outputs: vec![None; count], copied: vec![false; count] };
        let shared = Shared {
            compiled,
            requests,
            tensors: Mutex::new(tensors),
            run: Mutex::default(),
            is_running: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn check_idle(&self) -> DeviceResult<()> {
        if self.shared.is_running.load(Ordering::Acquire) { Err(busy()) } else { Ok(()) }
    }

    fn begin(&self) -> DeviceResult<()> {
        if self.shared.is_running.swap(true, Ordering::AcqRel) {
            return Err(busy());
        }
        self.shared.is_cancelled.store(false, Ordering::Release);
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> DeviceError {
    DeviceError::Failed { device: NAME.to_owned(), message: error.to_string() }
}

fn no_port(port: PortIndex) -> DeviceError {
    failed(format!("there is no {port:?}"))
}

impl Shared {
    /// Gives a part what others have made for it.
    fn forward(&self, part: usize) -> DeviceResult<()> {
        for (input, source) in self.compiled.parts[part].inputs.iter().enumerate() {
            if let Source::Outlet(outlet) = source {
                let tensor = self.outlet(*outlet)?;
                lock(&self.requests[part]).set_tensor(PortIndex::Input(input), tensor)?;
            }
        }
        Ok(())
    }

    fn outlet(&self, outlet: Outlet) -> DeviceResult<HostTensor> {
        lock(&self.requests[outlet.subgraph]).tensor(PortIndex::Output(outlet.output))
    }

    /// Runs the parts on the calling thread.
    fn run_here(&self) -> DeviceResult<()> {
        for (part, request) in self.requests.iter().enumerate() {
            self.forward(part)?;
            lock(request).infer()?;
        }
        self.copy_back()
    }

    fn launch(self: &Arc<Self>, part: usize) -> DeviceResult<()> {
        self.forward(part)?;
        let mut request = lock(&self.requests[part]);
        // Whoever cancels sets this first and then asks the request, which is locked here.
        if self.is_cancelled.load(Ordering::Acquire) {
            return Err(DeviceError::Cancelled);
        }
        let shared = self.clone();
        request.start(Box::new(move |result| {
            lock(&shared.run).ended.push((part, result));
            shared.drive();
        }))
    }

    /// Looks after the inference until there is nothing to do but wait. A part may end within its own start, on this
    /// thread, while its request is locked; so whoever ends while another drives only leaves word.
    fn drive(self: &Arc<Self>) {
        let mut run = lock(&self.run);
        if mem::replace(&mut run.is_driven, true) {
            return;
        }
        loop {
            let mut in_vain = Vec::new();
            for (part, result) in mem::take(&mut run.ended) {
                run.running[part] = false;
                match result {
                    Ok(()) => {
                        for user in &self.compiled.parts[part].users {
                            run.waiting[*user] -= 1;
                            if run.waiting[*user] == 0 {
                                run.ready.push(*user);
                            }
                        }
                    }
                    Err(_) if run.error.is_some() => {}
                    Err(error) => {
                        run.error = Some(error);
                        in_vain = (0..run.running.len()).filter(|part| run.running[*part]).collect();
                    }
                }
            }
            if run.error.is_some() {
                run.ready.clear();
            }
            let ready = mem::take(&mut run.ready);
            ready.iter().for_each(|part| run.running[*part] = true);
            if !run.running.contains(&true) {
                run.is_driven = false;
                let result = run.error.take().map_or(Ok(()), Err);
                let done = run.done.take();
                drop(run);
                self.end(result, done);
                return;
            }
            drop(run);
            in_vain.into_iter().for_each(|part| lock(&self.requests[part]).cancel());
            for part in ready {
                if let Err(error) = self.launch(part) {
                    lock(&self.run).ended.push((part, Err(error)));
                }
            }
            run = lock(&self.run);
            if run.ended.is_empty() {
                run.is_driven = false;
                return;
            }
        }
    }

    fn end(&self, result: DeviceResult<()>, done: Option<Completion>) {
        let result = result.and_then(|()| self.copy_back());
        self.is_running.store(false, Ordering::Release);
        if let Some(done) = done {
            done(result);
        }
    }

    /// Copies the outputs that could not be written where the caller wants them.
    fn copy_back(&self) -> DeviceResult<()> {
        let mut tensors = lock(&self.tensors);
        for (i, answer) in self.compiled.answers.iter().enumerate() {
            if !tensors.copied[i] {
                continue;
            }
            let made = self.outlet(*answer)?;
            match &tensors.outputs[i] {
                Some(wanted) if wanted.shape() == made.shape() => {
                    wanted.copy_from(&made.read()?)?;
                }
                _ => tensors.outputs[i] = Some(made),
            }
        }
        Ok(())
    }

    /// Lets the parts write to the caller's outputs where no other part can be in the way.
    fn bind_outputs(&self, tensors: &mut Tensors) -> DeviceResult<()> {
        let Tensors { inputs, outputs, copied } = tensors;
        for (i, answer) in self.compiled.answers.iter().enumerate() {
            let Some(tensor) = &outputs[i] else { continue };
            let others = inputs.iter().chain(&outputs[..i]).flatten();
            let in_the_way =
                self.requests.len() > 1 && { others }.any(|other| other.shares_memory_with(tensor));
            let own = if in_the_way {
                HostTensor::zeros(tensor.element_type(), tensor.shape()).map_err(failed)?
            } else {
                tensor.clone()
            };
            lock(&self.requests[answer.subgraph]).set_tensor(PortIndex::Output(answer.output), own)?;
            copied[i] = in_the_way;
        }
        Ok(())
    }
}

impl InferRequest for Request {
    fn set_tensor(&mut self, port: PortIndex, tensor: HostTensor) -> DeviceResult<()> {
        self.check_idle()?;
        let shared = &self.shared;
        let ports = match port {
            PortIndex::Input(_) => shared.compiled.inputs(),
            PortIndex::Output(_) => shared.compiled.outputs(),
        };
        let (PortIndex::Input(i) | PortIndex::Output(i)) = port;
        let info = ports.get(i).ok_or_else(|| no_port(port))?;
        if tensor.element_type() != info.ty.element_type || !info.ty.shape.admits(tensor.shape()) {
            return Err(DeviceError::Tensor {
                port: format!("`{}`", info.name()),
                expected: info.ty.to_string(),
                found: format!("{tensor:?}"),
            });
        }
        let mut tensors = lock(&shared.tensors);
        if let PortIndex::Input(i) = port {
            for (part, input) in &shared.compiled.takers[i] {
                lock(&shared.requests[*part]).set_tensor(*input, tensor.clone())?;
            }
            tensors.inputs[i] = Some(tensor);
        } else {
            tensors.outputs[i] = Some(tensor);
        }
        shared.bind_outputs(&mut tensors)
    }

    fn set_remote(&mut self, port: PortIndex, tensor: Arc<dyn RemoteTensor>) -> DeviceResult<()> {
        self.check_idle()?;
        let (part, of_part) = self.shared.compiled.owner(port)?;
        lock(&self.shared.requests[part]).set_remote(of_part, tensor)?;
        let mut tensors = lock(&self.shared.tensors);
        match port {
            PortIndex::Input(i) => tensors.inputs[i] = None,
            PortIndex::Output(i) => (tensors.outputs[i], tensors.copied[i]) = (None, false),
        }
        Ok(())
    }

    fn tensor(&self, port: PortIndex) -> DeviceResult<HostTensor> {
        self.check_idle()?;
        let tensors = lock(&self.shared.tensors);
        match port {
            PortIndex::Input(i) => {
                let info = self.shared.compiled.inputs().get(i).ok_or_else(|| no_port(port))?;
                if let Some(tensor) = &tensors.inputs[i] {
                    return Ok(tensor.clone());
                }
                // Its only user says why there is none, if that isn't its shape.
                if let (true, [(part, input)]) =
                    (info.ty.shape.is_fixed(), &self.shared.compiled.takers[i][..])
                {
                    return lock(&self.shared.requests[*part]).tensor(*input);
                }
                Err(DeviceError::Tensor {
                    port: format!("`{}`", info.name()),
                    expected: info.ty.to_string(),
                    found: "no tensor yet: its shape is dynamic; set one".to_owned(),
                })
            }
            PortIndex::Output(i) => {
                let answer = *self.shared.compiled.answers.get(i).ok_or_else(|| no_port(port))?;
                match &tensors.outputs[i] {
                    Some(tensor) if tensors.copied[i] => Ok(tensor.clone()),
                    _ => self.shared.outlet(answer),
                }
            }
        }
    }

    fn infer(&mut self) -> DeviceResult<()> {
        if !self.shared.compiled.is_chain {
            let (sender, receiver) = mpsc::sync_channel(1);
            self.start(Box::new(move |result| _ = sender.send(result)))?;
            return receiver.recv().map_err(|_| failed("a device dropped the inference"))?;
        }
        self.begin()?;
        let result = self.shared.run_here();
        self.shared.is_running.store(false, Ordering::Release);
        result
    }

    fn start(&mut self, done: Completion) -> DeviceResult<()> {
        self.begin()?;
        let parts = &self.shared.compiled.parts;
        let waiting: Vec<usize> = parts.iter().map(|part| part.waits_for).collect();
        let ready = (0..parts.len()).filter(|part| waiting[*part] == 0).collect();
        let running = vec![false; parts.len()];
        *lock(&self.shared.run) = Run { ready, waiting, running, done: Some(done), ..Run::default() };
        self.shared.drive();
        Ok(())
    }

    fn cancel(&self) {
        self.shared.is_cancelled.store(true, Ordering::Release);
        let running = lock(&self.shared.run).running.clone();
        for (request, _) in self.shared.requests.iter().zip(running).filter(|(_, running)| *running) {
            lock(request).cancel();
        }
    }

    fn profile(&self) -> Vec<ProfileRow> {
        let mut rows = Vec::new();
        for (i, (request, part)) in self.shared.requests.iter().zip(&self.shared.compiled.parts).enumerate() {
            rows.extend(lock(request).profile().into_iter().map(|row| ProfileRow {
                name: format!("subgraph{i}: {}", row.name),
                exec_type: format!("{}:{}", part.device, row.exec_type),
                ..row
            }));
        }
        rows
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.cancel();
    }
}
