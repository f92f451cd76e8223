//! Memory of a device beside that of programs.

use super::{
    OpenClError, failed,
    launch::{queue, zeros},
};
use crate::executor::{CardMemory, ExecutorError};
use opencl3::{command_queue::CommandQueue, context::Context, memory::Buffer, types::CL_BLOCKING};
use std::{any::Any, sync::Arc};

/// fp16 values in a device's memory.
pub(super) struct DeviceMemory {
    pub(super) buffer: Buffer<u16>,
    pub(super) values: usize,
    queue: CommandQueue,
    context: Arc<Context>,
}

impl DeviceMemory {
    pub(super) fn new(context: &Arc<Context>, values: usize) -> Result<Self, OpenClError> {
        let queue = queue(context)?;
        let buffer = zeros(context, &queue, values as u64)?;
        Ok(Self { buffer, values, queue, context: context.clone() })
    }

    pub(super) fn of(memory: &dyn CardMemory) -> Result<&Self, ExecutorError> {
        (memory as &dyn Any).downcast_ref().ok_or(ExecutorError::Foreign)
    }

    pub(super) fn of_mut(memory: &mut dyn CardMemory) -> Result<&mut Self, ExecutorError> {
        (memory as &mut dyn Any).downcast_mut().ok_or(ExecutorError::Foreign)
    }

    pub(super) fn is_of(&self, context: &Arc<Context>) -> bool {
        Arc::ptr_eq(&self.context, context)
    }

    fn check(&self, values: usize) -> Result<(), ExecutorError> {
        let own = self.values;
        if values == own { Ok(()) } else { Err(ExecutorError::Length { own, asked: values }) }
    }
}

impl CardMemory for DeviceMemory {
    fn write(&mut self, values: &[u16]) -> Result<(), ExecutorError> {
        self.check(values.len())?;
        if !values.is_empty() {
            // SAFETY: the buffer has as many values, and the call blocks until they have been read.
            let event =
                unsafe { self.queue.enqueue_write_buffer(&mut self.buffer, CL_BLOCKING, 0, values, &[]) };
            event.map_err(failed("writing the card's memory"))?;
        }
        Ok(())
    }

    fn read(&self, values: &mut [u16]) -> Result<(), ExecutorError> {
        self.check(values.len())?;
        if !values.is_empty() {
            // SAFETY: the buffer has as many values, and the call blocks until they have been written.
            let event = unsafe { self.queue.enqueue_read_buffer(&self.buffer, CL_BLOCKING, 0, values, &[]) };
            event.map_err(failed("reading the card's memory"))?;
        }
        Ok(())
    }
}
