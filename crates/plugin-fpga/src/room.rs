//! How much of a board's memory is taken: by networks that are loaded, and by tensors that stay there.

use crate::{device::failed, program::Program};
use ir::device::DeviceResult;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The memory of a board, counted for one process.
pub(crate) struct Room {
    bytes: u64,
    taken: AtomicU64,
}

/// A part of it, given back when dropped.
pub(crate) struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { bytes, taken: AtomicU64::new(0) })
    }

    /// Takes bytes for `what`.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64, what: &str) -> DeviceResult<Taken> {
        let more = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= self.bytes);
        let outcome = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        outcome.map(|_| Taken { room: self.clone(), bytes }).map_err(|taken| {
            failed(format!(
                "{what} takes {bytes} bytes of the board's memory, which has {}, of which {taken} are taken: drop requests or \
                 remote tensors first, or take another board",
                self.bytes
            ))
        })
    }
}

impl Taken {
    /// For a program with memory of its own: features, constants, descriptors.
    pub(crate) fn by_program(room: &Arc<Room>, program: &Program, word_bytes: u32) -> DeviceResult<Self> {
        let features = u64::from(program.feature_words) * u64::from(word_bytes);
        let descriptors = 64 * program.instructions.len() as u64;
        room.take(features + program.constants.len() as u64 + descriptors, "the network")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let room = Room::new(100);
        let first = room.take(60, "a").ok().unwrap();
        let second = room.take(40, "b").ok().unwrap();
        let error = room.take(1, "the third").err().unwrap().to_string();
        assert!(
            error.contains("the third takes 1 bytes") && error.contains("has 100, of which 100"),
            "{error}"
        );
        drop(first);
        assert!(room.take(61, "c").is_err() && room.take(u64::MAX, "d").is_err());
        drop(second);
        assert!(room.take(100, "e").is_ok());
    }
}
