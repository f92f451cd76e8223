//! The queue on the digits network: nothing lost or doubled, whatever is cancelled, dropped or wrong.

use ir::Tensor;
use runtime::{CompiledModel, Config, DeviceError, Error, HostTensor, InferQueue, InferRequest, Order};
use samples::{engine, numpy};
use std::{
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Waker},
};

/// The network for one image, and TensorFlow's inputs and answers for the 100 committed ones.
fn network(streams: &str) -> (CompiledModel, Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits");
    let core = engine::core();
    let mut model = core.read_model(folder.join("openvino/digits_fp32.xml")).unwrap();
    let input = model.parameters()[0];
    model.set_parameter_shape(input, ir::PartialShape::fixed(&[1, 8, 8, 1]));
    model.infer().unwrap();
    let config = [("NUM_STREAMS", streams), ("INFERENCE_NUM_THREADS", streams)];
    let config: Config = config.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let arrays = numpy::read_npz(&folder.join("expected.npz")).unwrap();
    let rows = |name: &str| {
        let array: &Tensor = &arrays.iter().find(|(n, _)| n == name).unwrap().1;
        let all = array.view::<f32>().unwrap().into_owned();
        all.chunks(all.len() / 100).map(<[f32]>::to_vec).collect()
    };
    (core.compile_model(&model, "CPU", &config).unwrap(), rows("input"), rows("predictions/Softmax"))
}

fn image(inputs: &[Vec<f32>], number: usize) -> HostTensor {
    HostTensor::from_vec(&[1, 8, 8, 1], inputs[number % 100].clone()).unwrap()
}

#[track_caller]
fn assert_answers(request: &InferRequest, want: &[f32]) {
    let found = request.output(0).unwrap().to_tensor().unwrap();
    let far = found.view::<f32>().unwrap().iter().zip(want).map(|(f, w)| (f - w).abs()).fold(0.0, f32::max);
    assert!(far <= 1e-5, "differs by {far}");
}

/// Held by every test: one of them measures the memory of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What happens to a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Plain,
    /// Its input has a wrong shape: it never begins.
    Refused,
    /// Its output is held by somebody: the device fails.
    Fails,
    Cancelled,
    /// Its owner goes away while it runs.
    Abandoned,
    /// Submitted only if a request is free, until one is.
    Tried,
}

fn fate(number: usize) -> Fate {
    match (number.wrapping_mul(2654435761) >> 7) % 16 {
        0 => Fate::Refused,
        1 | 2 => Fate::Fails,
        3 | 4 => Fate::Cancelled,
        5 | 6 => Fate::Abandoned,
        7..9 => Fate::Tried,
        _ => Fate::Plain,
    }
}

/// What a caller gives with a job: counts when it goes.
struct Token(usize, Arc<Vec<AtomicUsize>>);

impl Drop for Token {
    fn drop(&mut self) {
        self.1[self.0].fetch_add(1, SeqCst);
    }
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.map_or(0, |pages| pages * 4096)
}

fn stress(order: Order, jobs: usize) {
    let (compiled, inputs, answers) = network("2");
    let queue: InferQueue<Token> = InferQueue::new(&compiled, 8, order).unwrap();
    let gone: Arc<Vec<AtomicUsize>> = Arc::new((0..jobs).map(|_| AtomicUsize::new(0)).collect());
    let held = HostTensor::from_vec(&[1, 10], vec![0f32; 10]).unwrap();
    let holds = held.read().unwrap();
    let seen = Mutex::new(vec![0u8; jobs]);
    let (warm, cancelled) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = None;
            while let Some(done) = queue.next() {
                let number = done.user.0;
                seen.lock().unwrap()[number] += 1;
                match (fate(number), &done.result) {
                    (Fate::Plain | Fate::Tried | Fate::Cancelled, Ok(())) => {
                        assert_answers(&done, &answers[number % 100]);
                    }
                    (Fate::Cancelled, Err(Error::Device(DeviceError::Cancelled))) => {
                        cancelled.fetch_add(1, SeqCst);
                    }
                    (Fate::Fails, Err(Error::Device(DeviceError::Busy(_)))) => {}
                    (fate, result) => panic!("job {number}, {fate:?}: {result:?}"),
                }
                assert!(order == Order::Completed || last < Some(done.job), "{last:?}, then {}", done.job);
                last = Some(done.job);
            }
        });
        for number in 0..jobs {
            if number == jobs / 5 {
                warm.store(resident(), SeqCst);
            }
            let token = Token(number, gone.clone());
            let set = |request: &mut InferRequest| request.set_input(0, image(&inputs, number));
            match fate(number) {
                Fate::Plain => _ = queue.submit(token, set).unwrap(),
                Fate::Refused => {
                    let wrong = HostTensor::from_vec(&[1, 2], vec![0f32; 2]).unwrap();
                    let refused = queue.submit(token, |request| request.set_input(0, wrong)).unwrap_err();
                    assert!(matches!(refused.error, Error::Device(DeviceError::Tensor { .. })));
                    assert_eq!(refused.user.0, number);
                    seen.lock().unwrap()[number] += 1;
                }
                Fate::Fails => {
                    let set = |request: &mut InferRequest| {
                        set(request)?;
                        request.set_output(0, held.clone())
                    };
                    queue.submit(token, set).unwrap();
                }
                Fate::Cancelled => {
                    let job = queue.submit(token, set).unwrap();
                    queue.cancel(job);
                }
                Fate::Abandoned => {
                    let mut future = pin!(queue.infer(token, set));
                    _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    seen.lock().unwrap()[number] += 1;
                }
                Fate::Tried => {
                    let mut token = token;
                    while let Err(refused) = queue.try_submit(token, set) {
                        assert!(matches!(refused.error, Error::QueueFull), "{refused:?}");
                        token = refused.user;
                        std::thread::yield_now();
                    }
                }
            }
        }
        queue.close();
    });
    queue.wait_idle();
    let grown = resident().saturating_sub(warm.into_inner());
    drop(queue);
    println!("{jobs} jobs, {} cancelled, {grown} bytes more at the end", cancelled.into_inner());
    assert!(seen.into_inner().unwrap().iter().all(|count| *count == 1));
    assert!(gone.iter().all(|count| count.load(SeqCst) == 1));
    assert!(grown < 16 << 20, "memory grew by {grown} bytes");
    drop(holds);
}

/// `QUEUE_JOBS=100000` is the whole of it.
#[test]
fn nothing_is_lost_or_doubled() {
    let _alone = alone();
    let jobs = std::env::var("QUEUE_JOBS").ok().map_or(4000, |jobs| jobs.parse().expect("a number"));
    stress(Order::Submitted, jobs / 2);
    stress(Order::Completed, jobs / 2);
}

#[test]
fn who_submits_too_much_is_refused_or_waits() {
    let _alone = alone();
    let (compiled, inputs, _) = network("1");
    let (release, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let queue = InferQueue::with_callback(&compiled, 2, move |done: runtime::Done<usize>| {
        wait.lock().unwrap().recv().unwrap();
        counted.fetch_add(1, SeqCst);
        assert!(done.user != 1, "a callback that panics harms nobody");
    })
    .unwrap();
    for number in 0..2 {
        queue.try_submit(number, |request| request.set_input(0, image(&inputs, number))).unwrap();
    }
    let refused = queue.try_submit(2, |_| unreachable!("no request is free")).unwrap_err();
    assert!(matches!(refused.error, Error::QueueFull) && refused.user == 2);
    std::thread::scope(|scope| {
        let third = scope.spawn(|| queue.submit(2, |request| request.set_input(0, image(&inputs, 2))));
        (0..3).for_each(|_| release.send(()).unwrap());
        assert_eq!(third.join().unwrap().unwrap(), 2);
    });
    queue.wait_idle();
    assert_eq!(calls.load(SeqCst), 3);
    assert!(!queue.cancel(2), "it has ended");
    queue.close();
    assert!(matches!(queue.submit(3, |_| Ok(())).unwrap_err().error, Error::QueueClosed));
}

#[test]
fn a_job_never_writes_to_the_tensors_of_another() {
    let _alone = alone();
    let (compiled, inputs, answers) = network("1");
    let queue = InferQueue::new(&compiled, 1, Order::Completed).unwrap();
    let mine = HostTensor::from_vec(&[1, 10], vec![0f32; 10]).unwrap();
    let set = |request: &mut InferRequest| {
        request.set_input(0, image(&inputs, 1))?;
        request.set_output(0, mine.clone())
    };
    queue.submit((), set).unwrap();
    drop(queue.next());
    queue.submit((), |request| request.set_input(0, image(&inputs, 2))).unwrap();
    assert_answers(&queue.next().unwrap(), &answers[2]);
    let kept = mine.to_tensor().unwrap();
    assert!(kept.view::<f32>().unwrap().iter().zip(&answers[1]).all(|(f, w)| (f - w).abs() <= 1e-5));
    assert!(queue.try_next().is_none());
}

/// Two requests, one thread, many tasks: a task that blocked the thread would hang them all.
#[test]
fn tasks_await_their_own_answers() {
    let _alone = alone();
    let (compiled, inputs, answers) = network("1");
    let queue = Arc::new(InferQueue::<usize>::new(&compiled, 2, Order::Completed).unwrap());
    let inputs = Arc::new(inputs);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let (queue, inputs) = (queue.clone(), inputs.clone());
            tokio.spawn(async move {
                let done = queue.infer(number, |r| r.set_input(0, image(&inputs, number))).await.unwrap();
                done.result.as_ref().unwrap();
                tokio::task::yield_now().await;
                (done.user, done.output(0).unwrap().to_tensor().unwrap())
            })
        })
        .collect();
    // Some go away before they are through.
    tasks.iter().skip(5).step_by(7).for_each(tokio::task::JoinHandle::abort);
    let mut through = 0;
    for (number, task) in tasks.into_iter().enumerate() {
        match tokio.block_on(task) {
            Ok((user, found)) => {
                assert_eq!(user, number);
                let near = |(f, w): (&f32, &f32)| (f - w).abs() <= 1e-5;
                assert!(found.view::<f32>().unwrap().iter().zip(&answers[number % 100]).all(near));
                through += 1;
            }
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
    assert!(through >= 200 - 28, "{through}");
    // Results come by awaiting too, and the queue is as it was.
    tokio.block_on(async {
        for number in 0..2 {
            queue.submit_async(number, |r| r.set_input(0, image(&inputs, number))).await.unwrap();
        }
        queue.close();
        let mut users = Vec::new();
        while let Some(done) = queue.next_async().await {
            done.result.as_ref().unwrap();
            users.push(done.user);
        }
        users.sort_unstable();
        assert_eq!(users, [0, 1]);
    });
}
