//! Memory of a simulated card beside that of programs.

use crate::executor::{CardMemory, ExecutorError};
use std::any::Any;

/// fp16 values in the host's memory, which is the card's here.
pub(super) struct SimulatedMemory(pub(super) Box<[u16]>);

impl SimulatedMemory {
    pub(super) fn of(memory: &dyn CardMemory) -> Result<&Self, ExecutorError> {
        (memory as &dyn Any).downcast_ref().ok_or(ExecutorError::Foreign)
    }

    pub(super) fn of_mut(memory: &mut dyn CardMemory) -> Result<&mut Self, ExecutorError> {
        (memory as &mut dyn Any).downcast_mut().ok_or(ExecutorError::Foreign)
    }

    fn check(&self, values: usize) -> Result<(), ExecutorError> {
        let own = self.0.len();
        if values == own { Ok(()) } else { Err(ExecutorError::Length { own, asked: values }) }
    }
}

impl CardMemory for SimulatedMemory {
    fn write(&mut self, values: &[u16]) -> Result<(), ExecutorError> {
        self.check(values.len())?;
        self.0.copy_from_slice(values);
        Ok(())
    }

    fn read(&self, values: &mut [u16]) -> Result<(), ExecutorError> {
        self.check(values.len())?;
        values.copy_from_slice(&self.0);
        Ok(())
    }
}
