//! Devices that each take their time: one job after another, as an accelerator does. What they make is their input
//! plus one.

use ir::{
    Model,
    device::{
        CompiledModel, Completion, Config, Device, DeviceError, DeviceResult, Host, HostTensor, InferRequest,
        PortIndex, PortInfo, ProfileRow, Support,
    },
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

type Job = Box<dyn FnOnce() + Send>;

/// What ran: on which device, for which number at element 0, from when to when.
pub(crate) type Ran = (&'static str, f32, Instant, Instant);

/// How a device behaves.
pub(crate) struct Behaviour {
    pub(crate) takes: Duration,
    /// So many of the next inferences fail.
    pub(crate) failures: AtomicUsize,
    /// It runs within `start`.
    pub(crate) is_inline: bool,
    pub(crate) ran: Mutex<Vec<Ran>>,
    /// Memory that it has read and written.
    pub(crate) touched: Mutex<Vec<HostTensor>>,
}

/// A device that takes the nodes whose names begin with its own in small letters.
pub(crate) struct SlowDevice {
    name: &'static str,
    pub(crate) behaviour: Arc<Behaviour>,
    jobs: Sender<Job>,
}

impl SlowDevice {
    pub(crate) fn new(name: &'static str, takes: Duration, is_inline: bool) -> Arc<Self> {
        let (jobs, queue) = channel::<Job>();
        thread::spawn(move || queue.into_iter().for_each(|job| job()));
        let behaviour = Behaviour {
            takes,
            failures: AtomicUsize::new(0),
            is_inline,
            ran: Mutex::default(),
            touched: Mutex::default(),
        };
        Arc::new(Self { name, behaviour: Arc::new(behaviour), jobs })
    }
}

impl Device for SlowDevice {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> String {
        "sleeps".to_owned()
    }

    fn query(&self, model: &Model, config: &Config) -> DeviceResult<Support> {
        if let Some((key, value)) = config.iter().next() {
            let (device, reason) = (self.name.to_owned(), "it has no settings".to_owned());
            return Err(DeviceError::Config { device, key: key.clone(), value: value.clone(), reason });
        }
        let mut support = Support::default();
        for (_, node) in model.nodes() {
            if node.name.starts_with(&self.name.to_lowercase()) {
                support.supported.push(node.name.clone());
            } else {
                support.refused.push((node.name.clone(), format!("{} is another's", node.name)));
            }
        }
        Ok(support)
    }

    fn compile(&self, model: &Model, _: &Config, _: &Arc<dyn Host>) -> DeviceResult<Arc<dyn CompiledModel>> {
        Ok(Arc::new(Compiled {
            inputs: PortInfo::inputs(model),
            outputs: PortInfo::outputs(model),
            name: self.name,
            behaviour: self.behaviour.clone(),
            jobs: self.jobs.clone(),
        }))
    }
}

struct Compiled {
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    name: &'static str,
    behaviour: Arc<Behaviour>,
    jobs: Sender<Job>,
}

impl CompiledModel for Compiled {
    fn inputs(&self) -> &[PortInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[PortInfo] {
        &self.outputs
    }

    fn create_request(self: Arc<Self>) -> DeviceResult<Box<dyn InferRequest>> {
        let zeros = |ports: &[PortInfo]| -> Vec<HostTensor> {
            let zeros =
                |port: &PortInfo| HostTensor::zeros(port.ty.element_type, &port.ty.shape.sizes().unwrap());
            ports.iter().map(|port| zeros(port).unwrap()).collect()
        };
        let (inputs, outputs) = (zeros(&self.inputs), zeros(&self.outputs));
        Ok(Box::new(Request { compiled: self, inputs, outputs, is_cancelled: Arc::default() }))
    }
}

struct Request {
    compiled: Arc<Compiled>,
    inputs: Vec<HostTensor>,
    outputs: Vec<HostTensor>,
    is_cancelled: Arc<AtomicBool>,
}

fn floats(tensor: &HostTensor) -> Vec<f32> {
    let bytes = tensor.read().unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

impl InferRequest for Request {
    fn set_tensor(&mut self, port: PortIndex, tensor: HostTensor) -> DeviceResult<()> {
        match port {
            PortIndex::Input(i) => self.inputs[i] = tensor,
            PortIndex::Output(i) => self.outputs[i] = tensor,
        }
        Ok(())
    }

    fn tensor(&self, port: PortIndex) -> DeviceResult<HostTensor> {
        Ok(match port {
            PortIndex::Input(i) => self.inputs[i].clone(),
            PortIndex::Output(i) => self.outputs[i].clone(),
        })
    }

    fn infer(&mut self) -> DeviceResult<()> {
        let (sender, receiver) = channel();
        self.start(Box::new(move |result| sender.send(result).unwrap()))?;
        receiver.recv().unwrap()
    }

    fn start(&mut self, done: Completion) -> DeviceResult<()> {
        self.is_cancelled.store(false, SeqCst);
        let (name, behaviour) = (self.compiled.name, self.compiled.behaviour.clone());
        let (inputs, outputs, is_cancelled) =
            (self.inputs.clone(), self.outputs.clone(), self.is_cancelled.clone());
        let work = move || {
            let begin = Instant::now();
            while begin.elapsed() < behaviour.takes && !is_cancelled.load(SeqCst) {
                thread::sleep(
                    (behaviour.takes - begin.elapsed().min(behaviour.takes)).min(Duration::from_millis(2)),
                );
            }
            if is_cancelled.load(SeqCst) {
                return Err(DeviceError::Cancelled);
            }
            let fails = behaviour.failures.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            if fails {
                return Err(DeviceError::Failed { device: name.to_owned(), message: "on fire".to_owned() });
            }
            let sum: Vec<f32> = floats(&inputs[0]).iter().map(|x| x + 1.0).collect();
            let bytes: Vec<u8> = sum.iter().flat_map(|x| x.to_le_bytes()).collect();
            outputs.iter().for_each(|output| output.write().unwrap().copy_from_slice(&bytes));
            behaviour.ran.lock().unwrap().push((name, sum[0], begin, Instant::now()));
            behaviour.touched.lock().unwrap().extend(inputs.iter().chain(&outputs).cloned());
            Ok(())
        };
        if self.compiled.behaviour.is_inline {
            done(work());
        } else {
            self.compiled.jobs.send(Box::new(move || done(work()))).unwrap();
        }
        Ok(())
    }

    fn cancel(&self) {
        self.is_cancelled.store(true, SeqCst);
    }

    fn profile(&self) -> Vec<ProfileRow> {
        Vec::new()
    }
}
