//! The queue over a device whose inferences end on threads of their own, early or late, or within the very call that
//! starts or cancels them. Small enough for thread sanitizer (see README.md).

use ir::{
    ElementType, Model,
    device::{
        CompiledModel, Completion, Config, Device, DeviceError, DeviceResult, Host, HostTensor, InferRequest,
        PortIndex, PortInfo, ProfileRow, Support,
    },
};
use runtime::{Core, Error, InferQueue, Order};
use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// Doubles a number. What it is given decides how: see [`Request::start`].
struct Doubler;

impl Device for Doubler {
    fn name(&self) -> &str {
        "DOUBLER"
    }

    fn description(&self) -> String {
        "doubles a number".to_owned()
    }

    fn query(&self, _: &Model, _: &Config) -> DeviceResult<Support> {
        Ok(Support::default())
    }

    fn compile(&self, model: &Model, _: &Config, _: &Arc<dyn Host>) -> DeviceResult<Arc<dyn CompiledModel>> {
        Ok(Arc::new(Compiled(PortInfo::inputs(model), PortInfo::outputs(model))))
    }
}

struct Compiled(Vec<PortInfo>, Vec<PortInfo>);

impl CompiledModel for Compiled {
    fn inputs(&self) -> &[PortInfo] {
        &self.0
    }

    fn outputs(&self) -> &[PortInfo] {
        &self.1
    }

    fn create_request(self: Arc<Self>) -> DeviceResult<Box<dyn InferRequest>> {
        let tensor = || HostTensor::zeros(ElementType::F32, &[1]).unwrap();
        Ok(Box::new(Request { tensors: [tensor(), tensor()], done: Arc::default() }))
    }
}

struct Request {
    tensors: [HostTensor; 2],
    /// Of the inference that runs; whoever takes it ends the inference.
    done: Arc<Mutex<Option<Completion>>>,
}

fn number(tensor: &HostTensor) -> DeviceResult<f32> {
    Ok(f32::from_le_bytes(tensor.read()?[..].try_into().expect("one number")))
}

fn end(done: &Mutex<Option<Completion>>, work: impl FnOnce() -> DeviceResult<()>) {
    let taken = done.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(done) = taken {
        done(work());
    }
}

impl InferRequest for Request {
    fn set_tensor(&mut self, port: PortIndex, tensor: HostTensor) -> DeviceResult<()> {
        self.tensors[usize::from(matches!(port, PortIndex::Output(_)))] = tensor;
        Ok(())
    }

    fn tensor(&self, port: PortIndex) -> DeviceResult<HostTensor> {
        Ok(self.tensors[usize::from(matches!(port, PortIndex::Output(_)))].clone())
    }

    fn infer(&mut self) -> DeviceResult<()> {
        unreachable!("the queue starts")
    }

    fn start(&mut self, done: Completion) -> DeviceResult<()> {
        let given = number(&self.tensors[0])?;
        if given % 11.0 == 3.0 {
            return Err(DeviceError::Failed { device: "DOUBLER".to_owned(), message: "three".to_owned() });
        }
        // A thread of the inference before, which was cancelled, may still hold the old one.
        self.done = Arc::new(Mutex::new(Some(done)));
        let ([_, output], done) = (self.tensors.clone(), self.done.clone());
        let work = move || output.copy_from(&(2.0 * given).to_le_bytes());
        match given as u32 % 4 {
            0 => end(&done, work),
            kind => {
                thread::spawn(move || {
                    if kind > 1 {
                        thread::sleep(Duration::from_micros(u64::from(kind) * 20));
                    }
                    end(&done, work);
                });
            }
        }
        Ok(())
    }

    fn cancel(&self) {
        end(&self.done, || Err(DeviceError::Cancelled));
    }

    fn profile(&self) -> Vec<ProfileRow> {
        Vec::new()
    }
}

fn compiled() -> runtime::CompiledModel {
    let mut model = Model::new("m");
    let x = model.add_parameter("x", ElementType::F32, "[1]".parse().unwrap());
    model.add_result("y", x.into()).unwrap();
    let core = Core::new();
    core.register(Arc::new(Doubler));
    core.compile_model(&model, "DOUBLER", &Config::new()).unwrap()
}

#[test]
fn every_job_ends_once_however_the_device_ends_it() {
    for order in [Order::Submitted, Order::Completed] {
        let queue = InferQueue::new(&compiled(), 4, order).unwrap();
        let mut ends = vec![0; 2000];
        let (mut cancelled, mut failed) = (0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for given in 0..2000usize {
                    let tensor = HostTensor::from_vec(&[1], vec![given as f32]).unwrap();
                    let job = queue.submit(given, |request| request.set_input(0, tensor)).unwrap();
                    if given % 3 == 0 {
                        queue.cancel(job);
                    }
                }
                queue.close();
            });
            while let Some(done) = queue.next() {
                ends[done.user] += 1;
                match &done.result {
                    Ok(()) => {
                        assert_eq!(number(&done.output(0).unwrap()).unwrap(), 2.0 * done.user as f32);
                    }
                    Err(Error::Device(DeviceError::Cancelled)) if done.user % 3 == 0 => cancelled += 1,
                    Err(Error::Device(DeviceError::Failed { .. })) if done.user % 11 == 3 => failed += 1,
                    Err(error) => panic!("{}: {error}", done.user),
                }
            }
        });
        assert!(ends.iter().all(|ends| *ends == 1));
        assert!(cancelled > 0 && failed == (0..2000).filter(|given| given % 11 == 3).count());
    }
}
