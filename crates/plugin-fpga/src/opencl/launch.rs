//! A program in a device's memory, and its launches.

use super::{OpenClError, failed, memory::DeviceMemory};
use crate::{
    architecture::Architecture,
    executor::{CardMemory, Counters, ExecutorError, Loaded},
    instruction::Instruction,
    program::Program,
    ranges::{Extent, out_words},
};
use opencl3::{
    command_queue::{CL_QUEUE_PROFILING_ENABLE, CommandQueue},
    context::Context,
    event::Event,
    kernel::{ExecuteKernel, Kernel},
    memory::{Buffer, CL_MEM_READ_ONLY, CL_MEM_READ_WRITE},
    program::Program as DeviceProgram,
    types::{CL_BLOCKING, cl_int, cl_uint},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Work-items of a group. One size for all launches, since some drivers compile for each size anew.
const GROUP: usize = 4;

/// A loaded program.
pub(super) struct Launches {
    queue: CommandQueue,
    compute: Kernel,
    put: Kernel,
    program: Arc<Program>,
    architecture: Architecture,
    descriptors: Buffer<u8>,
    constants: Buffer<u8>,
    features: Buffer<u16>,
    stream: Buffer<u16>,
    /// What an instruction makes, and what the one before has handed over.
    made: [Buffer<u16>; 2],
}

/// Memory of the device, with these bytes at its start.
fn holding(context: &Context, queue: &CommandQueue, bytes: &[u8]) -> Result<Buffer<u8>, OpenClError> {
    // SAFETY: no host memory is given to the buffer.
    let buffer =
        unsafe { Buffer::create(context, CL_MEM_READ_ONLY, bytes.len().max(1), std::ptr::null_mut()) };
    let mut buffer = buffer.map_err(failed("taking memory of the device"))?;
    if !bytes.is_empty() {
        // SAFETY: the buffer has as many bytes, and the call blocks until they have been read.
        let event = unsafe { queue.enqueue_write_buffer(&mut buffer, CL_BLOCKING, 0, bytes, &[]) };
        event.map_err(failed("writing constants"))?;
    }
    Ok(buffer)
}

/// Memory of the device, zeroed.
pub(super) fn zeros(
    context: &Context,
    queue: &CommandQueue,
    values: u64,
) -> Result<Buffer<u16>, OpenClError> {
    let values = usize::try_from(values).unwrap_or(usize::MAX / 4).max(1);
    // SAFETY: no host memory is given to the buffer.
    let buffer = unsafe { Buffer::create(context, CL_MEM_READ_WRITE, values, std::ptr::null_mut()) };
    let mut buffer = buffer.map_err(failed("taking memory of the device"))?;
    // SAFETY: the buffer has 2 bytes for each value.
    let event = unsafe { queue.enqueue_fill_buffer(&mut buffer, &[0u16], 0, values * 2, &[]) };
    event.and_then(|event| event.wait()).map_err(failed("clearing memory"))?;
    Ok(buffer)
}

/// A queue of the context's device.
pub(super) fn queue(context: &Context) -> Result<CommandQueue, OpenClError> {
    // SAFETY: the device is the context's own.
    let queue = unsafe { CommandQueue::create(context, context.default_device(), CL_QUEUE_PROFILING_ENABLE) };
    queue.map_err(failed("making a queue"))
}

impl Launches {
    pub(super) fn new(
        context: &Context,
        overlay: &DeviceProgram,
        architecture: &Architecture,
        program: Arc<Program>,
        extent: Extent,
    ) -> Result<Self, OpenClError> {
        let queue = queue(context)?;
        let kernel = |name| Kernel::create(overlay, name).map_err(failed("finding a kernel in the overlay"));
        let vector = u64::from(architecture.input_vector);
        let descriptors: Vec<u8> = program.instructions.iter().flat_map(Instruction::encode).collect();
        Ok(Self {
            compute: kernel("compute")?,
            put: kernel("put")?,
            descriptors: holding(context, &queue, &descriptors)?,
            constants: holding(context, &queue, &program.constants)?,
            features: zeros(context, &queue, u64::from(program.feature_words) * vector)?,
            stream: zeros(context, &queue, extent.stream_words * vector)?,
            made: [zeros(context, &queue, extent.made)?, zeros(context, &queue, extent.made)?],
            architecture: architecture.clone(),
            program,
            queue,
        })
    }

    /// One instruction's kernels. `handed` are the words of a place of what the convolution before has made.
    fn instruction(&mut self, index: usize, handed: &mut u32) -> Result<Vec<Event>, OpenClError> {
        let instruction = self.program.instructions[index];
        let vector = self.architecture.input_vector as cl_int;
        let places = |height: u16, width: u16| usize::from(height) * usize::from(width);
        // Words that it moves or makes; words of a place and whether they go to a map.
        let (words, made) = match &instruction {
            Instruction::End => return Ok(Vec::new()),
            Instruction::Load(transfer) | Instruction::Store(transfer) => (transfer.count as usize, None),
            Instruction::Convolve(c) => {
                let words = out_words(&self.architecture, c) as usize;
                (places(c.out_height, c.out_width) * words, Some((words, !c.chained)))
            }
            Instruction::Auxiliary(a) => {
                let words = usize::from(a.blocks);
                (places(a.out_height, a.out_width) * words, Some((words, true)))
            }
        };
        if words == 0 {
            return Ok(Vec::new());
        }
        let (index, items) = (index as cl_uint, words as cl_uint);
        let work = words.next_multiple_of(GROUP);
        let mut compute = ExecuteKernel::new(&self.compute);
        // SAFETY: the arguments are those of `compute` in overlay.cl, in their order and of their types. `check` has held
        // every address of the instruction to the memories; the buffers are as large as it says.
        let event = unsafe {
            compute
                .set_arg(&self.descriptors)
                .set_arg(&index)
                .set_arg(&items)
                .set_arg(&self.constants)
                .set_arg(&self.features)
                .set_arg(&self.stream)
                .set_arg(&self.made[0])
                .set_arg(&self.made[1])
                .set_arg(&*handed)
                .set_arg(&vector)
                .set_arg(&(self.architecture.output_vector as cl_int))
                .set_arg(&(self.architecture.precision.mantissa_bits() as cl_int))
                .set_global_work_size(work)
                .set_local_work_size(GROUP)
                .enqueue_nd_range(&self.queue)
        };
        let mut events = vec![event.map_err(failed("running an instruction"))?];
        match made {
            Some((place, true)) => {
                let mut put = ExecuteKernel::new(&self.put);
                // SAFETY: the arguments are those of `put`, and `check` has held the output's map to the stream buffer.
                let event = unsafe {
                    put.set_arg(&self.descriptors)
                        .set_arg(&index)
                        .set_arg(&items)
                        .set_arg(&self.made[0])
                        .set_arg(&self.stream)
                        .set_arg(&(place as cl_uint))
                        .set_arg(&vector)
                        .set_global_work_size(work)
                        .set_local_work_size(GROUP)
                        .enqueue_nd_range(&self.queue)
                };
                events.push(event.map_err(failed("writing what an instruction made"))?);
            }
            Some((place, false)) => {
                *handed = place as u32;
                self.made.swap(0, 1);
            }
            None => {}
        }
        Ok(events)
    }

    /// Where values begin in the features' memory.
    fn start(&self, address: u32, values: usize) -> Result<usize, ExecutorError> {
        let vector = self.architecture.input_vector as usize;
        let (start, all) = (address as usize * vector, self.program.feature_words as usize * vector);
        if start.saturating_add(values) > all {
            return Err(ExecutorError::Device(format!(
                "{values} values from {start} on of the features' memory were asked for, which has {all}"
            )));
        }
        Ok(start)
    }
}

impl Loaded for Launches {
    fn write(&mut self, address: u32, values: &[u16]) -> Result<(), ExecutorError> {
        let start = self.start(address, values.len())?;
        if !values.is_empty() {
            // SAFETY: the values lie within the buffer, and the call blocks until they have been read.
            let event = unsafe {
                self.queue.enqueue_write_buffer(&mut self.features, CL_BLOCKING, start * 2, values, &[])
            };
            event.map_err(failed("writing features"))?;
        }
        Ok(())
    }

    fn fill(&mut self, address: u32, from: &dyn CardMemory) -> Result<(), ExecutorError> {
        let from = DeviceMemory::of(from)?;
        let start = self.start(address, from.values)?;
        if from.values > 0 {
            // SAFETY: both ranges lie within their buffers, which are not the same; they are held until the copy has
            // ended.
            let event = unsafe {
                let (to, bytes) = (&mut self.features, from.values * 2);
                self.queue.enqueue_copy_buffer(&from.buffer, to, 0, start * 2, bytes, &[])
            };
            event.and_then(|event| event.wait()).map_err(failed("copying to features"))?;
        }
        Ok(())
    }

    fn drain(&mut self, address: u32, to: &mut dyn CardMemory) -> Result<(), ExecutorError> {
        let to = DeviceMemory::of_mut(to)?;
        let start = self.start(address, to.values)?;
        if to.values > 0 {
            // SAFETY: as above.
            let event = unsafe {
                let bytes = to.values * 2;
                self.queue.enqueue_copy_buffer(&self.features, &mut to.buffer, start * 2, 0, bytes, &[])
            };
            event.and_then(|event| event.wait()).map_err(failed("copying from features"))?;
        }
        Ok(())
    }

    fn launch(&mut self) -> Result<Counters, ExecutorError> {
        let start = Instant::now();
        let end = self.program.instructions.iter().position(|i| *i == Instruction::End);
        let mut handed = 0;
        let mut events = Vec::new();
        for index in 0..end.unwrap_or(self.program.instructions.len()) {
            events.extend(self.instruction(index, &mut handed)?);
        }
        self.queue.finish().map_err(failed("waiting for the program"))?;
        let mut device = Duration::ZERO;
        for event in &events {
            let time = event.profiling_command_start().and_then(|start| {
                Ok(Duration::from_nanos(event.profiling_command_end()?.saturating_sub(start)))
            });
            device += time.map_err(failed("reading the time of an instruction"))?;
        }
        Ok(Counters { host: start.elapsed(), device: Some(device) })
    }

    fn read(&mut self, address: u32, values: &mut [u16]) -> Result<(), ExecutorError> {
        let start = self.start(address, values.len())?;
        if !values.is_empty() {
            // SAFETY: the values lie within the buffer, and the call blocks until they have been written.
            let event = unsafe {
                self.queue.enqueue_read_buffer(&self.features, CL_BLOCKING, start * 2, values, &[])
            };
            event.map_err(failed("reading features"))?;
        }
        Ok(())
    }
}
