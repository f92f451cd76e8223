//! Where things are handed over: some put them in, others wait for them, on threads or in futures.

use super::sync::{Condvar, Mutex, lock, wait};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// In which order things come out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// As they were promised.
    Submitted,
    /// As they came in.
    Completed,
}

/// Things by number. Each is promised first, then put in, then taken, once.
pub(super) struct Exchange<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    order: Order,
}

struct State<T> {
    items: BTreeMap<u64, T>,
    promised: u64,
    arrived: u64,
    taken: u64,
    /// No more will be promised.
    closed: bool,
    /// Futures that wait, first come first.
    wakers: BTreeMap<u64, Waker>,
    next_waker: u64,
}

impl<T> State<T> {
    /// The next thing, if it is there.
    fn take(&mut self) -> Option<T> {
        let item = self.items.remove(&self.taken)?;
        self.taken += 1;
        Some(item)
    }

    /// True when nothing will come any more.
    fn is_over(&self) -> bool {
        self.closed && self.taken == self.promised
    }

    /// The future to wake, if there is something for it.
    fn next_waiting(&mut self) -> Option<Waker> {
        let ready = self.is_over() || self.items.contains_key(&self.taken);
        if ready { self.wakers.pop_first().map(|(_, waker)| waker) } else { None }
    }
}

impl<T> Exchange<T> {
    pub(super) fn new(order: Order) -> Self {
        let (items, wakers) = (BTreeMap::new(), BTreeMap::new());
        let state = State { items, promised: 0, arrived: 0, taken: 0, closed: false, wakers, next_waker: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new(), order }
    }

    /// Says that something will be put in, whose number comes back.
    pub(super) fn promise(&self) -> u64 {
        let mut state = lock(&self.state);
        state.promised += 1;
        state.promised - 1
    }

    /// Says that nothing more will be promised.
    pub(super) fn close(&self) {
        let waker = {
            let mut state = lock(&self.state);
            state.closed = true;
            state.next_waiting()
        };
        self.pass_on(waker);
    }

    /// Keeps the promise of that number.
    pub(super) fn put(&self, promised: u64, item: T) {
        let waker = {
            let mut state = lock(&self.state);
            let key = if self.order == Order::Submitted { promised } else { state.arrived };
            state.arrived += 1;
            state.items.insert(key, item);
            state.next_waiting()
        };
        self.pass_on(waker);
    }

    /// The next thing if it is there.
    pub(super) fn try_take(&self) -> Option<T> {
        let (item, waker) = {
            let mut state = lock(&self.state);
            let item = state.take();
            (item, state.next_waiting())
        };
        self.pass_on(waker);
        item
    }

    /// Waits for the next thing; nothing when it is closed and everything was taken.
    pub(super) fn take(&self) -> Option<T> {
        let (item, waker) = {
            let mut state = lock(&self.state);
            let item = loop {
                match state.take() {
                    Some(item) => break Some(item),
                    None if state.is_over() => break None,
                    None => state = wait(&self.changed, state),
                }
            };
            (item, state.next_waiting())
        };
        self.pass_on(waker);
        item
    }

    /// Tells others: after a taking, too, there may be the next in order, or the news that nothing is left.
    fn pass_on(&self, waker: Option<Waker>) {
        self.changed.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }

    /// [`Exchange::take`] as a future.
    pub(super) fn take_async(self: &Arc<Self>) -> Taking<T> {
        Taking { exchange: self.clone(), place: None }
    }
}

/// A future of the next thing. Dropping it leaves the thing to others.
pub(super) struct Taking<T> {
    exchange: Arc<Exchange<T>>,
    /// Its place among those who wait.
    place: Option<u64>,
}

impl<T> Future for Taking<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let exchange = self.exchange.clone();
        let (item, waker) = {
            let mut state = lock(&exchange.state);
            let item = state.take();
            if item.is_none() && !state.is_over() {
                let place = *self.place.get_or_insert(state.next_waker);
                state.next_waker = state.next_waker.max(place + 1);
                state.wakers.insert(place, context.waker().clone());
                return Poll::Pending;
            }
            self.place.take().map(|place| state.wakers.remove(&place));
            (item, state.next_waiting())
        };
        exchange.pass_on(waker);
        Poll::Ready(item)
    }
}

impl<T> Drop for Taking<T> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        // Whoever was woken for something and goes without it wakes the next one.
        let waker = {
            let mut state = lock(&self.exchange.state);
            let woken = state.wakers.remove(&place).is_none();
            if woken { state.next_waiting() } else { None }
        };
        waker.into_iter().for_each(Waker::wake);
    }
}
