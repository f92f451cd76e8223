//! Every order of events in the queue's two state machines, as far as `loom` can tell: run with
//! `RUSTFLAGS="--cfg loom" cargo test -p runtime --lib loom`.

use super::{
    exchange::{Exchange, Order},
    job::{Job, Runs},
};
use crate::error::Result;
use ir::device::{DeviceError, DeviceResult};
use loom::{
    future::block_on,
    sync::{
        Arc as LoomArc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

type Done = Box<dyn FnOnce(DeviceResult<()>) + Send>;

/// A request whose answer comes from another thread, or from within the call that stops it.
struct Fake(LoomArc<Mutex<Option<Done>>>);

impl Runs for Fake {
    fn run(&mut self, done: Done) -> Result<()> {
        *self.0.lock().unwrap() = Some(done);
        Ok(())
    }

    fn stop(&self) {
        let done = self.0.lock().unwrap().take();
        done.into_iter().for_each(|done| done(Err(DeviceError::Cancelled)));
    }
}

#[test]
fn a_job_is_delivered_once_whoever_ends_it() {
    loom::model(|| {
        let ends = LoomArc::new(AtomicUsize::new(0));
        let counted = ends.clone();
        let job = Job::new(move |_request, _answer| _ = counted.fetch_add(1, Ordering::SeqCst));
        let done = LoomArc::new(Mutex::new(None));
        let device = {
            let done = done.clone();
            thread::spawn(move || {
                let taken: Option<Done> = done.lock().unwrap().take();
                taken.into_iter().for_each(|done| done(Ok(())));
            })
        };
        let canceller = {
            let job = job.clone();
            thread::spawn(move || job.cancel())
        };
        job.start(Fake(done));
        device.join().unwrap();
        canceller.join().unwrap();
        // Cancelling always ends it, whether the device was faster or not.
        assert_eq!(ends.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn everything_put_in_is_taken_once_by_threads_and_futures() {
    loom::model(|| {
        let exchange = Arc::new(Exchange::new(Order::Submitted));
        let promises = [exchange.promise(), exchange.promise()];
        exchange.close();
        let taker = {
            let exchange = exchange.clone();
            thread::spawn(move || exchange.take())
        };
        let putter = {
            let exchange = exchange.clone();
            thread::spawn(move || promises.into_iter().rev().for_each(|number| exchange.put(number, number)))
        };
        let awaited = block_on(exchange.take_async());
        let waited = taker.join().unwrap();
        putter.join().unwrap();
        let mut both = [awaited.unwrap(), waited.unwrap()];
        both.sort_unstable();
        assert_eq!(both, [0, 1]);
        assert_eq!(exchange.take(), None);
    });
}

#[test]
fn a_future_that_goes_leaves_its_thing_to_the_next() {
    loom::model(|| {
        let exchange = Arc::new(Exchange::new(Order::Completed));
        let promise = exchange.promise();
        let putter = {
            let exchange = exchange.clone();
            thread::spawn(move || exchange.put(promise, 7))
        };
        // Polled once, then dropped: perhaps before it is woken, perhaps after. What it got, it gives back.
        let impatient = {
            let exchange = exchange.clone();
            thread::spawn(move || {
                let mut first = Box::pin(exchange.take_async());
                let took = block_on(poll_fn(|context| match first.as_mut().poll(context) {
                    Poll::Ready(item) => Poll::Ready(item),
                    Poll::Pending => Poll::Ready(None),
                }));
                if let Some(item) = took {
                    exchange.put(exchange.promise(), item);
                }
            })
        };
        assert_eq!(block_on(exchange.take_async()), Some(7));
        impatient.join().unwrap();
        putter.join().unwrap();
    });
}
