//! A plan under construction: values with their layouts and places, steps in order.

use super::{constants::Constants, fuse::Fusions};
use crate::{
    arena::{self, Buffer},
    config::{Settings, processors},
    isa::Isa,
    kernels::{conv::Algorithm, layout, movement::Movement},
    plan::{Answer, Base, Io, Place, Plan, Routine, Row, Step},
    pool::Pool,
    weights::{Shelf, Weights},
};
use ir::{
    Bytes, ElementType, Model, NodeId, Port, Tensor,
    device::{DeviceResult, LayerStatus},
};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A number for a value: a tensor in one layout at one place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ValueId(usize);

/// How the elements of a value lie in memory.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Layout {
    /// Row-major.
    Plain,
    /// `[N, ceil(C / b), H, W, b]`, lanes beyond `C` zero; shapes of rank 2 to 4, with 1 for what is missing.
    Blocked,
    /// The row-major elements of a tensor of another order of dimensions: dimension `i` is its `order[i]`.
    Permuted(Vec<usize>),
}

enum Storage {
    /// Memory of its own.
    Buffer,
    /// Part of another value, from a byte on.
    Within(ValueId, usize),
    /// The caller's or the plan's.
    Fixed(Base),
}

struct Value {
    element_type: ElementType,
    shape: Vec<usize>,
    layout: Layout,
    storage: Storage,
    bytes: usize,
}

/// Packs weights; gives the kernel's name, for the profile, and the kernel.
pub(crate) type Packing = Box<dyn FnOnce() -> (String, Box<Routine>) + Send>;

/// What a step does.
enum Work {
    Ready(String, Box<Routine>),
    Packing(Packing),
}

/// A step whose operands have no places yet.
struct Planned {
    node: NodeId,
    /// It changes a layout for the node.
    reorder: bool,
    work: Work,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    in_place: Option<usize>,
    /// As [`Step::images`].
    images: usize,
}

/// A step of a node.
pub(crate) struct Draft {
    /// The kernel, for the profile.
    pub(crate) exec_type: String,
    /// What it reads.
    pub(crate) inputs: Vec<ValueId>,
    /// What it writes.
    pub(crate) outputs: Vec<ValueId>,
    /// The input whose place its output may take when nobody needs that input afterwards.
    pub(crate) in_place: Option<usize>,
    /// The work.
    pub(crate) routine: Box<Routine>,
}

/// Packs weights, on all processors: the largest first, so that nobody waits long for the last, and little of the
/// file is in memory when nearly all is packed.
fn pack(works: Vec<Work>, sizes: &[usize]) -> Vec<(String, Box<Routine>)> {
    let mut done: Vec<Option<(String, Box<Routine>)>> = Vec::new();
    let mut jobs = Vec::new();
    for (i, work) in works.into_iter().enumerate() {
        done.push(match work {
            Work::Ready(name, routine) => Some((name, routine)),
            Work::Packing(job) => {
                jobs.push((i, job));
                None
            }
        });
    }
    jobs.sort_by_key(|(i, _)| Reverse(sizes[*i]));
    let threads = processors().min(jobs.len());
    let (jobs, done) = (Mutex::new(jobs.into_iter()), Mutex::new(done));
    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
    let worker = || {
        loop {
            let Some((i, job)) = lock(&jobs).next() else { break };
            let packed = job();
            lock(&done)[i] = Some(packed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(worker);
        }
        worker();
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_iter().map(|work| work.expect("every job was done, or its panic passed on")).collect()
}

/// The plan under construction.
pub(crate) struct Builder<'m> {
    pub(crate) model: &'m Model,
    pub(crate) isa: Isa,
    pub(crate) settings: Settings,
    pub(crate) constants: Constants<'m>,
    pub(crate) fusions: Fusions,
    /// How each convolution is computed.
    pub(crate) algorithms: HashMap<NodeId, Algorithm>,
    shelf: Arc<Shelf>,
    values: Vec<Value>,
    ports: HashMap<Port, ValueId>,
    /// Values in other layouts than they were made in.
    copies: HashMap<(ValueId, Layout), ValueId>,
    steps: Vec<Planned>,
    held: Vec<Bytes>,
}

/// The dimensions `[N, C, H, W]` of a shape that can be blocked.
pub(crate) fn dims4(shape: &[usize]) -> Option<[usize; 4]> {
    match *shape {
        [n, c] => Some([n, c, 1, 1]),
        [n, c, w] => Some([n, c, 1, w]),
        [n, c, h, w] => Some([n, c, h, w]),
        _ => None,
    }
}

impl<'m> Builder<'m> {
    pub(crate) fn new(
        model: &'m Model,
        isa: Isa,
        settings: Settings,
        constants: Constants<'m>,
        fusions: Fusions,
        shelf: Arc<Shelf>,
    ) -> Self {
        Self {
            model,
            isa,
            settings,
            shelf,
            constants,
            fusions,
            algorithms: HashMap::new(),
            values: Vec::new(),
            ports: HashMap::new(),
            copies: HashMap::new(),
            steps: Vec::new(),
            held: Vec::new(),
        }
    }

    /// The shape of what comes out of `port`.
    pub(crate) fn shape_of(&self, port: Port) -> Vec<usize> {
        self.model.ty(port).shape.sizes().expect("all shapes are known here")
    }

    /// The dimensions of `port`, if it is f32 and can be blocked.
    pub(crate) fn blockable(&self, port: Port) -> Option<[usize; 4]> {
        let ty = self.model.ty(port);
        let dims = dims4(&self.shape_of(port))?;
        (ty.element_type == ElementType::F32 && !dims.contains(&0)).then_some(dims)
    }

    fn push(
        &mut self,
        element_type: ElementType,
        shape: &[usize],
        layout: Layout,
        storage: Storage,
    ) -> ValueId {
        let bytes = match layout {
            Layout::Blocked => {
                let [n, c, h, w] = dims4(shape).expect("only shapes of rank 2 to 4 are blocked");
                n * c.next_multiple_of(self.isa.block()) * h * w * 4
            }
            _ => ir::element_count(shape)
                .and_then(|n| element_type.byte_len(n))
                .expect("inference bounds sizes"),
        };
        self.values.push(Value { element_type, shape: shape.to_vec(), layout, storage, bytes });
        ValueId(self.values.len() - 1)
    }

    /// A new f32 value.
    pub(crate) fn new_value(&mut self, shape: &[usize], layout: Layout) -> ValueId {
        self.push(ElementType::F32, shape, layout, Storage::Buffer)
    }

    /// A new row-major value of the type and shape of `port`.
    pub(crate) fn plain_value(&mut self, port: Port) -> ValueId {
        let shape = self.shape_of(port);
        self.push(self.model.ty(port).element_type, &shape, Layout::Plain, Storage::Buffer)
    }

    /// An input of the model.
    pub(crate) fn input(&mut self, port: Port, index: usize) {
        let shape = self.shape_of(port);
        let ty = self.model.ty(port).element_type;
        let value = self.push(ty, &shape, Layout::Plain, Storage::Fixed(Base::Input(index)));
        self.ports.insert(port, value);
    }

    /// A constant of the plan.
    pub(crate) fn constant(&mut self, tensor: &Tensor) -> ValueId {
        let mut bytes = tensor.bytes().clone();
        if !(bytes.as_ptr() as usize).is_multiple_of(16) {
            let mut aligned = ir::aligned_zeros(bytes.len());
            aligned.copy_from_slice(&bytes);
            bytes = Bytes::from_owner(aligned);
        }
        self.held.push(bytes);
        let storage = Storage::Fixed(Base::Constant(self.held.len() - 1));
        self.push(tensor.element_type(), tensor.shape(), Layout::Plain, storage)
    }

    /// The elements of `value` under another shape or layout, where they lie.
    pub(crate) fn view(&mut self, value: ValueId, shape: &[usize], layout: Layout) -> ValueId {
        self.push(self.values[value.0].element_type, shape, layout, Storage::Within(value, 0))
    }

    /// Says which value comes out of `port`.
    pub(crate) fn define(&mut self, port: Port, value: ValueId) {
        self.ports.insert(port, value);
    }

    /// The value that comes out of `port`, in the layout it was made in.
    pub(crate) fn value(&mut self, port: Port) -> ValueId {
        if let Some(value) = self.ports.get(&port) {
            return *value;
        }
        let tensor = self.constants.get(port).expect("nodes come after those that they take from");
        let value = self.constant(&tensor);
        self.ports.insert(port, value);
        value
    }

    /// The constant weights that come out of `port`.
    pub(crate) fn weights(&self, port: Port) -> Option<Weights> {
        let tensor = self.constants.stored(port)?.clone();
        Some(Weights::new(tensor, self.shelf.clone(), port))
    }

    /// The layout of a value.
    pub(crate) fn layout(&self, value: ValueId) -> &Layout {
        &self.values[value.0].layout
    }

    /// The shape of a value.
    pub(crate) fn shape(&self, value: ValueId) -> &[usize] {
        &self.values[value.0].shape
    }

    /// Adds a step for `node`.
    pub(crate) fn step(&mut self, node: NodeId, draft: Draft) {
        let Draft { exec_type, inputs, outputs, in_place, routine } = draft;
        let work = Work::Ready(exec_type, routine);
        self.steps.push(Planned { node, reorder: false, work, inputs, outputs, in_place, images: 1 });
    }

    /// Memory that a step works in: one of its outputs, which nobody reads.
    pub(crate) fn scratch(&mut self, floats: usize) -> ValueId {
        self.new_value(&[floats], Layout::Plain)
    }

    /// Adds a step for `node` whose weights are packed last, those of all steps on all processors.
    pub(crate) fn packed_step(
        &mut self,
        node: NodeId,
        inputs: Vec<ValueId>,
        outputs: Vec<ValueId>,
        in_place: Option<usize>,
        packing: Packing,
    ) {
        let work = Work::Packing(packing);
        self.steps.push(Planned { node, reorder: false, work, inputs, outputs, in_place, images: 1 });
    }

    /// Lets the latest step run for so many images, one after the other: its routine is for one, and for one are its
    /// inputs and its first output. What it works in is the same for all.
    pub(crate) fn by_image(&mut self, images: usize) {
        self.steps.last_mut().expect("there is a step").images = images;
    }

    /// `port` in row-major layout, reordered for `node` if it isn't.
    pub(crate) fn plain(&mut self, node: NodeId, port: Port) -> ValueId {
        let value = self.value(port);
        self.plain_of(node, value)
    }

    /// `value` in row-major layout, reordered for `node` if it isn't.
    pub(crate) fn plain_of(&mut self, node: NodeId, value: ValueId) -> ValueId {
        let Value { shape, layout, element_type, .. } = &self.values[value.0];
        let (shape, layout, ty) = (shape.clone(), layout.clone(), *element_type);
        if layout == Layout::Plain {
            return value;
        }
        if let Some(copy) = self.copies.get(&(value, Layout::Plain)) {
            return *copy;
        }
        let isa = self.isa;
        let copy = match layout {
            Layout::Plain => unreachable!("returned above"),
            Layout::Blocked => {
                let dims = dims4(&shape).expect("only these are blocked");
                if self.same_when_blocked(dims) || (dims[0] == 1 && dims[2] * dims[3] == 1) {
                    let copy = self.view(value, &shape, Layout::Plain);
                    self.copies.insert((value, Layout::Plain), copy);
                    return copy;
                }
                let copy = self.new_value(&shape, Layout::Plain);
                self.reorder(node, value, copy, move |io, pool| {
                    layout::unblock(isa, pool, io.input(0), io.out(), dims);
                    Ok(())
                });
                copy
            }
            Layout::Permuted(order) => {
                let copy = self.push(ty, &shape, Layout::Plain, Storage::Buffer);
                let axis =
                    |(size, stride): (&usize, usize)| (0..*size).map(|i| (i * stride) as isize).collect();
                let tables: Vec<Vec<isize>> =
                    shape.iter().zip(permuted_strides(&shape, &order)).map(axis).collect();
                let movement = Movement::new(ty.bits() / 8, 0, &tables);
                self.reorder(node, value, copy, move |io, pool| {
                    movement.run(pool, io.input(0), io.out(), &[]);
                    Ok(())
                });
                copy
            }
        };
        self.copies.insert((value, Layout::Plain), copy);
        copy
    }

    /// True when blocked and row-major elements lie the same way.
    fn same_when_blocked(&self, [_, c, h, w]: [usize; 4]) -> bool {
        h * w == 1 && c.is_multiple_of(self.isa.block())
    }

    /// `port` (an f32 of rank 2 to 4) in blocked layout, reordered for `node` if it isn't.
    pub(crate) fn blocked(&mut self, node: NodeId, port: Port) -> ValueId {
        let value = self.value(port);
        self.blocked_of(node, value)
    }

    /// `value` (an f32 of rank 2 to 4) in blocked layout, reordered for `node` if it isn't.
    pub(crate) fn blocked_of(&mut self, node: NodeId, value: ValueId) -> ValueId {
        let Value { shape, layout, .. } = &self.values[value.0];
        let (shape, layout) = (shape.clone(), layout.clone());
        if layout == Layout::Blocked {
            return value;
        }
        if let Some(copy) = self.copies.get(&(value, Layout::Blocked)) {
            return *copy;
        }
        let dims = dims4(&shape).expect("asked for shapes of rank 2 to 4 only");
        let copy = if layout == Layout::Plain && self.same_when_blocked(dims) {
            self.view(value, &shape, Layout::Blocked)
        } else {
            let order = match layout {
                Layout::Permuted(order) => order,
                _ => (0..shape.len()).collect(),
            };
            let strides = permuted_strides(&shape, &order);
            let strides = match *strides {
                [n, c] => [n, c, 0, 0],
                [n, c, w] => [n, c, 0, w],
                [n, c, h, w] => [n, c, h, w],
                _ => unreachable!("rank 2 to 4"),
            };
            let copy = self.new_value(&shape, Layout::Blocked);
            let isa = self.isa;
            self.reorder(node, value, copy, move |io, pool| {
                layout::block(isa, pool, io.input(0), strides, io.out(), dims);
                Ok(())
            });
            copy
        };
        self.copies.insert((value, Layout::Blocked), copy);
        copy
    }

    fn reorder(
        &mut self,
        node: NodeId,
        from: ValueId,
        to: ValueId,
        routine: impl Fn(&Io, &mut Pool) -> DeviceResult<()> + Send + Sync + 'static,
    ) {
        let work = Work::Ready(format!("reorder_{}_f32", self.isa.name()), Box::new(routine));
        let (inputs, outputs) = (vec![from], vec![to]);
        self.steps.push(Planned { node, reorder: true, work, inputs, outputs, in_place: None, images: 1 });
    }

    /// Lets `part` lie within `whole` from byte `offset` on; false when its place is decided already.
    pub(crate) fn place_within(&mut self, part: ValueId, whole: ValueId, offset: usize) -> bool {
        let value = &mut self.values[part.0];
        let free = matches!(value.storage, Storage::Buffer);
        if free {
            value.storage = Storage::Within(whole, offset);
        }
        free
    }

    /// A part of `whole`, from byte `offset` on.
    pub(crate) fn part(&mut self, whole: ValueId, offset: usize, shape: &[usize], layout: Layout) -> ValueId {
        self.push(self.values[whole.0].element_type, shape, layout, Storage::Within(whole, offset))
    }

    /// Lets the model's output `index` come from `port`.
    pub(crate) fn output(&mut self, node: NodeId, port: Port, index: usize) {
        let value = self.plain(node, port);
        let (mut root, mut whole) = (value, true);
        while let Storage::Within(parent, offset) = self.values[root.0].storage {
            whole &= offset == 0 && self.values[parent.0].bytes == self.values[value.0].bytes;
            root = parent;
        }
        if whole && matches!(self.values[root.0].storage, Storage::Buffer) {
            self.values[root.0].storage = Storage::Fixed(Base::Output(index));
            return;
        }
        let ty = self.values[value.0].element_type;
        let shape = self.values[value.0].shape.clone();
        let copy = self.push(ty, &shape, Layout::Plain, Storage::Fixed(Base::Output(index)));
        self.reorder(node, value, copy, |io, _| {
            io.out::<u8>().copy_from_slice(io.input(0));
            Ok(())
        });
    }

    /// Prepares for steps that run image by image: `spans` of values that are there before them or after them reach over
    /// all of those steps. Values that only they see need the memory of one image; gives those, with the images.
    fn by_images(&self, spans: &mut HashMap<usize, (usize, usize)>) -> HashMap<usize, usize> {
        // The steps that run together with each.
        let mut together = Vec::new();
        for steps in self.steps.chunk_by(|a, b| a.images == b.images && a.images > 1) {
            let run = together.len()..together.len() + steps.len();
            together.extend(std::iter::repeat_n(run, steps.len()));
        }
        let mut runs = HashMap::new();
        let mut parts = HashSet::new();
        for step in self.steps.iter().filter(|step| step.images > 1) {
            for value in step.inputs.iter().chain(&step.outputs[..1]) {
                let (root, offset) = self.root(*value);
                runs.insert(root, step.images);
                if offset > 0 || self.values[value.0].bytes != self.values[root].bytes {
                    parts.insert(root);
                }
            }
        }
        runs.retain(|root, _| {
            let (first, last) = spans[root];
            let within = together[first].contains(&last) && !parts.contains(root);
            if !within {
                spans.insert(*root, (together[first].start, together[last].end - 1));
            }
            within && matches!(self.values[*root].storage, Storage::Buffer)
        });
        runs
    }

    /// The value that `value` lies in, and from which byte on.
    fn root(&self, value: ValueId) -> (usize, usize) {
        let (mut root, mut offset) = (value.0, 0);
        while let Storage::Within(parent, at) = self.values[root].storage {
            offset += at;
            root = parent.0;
        }
        (root, offset)
    }

    /// Places everything and puts the plan together.
    pub(crate) fn finish(mut self, order: &[NodeId]) -> Plan {
        // Life spans of roots, in steps.
        let mut spans: HashMap<usize, (usize, usize)> = HashMap::new();
        for (i, step) in self.steps.iter().enumerate() {
            for value in step.inputs.iter().chain(&step.outputs) {
                let span = spans.entry(self.root(*value).0).or_insert((i, i));
                span.1 = i;
            }
        }
        // An output takes the place of an input that ends with the step: both become one buffer.
        for i in 0..self.steps.len() {
            let draft = &self.steps[i];
            let Some(input) = draft.in_place else { continue };
            let (from, from_offset) = self.root(draft.inputs[input]);
            let (to, to_offset) = self.root(draft.outputs[0]);
            let fits = self.values[from].bytes == self.values[to].bytes && from_offset == 0 && to_offset == 0;
            let free = |value: usize| matches!(self.values[value].storage, Storage::Buffer);
            let others = draft.inputs.iter().enumerate().filter(|(at, _)| *at != input);
            let alone = others.clone().all(|(_, other)| self.root(*other).0 != from);
            if from != to
                && fits
                && alone
                && free(from)
                && free(to)
                && spans[&from].1 == i
                && spans[&to].0 == i
            {
                let last = spans[&to].1;
                spans.remove(&to);
                spans.get_mut(&from).expect("it is used here").1 = last;
                self.values[to].storage = Storage::Within(ValueId(from), 0);
            }
        }
        let runs = self.by_images(&mut spans);
        let mut roots: Vec<usize> = spans.keys().copied().collect();
        roots.retain(|root| matches!(self.values[*root].storage, Storage::Buffer));
        roots.sort_unstable();
        let buffer = |root: &usize| {
            let (first, last) = spans[root];
            Buffer { bytes: self.values[*root].bytes / runs.get(root).unwrap_or(&1), first, last }
        };
        // Threads divide scratch memory otherwise than activations: where both share memory, one core's cache would take
        // lines from another's. One thread alone is faster with less memory.
        let apart = self.settings.threads_of(0) > 1;
        let (scratch, kept): (Vec<usize>, Vec<usize>) =
            roots.into_iter().partition(|root| apart && spans[root].0 == spans[root].1);
        let mut offsets: HashMap<usize, usize> = HashMap::new();
        let mut total = 0;
        for roots in [scratch, kept] {
            let (own, bytes) = arena::assign(&roots.iter().map(buffer).collect::<Vec<_>>());
            offsets.extend(roots.into_iter().zip(own.into_iter().map(|offset| total + offset)));
            total += bytes;
        }
        let place = |value: &ValueId, images: usize| {
            let (root, offset) = self.root(*value);
            let len = self.values[value.0].bytes / images;
            let parts = if runs.contains_key(&root) { 1 } else { images };
            match self.values[root].storage {
                Storage::Fixed(base) => Place { base, offset, len, parts },
                _ => Place { base: Base::Arena, offset: offsets[&root] + offset, len, parts },
            }
        };
        let places: Vec<(Vec<Place>, Vec<Place>)> = self
            .steps
            .iter()
            .map(|draft| {
                let inputs = draft.inputs.iter().map(|value| place(value, draft.images));
                // What a step works in is whole.
                let outputs = draft.outputs.iter().enumerate();
                let outputs = outputs.map(|(i, value)| place(value, if i == 0 { draft.images } else { 1 }));
                (inputs.collect(), outputs.collect())
            })
            .collect();
        let model = self.model;
        let answer = |id: &NodeId| {
            let ty = model.ty(model.node(*id).inputs()[0]);
            let shape = ty.shape.sizes().expect("all shapes are known here");
            Answer { element_type: ty.element_type, shape }
        };
        let answers = model.results().iter().map(answer).collect();
        let bytes = |id: &NodeId| {
            let ty = model.ty((*id).into());
            let count = ty.shape.sizes().and_then(|s| ir::element_count(&s));
            count.and_then(|n| ty.element_type.byte_len(n)).expect("inference bounds the sizes")
        };
        let input_bytes = model.parameters().iter().map(bytes).collect();
        let size = |step: &Planned| {
            let constants =
                model.node(step.node).inputs().iter().filter_map(|port| self.constants.stored(*port));
            constants.map(|tensor| tensor.bytes().len()).sum()
        };
        let sizes: Vec<usize> = self.steps.iter().map(size).collect();
        let images: Vec<usize> = self.steps.iter().map(|step| step.images).collect();
        let works = self.steps.iter_mut().map(|step| {
            let nothing = Work::Ready(String::new(), Box::new(|_, _| Ok(())));
            std::mem::replace(&mut step.work, nothing)
        });
        let (names, routines): (Vec<String>, Vec<Box<Routine>>) =
            pack(works.collect(), &sizes).into_iter().unzip();
        let (rows, row_of) = self.rows(order, &names);
        let steps = routines.into_iter().zip(places).zip(row_of.into_iter().zip(images)).map(
            |((routine, (inputs, outputs)), (row, images))| Step { inputs, outputs, row, images, routine },
        );
        Plan::new(steps.collect(), rows, self.held, answers, total, input_bytes)
    }

    /// The profile's rows, nodes in order, each after the reorders that serve it; and the row of each step.
    fn rows(&self, order: &[NodeId], kernels: &[String]) -> (Vec<Row>, Vec<usize>) {
        let mut steps_of: HashMap<NodeId, Vec<usize>> = HashMap::new();
        for (i, step) in self.steps.iter().enumerate() {
            steps_of.entry(step.node).or_default().push(i);
        }
        let (mut rows, mut row_of) = (Vec::new(), vec![0; self.steps.len()]);
        for id in order {
            let node = self.model.node(*id);
            let mut main = None;
            let none = Vec::new();
            let name = match node.op {
                ir::Op::OpResult(_) => &self.model.node(node.inputs()[0].node).name,
                _ => &node.name,
            };
            for step in steps_of.get(id).unwrap_or(&none) {
                let reorder = self.steps[*step].reorder;
                let row = |layer_type: &str| Row {
                    name: name.clone(),
                    layer_type: layer_type.to_owned(),
                    exec_type: kernels[*step].clone(),
                    status: LayerStatus::Executed,
                };
                row_of[*step] = if reorder {
                    rows.push(row("Reorder"));
                    rows.len() - 1
                } else {
                    *main.get_or_insert_with(|| {
                        rows.push(row(node.op.type_name()));
                        rows.len() - 1
                    })
                };
            }
            if main.is_none() && super::has_row(node) && !self.constants.is_stored(*id) {
                let parameter = matches!(node.op, ir::Op::Parameter(_));
                rows.push(Row {
                    name: name.clone(),
                    layer_type: node.op.type_name().to_owned(),
                    exec_type: "undef".to_owned(),
                    status: if parameter { LayerStatus::NotRun } else { LayerStatus::OptimizedOut },
                });
            }
        }
        (rows, row_of)
    }
}

/// The strides of the dimensions of `shape`, whose elements lie row-major in another order of dimensions.
fn permuted_strides(shape: &[usize], order: &[usize]) -> Vec<usize> {
    let mut sizes = vec![0; shape.len()];
    for (size, at) in shape.iter().zip(order) {
        sizes[*at] = *size;
    }
    let stride = |at: &usize| sizes[at + 1..].iter().product();
    order.iter().map(stride).collect()
}
