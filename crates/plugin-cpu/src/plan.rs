//! A model lowered for one set of input shapes: steps in order, resolved to kernels and places in memory.
//!
//! The run loop knows no op. A step is a closure over its kernel and an [`Io`] that resolves its operands; it
//! allocates nothing (but for steps that run the reference) and takes no lock.

use crate::{compile, config::Settings, pool::Pool, stream::Stream, weights::Shelf};
use ir::{
    Bytes, ElementType, Model, Tensor,
    device::{DeviceError, DeviceResult, LayerStatus, ProfileRow, Span},
};
use smallvec::SmallVec;
use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// A list that takes no memory of its own while it is as short as those of inputs and outputs are.
pub(crate) type Few<T> = SmallVec<[T; 4]>;

/// Which memory an operand lies in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Base {
    /// The stream's arena.
    Arena,
    /// An input of the model, in the caller's memory.
    Input(usize),
    /// An output of the model, in the caller's memory.
    Output(usize),
    /// A constant of the plan.
    Constant(usize),
}

/// Where an operand of a step lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The memory.
    pub(crate) base: Base,
    /// The first byte.
    pub(crate) offset: usize,
    /// Bytes that a run of the step sees.
    pub(crate) len: usize,
    /// Such parts side by side, one for each image of the batch; one if every image has the same memory.
    pub(crate) parts: usize,
}

impl Place {
    fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len * self.parts
    }

    fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self.range(), other.range());
        self.base == other.base && a.start < b.end && b.start < a.end
    }
}

/// What a step's closure does.
pub(crate) type Routine = dyn Fn(&Io, &mut Pool) -> DeviceResult<()> + Send + Sync;

/// One step: operands and what to do with them.
pub(crate) struct Step {
    /// Places that are read.
    pub(crate) inputs: Vec<Place>,
    /// Places that are written: none overlaps another, nor an input, unless it is that input's very place.
    pub(crate) outputs: Vec<Place>,
    /// The row of the profile that it counts for.
    pub(crate) row: usize,
    /// How often it runs, with the steps beside it that run as often: for the images of a batch, one after the other.
    pub(crate) images: usize,
    /// The work.
    pub(crate) routine: Box<Routine>,
}

/// A row of the profile without its time.
pub(crate) struct Row {
    /// The node's name.
    pub(crate) name: String,
    /// The op's type name.
    pub(crate) layer_type: String,
    /// The kernel.
    pub(crate) exec_type: String,
    /// What became of it.
    pub(crate) status: LayerStatus,
}

/// An output of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// Its type.
    pub(crate) element_type: ElementType,
    /// Its shape.
    pub(crate) shape: Vec<usize>,
}

/// A model lowered for one set of input shapes.
pub(crate) struct Plan {
    steps: Vec<Step>,
    rows: Vec<Row>,
    constants: Vec<Bytes>,
    answers: Vec<Answer>,
    arena: usize,
    input_bytes: Vec<usize>,
    output_bytes: Vec<usize>,
}

impl Plan {
    /// Puts a plan together.
    ///
    /// # Panics
    /// If operands lie outside of their memory or overlap where they must not: a bug of the lowering.
    pub(crate) fn new(
        steps: Vec<Step>,
        rows: Vec<Row>,
        constants: Vec<Bytes>,
        answers: Vec<Answer>,
        arena: usize,
        input_bytes: Vec<usize>,
    ) -> Self {
        let bytes = |a: &Answer| {
            let count = ir::element_count(&a.shape).and_then(|n| a.element_type.byte_len(n));
            count.expect("inference bounds the sizes")
        };
        let output_bytes = answers.iter().map(bytes).collect();
        let plan = Self { steps, rows, constants, answers, arena, input_bytes, output_bytes };
        for step in &plan.steps {
            let name = &plan.rows[step.row].name;
            for place in step.inputs.iter().chain(&step.outputs) {
                assert!(place.parts == 1 || place.parts == step.images);
                let bound = match place.base {
                    Base::Arena => arena,
                    Base::Input(i) => plan.input_bytes[i],
                    Base::Output(i) => plan.output_bytes[i],
                    Base::Constant(i) => plan.constants[i].len(),
                };
                assert!(place.range().end <= bound, "`{name}`: {place:?} of {bound}");
                assert!(place.len == 0 || place.offset.is_multiple_of(4) || place.base != Base::Arena);
            }
            for (i, output) in step.outputs.iter().enumerate() {
                assert!(matches!(output.base, Base::Arena | Base::Output(_)), "`{name}` writes {output:?}");
                let others = step.outputs[..i].iter();
                assert!(!others.clone().any(|o| o.overlaps(output)), "`{name}`: outputs overlap");
                let clash = step.inputs.iter().any(|input| input != output && input.overlaps(output));
                assert!(
                    !clash,
                    "`{name}`: an output overlaps an input: {:?} {:?}",
                    step.inputs, step.outputs
                );
            }
        }
        plan
    }

    /// Bytes that it takes, about, without the weights that it shares with other plans.
    fn bytes(&self) -> usize {
        self.constants.iter().map(Bytes::len).sum::<usize>() + STEP * self.steps.len()
    }

    /// Types and shapes of the outputs.
    pub(crate) fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// The bytes of output `i`.
    pub(crate) fn output_bytes(&self, i: usize) -> usize {
        self.output_bytes[i]
    }

    /// Runs the steps. Inputs and outputs are the model's, whole, in order, aligned as their elements ask for.
    pub(crate) fn run(
        &self,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        stream: &mut Stream,
        cancelled: &AtomicBool,
        profile: Option<&mut Vec<ProfileRow>>,
    ) -> DeviceResult<()> {
        assert!(inputs.iter().map(|i| i.len()).eq(self.input_bytes.iter().copied()));
        assert!(outputs.iter().map(|o| o.len()).eq(self.output_bytes.iter().copied()));
        let outputs: Few<*mut u8> = outputs.iter_mut().map(|o| o.as_mut_ptr()).collect();
        let memory = Memory {
            arena: stream.arena.bytes(self.arena).as_mut_ptr(),
            inputs,
            outputs: &outputs,
            constants: &self.constants,
        };
        let mut times = profile.as_ref().map(|_| vec![Times::default(); self.rows.len()]);
        // An image passes through all the steps that take one, so that what lies between stays in the cache.
        for steps in self.steps.chunk_by(|a, b| a.images == b.images) {
            for image in 0..steps[0].images {
                for step in steps {
                    if cancelled.load(Ordering::Relaxed) {
                        return Err(DeviceError::Cancelled);
                    }
                    let start = times.as_ref().map(|_| Instant::now());
                    (step.routine)(&Io { memory: &memory, step, image }, &mut stream.pool)?;
                    if let (Some(times), Some(start)) = (&mut times, start) {
                        times[step.row].add(start);
                    }
                }
            }
        }
        if let (Some(profile), Some(times)) = (profile, times) {
            profile.clear();
            let clock = Clock::new();
            profile.extend(self.rows.iter().zip(times).map(|(row, times)| ProfileRow {
                name: row.name.clone(),
                status: row.status,
                layer_type: row.layer_type.clone(),
                exec_type: row.exec_type.clone(),
                real_time: times.sum,
                cpu_time: times.sum,
                span: times.begin.map(|begin| clock.span(stream.number, begin)),
            }));
        }
        Ok(())
    }
}

/// When the steps of a row ran.
#[derive(Clone, Copy, Default)]
struct Times {
    begin: Option<Instant>,
    sum: Duration,
}

impl Times {
    /// Adds a step that began then and ends now.
    fn add(&mut self, begin: Instant) {
        self.begin.get_or_insert(begin);
        self.sum += begin.elapsed();
    }
}

/// The clock that layers are measured by beside the system's.
struct Clock(Instant, SystemTime);

impl Clock {
    fn new() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    fn span(&self, lane: usize, begin: Instant) -> Span {
        let begin = self.1.checked_sub(self.0 - begin).unwrap_or(SystemTime::UNIX_EPOCH);
        Span { device: "CPU".to_owned(), lane, begin }
    }
}

/// The memory of one run.
struct Memory<'a> {
    arena: *mut u8,
    inputs: &'a [&'a [u8]],
    outputs: &'a [*mut u8],
    constants: &'a [Bytes],
}

/// What a step sees of the memory.
pub(crate) struct Io<'a> {
    memory: &'a Memory<'a>,
    step: &'a Step,
    image: usize,
}

impl<'a> Io<'a> {
    fn at(&self, place: &Place) -> *mut u8 {
        let base = match place.base {
            Base::Arena => self.memory.arena,
            Base::Input(i) => self.memory.inputs[i].as_ptr().cast_mut(),
            Base::Output(i) => self.memory.outputs[i],
            Base::Constant(i) => self.memory.constants[i].as_ptr().cast_mut(),
        };
        let image = if place.parts == 1 { 0 } else { self.image };
        // SAFETY: `Plan::new` checked that the place lies within its memory, `Plan::run` that the memory is whole.
        unsafe { base.add(place.offset + image * place.len) }
    }

    /// The elements of input `i`.
    pub(crate) fn input<T: bytemuck::Pod>(&self, i: usize) -> &'a [T] {
        let place = &self.step.inputs[i];
        let at = self.at(place).cast::<T>();
        assert!(at.is_aligned());
        // SAFETY: within its memory (see `at`), aligned, initialised, any bits are a `T`. Nobody writes it during
        // the step: other steps don't run, and outputs lie elsewhere unless the step works in place, which it then
        // knows by `in_place` and does not ask for this input.
        unsafe { std::slice::from_raw_parts(at, place.len / size_of::<T>()) }
    }

    /// True when output 0 lies where input `i` does: the input must then not be asked for.
    pub(crate) fn in_place(&self, i: usize) -> bool {
        self.step.inputs[i] == self.step.outputs[0]
    }

    /// The elements of the only output, to write; asked for once in a step.
    pub(crate) fn out<T: bytemuck::Pod>(&self) -> &'a mut [T] {
        assert_eq!(self.step.outputs.len(), 1);
        self.output(0)
    }

    /// The elements of output `i`, to write; asked for once in a step.
    pub(crate) fn output<T: bytemuck::Pod>(&self, i: usize) -> &'a mut [T] {
        let place = &self.step.outputs[i];
        let at = self.at(place).cast::<T>();
        assert!(at.is_aligned());
        // SAFETY: as for inputs; `Plan::new` checked that outputs of a step overlap nothing else of the step, and a
        // step asks once.
        unsafe { std::slice::from_raw_parts_mut(at, place.len / size_of::<T>()) }
    }
}

/// Bytes that plans may take beyond the weights of one: what they do not share, and weights in forms that only some
/// of them use.
const SPARE: usize = 32 << 20;
/// Bytes that a step takes, about: its kernel's tables and its places.
const STEP: usize = 2 << 10;

/// Input shapes and their plan.
type Recent = (Vec<Vec<usize>>, Option<Arc<Plan>>);

/// The plans of one model.
#[expect(clippy::large_enum_variant, reason = "there is one a model")]
pub(crate) enum Plans {
    /// All shapes are known.
    Fixed(Arc<Plan>),
    /// A plan for each set of input shapes.
    Dynamic {
        /// The model.
        model: Model,
        /// Its packed weights, which the plans share.
        shelf: Arc<Shelf>,
        /// What plans are made for.
        settings: Settings,
        /// Bytes that they may take together; the latest is kept whatever it takes.
        budget: usize,
        /// Plans by input shapes, the latest last; no plan where shapes depend on data even so.
        recent: Mutex<Vec<Recent>>,
    },
}

/// Bytes of a model's constants, half precision widened.
fn weights_of(model: &Model) -> usize {
    let bytes = |node: &ir::Node| match &node.op {
        ir::Op::Constant(constant) => constant.tensor.bytes().len().max(constant.tensor.len() * 4),
        _ => 0,
    };
    model.nodes().map(|(_, node)| bytes(node)).sum()
}

impl Plans {
    /// Lowers the model as far as its shapes are known.
    pub(crate) fn new(model: &Model, settings: Settings, shelf: &Arc<Shelf>) -> DeviceResult<Self> {
        model.topological_order()?;
        let plan = compile::lower(model, &settings, shelf)?;
        shelf.check()?;
        Ok(match plan {
            Some(plan) => Self::Fixed(Arc::new(plan)),
            None => {
                let budget = weights_of(model) / 2 * 3 + SPARE;
                Self::Dynamic {
                    model: model.clone(),
                    shelf: shelf.clone(),
                    settings,
                    budget,
                    recent: Mutex::default(),
                }
            }
        })
    }

    /// The plan for these input shapes; `None` where shapes depend on data.
    pub(crate) fn plan(&self, shapes: &[&[usize]]) -> DeviceResult<Option<Arc<Plan>>> {
        let (model, shelf, settings, budget, recent) = match self {
            Self::Fixed(plan) => return Ok(Some(plan.clone())),
            Self::Dynamic { model, shelf, settings, budget, recent } => {
                (model, shelf, settings, *budget, recent)
            }
        };
        let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = recent.iter().position(|(key, _)| key.iter().eq(shapes.iter()));
        let entry = match known {
            Some(at) => recent.remove(at),
            None => {
                let mut model = model.clone();
                for (id, shape) in model.parameters().to_vec().into_iter().zip(shapes) {
                    model.set_parameter_shape(id, (*shape).into());
                }
                model.infer()?;
                let plan = compile::lower(&model, settings, shelf)?.map(Arc::new);
                shelf.check()?;
                (shapes.iter().map(|shape| shape.to_vec()).collect(), plan)
            }
        };
        let plan = entry.1.clone();
        recent.push(entry);
        if known.is_none() {
            let own = |recent: &[Recent]| {
                recent.iter().flat_map(|(_, plan)| plan).map(|plan| plan.bytes()).sum::<usize>()
            };
            while recent.len() > 1 && shelf.bytes() + own(&recent) > budget {
                recent.remove(0);
            }
        }
        Ok(plan)
    }

    /// Runs the model node by node with the reference: where shapes depend on data.
    pub(crate) fn interpret(
        &self,
        inputs: &[Tensor],
        cancelled: &AtomicBool,
        mut profile: Option<&mut Vec<ProfileRow>>,
        lane: usize,
    ) -> DeviceResult<Vec<Tensor>> {
        let Self::Dynamic { model, .. } = self else { unreachable!("fixed shapes have a plan") };
        if let Some(profile) = &mut profile {
            profile.clear();
        }
        let order = model.topological_order()?;
        // A tensor is dropped when its last user has run.
        let mut uses: Vec<usize> = vec![0; model.capacity()];
        for id in &order {
            uses[id.index()] = model.users_of(*id).count();
        }
        let mut values: Vec<Vec<Tensor>> = vec![Vec::new(); model.capacity()];
        for id in order {
            if cancelled.load(Ordering::Relaxed) {
                return Err(DeviceError::Cancelled);
            }
            let node = model.node(id);
            let start = Instant::now();
            values[id.index()] = match model.parameters().iter().position(|p| *p == id) {
                Some(at) => vec![inputs[at].clone()],
                None => {
                    let from = |p: &ir::Port| values[p.node.index()][p.index].clone();
                    let arguments: Vec<Tensor> = node.inputs().iter().map(from).collect();
                    let outputs = node.op.operator().evaluate(&arguments);
                    outputs.map_err(|source| model.op_error(node, source))?
                }
            };
            for port in node.inputs() {
                uses[port.node.index()] -= 1;
                if uses[port.node.index()] == 0 {
                    values[port.node.index()].clear();
                }
            }
            if let Some(profile) = &mut profile
                && compile::has_row(node)
            {
                profile.push(ProfileRow {
                    name: node.name.clone(),
                    status: LayerStatus::Executed,
                    layer_type: node.op.type_name().to_owned(),
                    exec_type: "ref_any".to_owned(),
                    real_time: start.elapsed(),
                    cpu_time: start.elapsed(),
                    span: Some(Clock::new().span(lane, start)),
                });
            }
        }
        Ok(model.results().iter().map(|id| values[id.index()][0].clone()).collect())
    }
}
