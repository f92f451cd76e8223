//! Weights on their way from the model's file into the form that a kernel asks for.
//!
//! Packed weights outlive the kernel that asked for them: another plan of the same model, made for other input
//! shapes, finds them on the [`Shelf`] and reads nothing from the file.

use crate::{
    export::Originals,
    isa::{Isa, Kernel, Simd},
    memory::{Packed, Region},
};
use half::{f16, slice::HalfFloatSliceExt};
use ir::{
    Bytes, ElementType, Port, Tensor,
    device::{DeviceError, DeviceResult},
};
use std::{
    any::Any,
    borrow::Cow,
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

/// What tells packed weights apart: the constant by its node's number and output, what it was multiplied by, the form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) node: usize,
    pub(crate) output: usize,
    /// A hash of the factors.
    pub(crate) scale: u64,
    pub(crate) form: String,
}

/// Packed weights that some plan holds, and their bytes.
struct Form {
    weights: Weak<dyn Any + Send + Sync>,
    bytes: usize,
    view: fn(Arc<dyn Any + Send + Sync>) -> Bytes,
}

/// The packed weights of one model.
#[derive(Default)]
pub(crate) struct Shelf {
    forms: Mutex<HashMap<Key, Form>>,
    /// Those that were packed in an earlier life.
    stored: HashMap<Key, Bytes>,
    /// The constants that those were packed from.
    originals: Option<Originals>,
    /// A constant had to be packed after all, and it is damaged.
    damaged: AtomicBool,
}

/// Packed weights as bytes.
struct View<T>(Arc<Packed<T>>);

impl<T: bytemuck::Pod> AsRef<[u8]> for View<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl Shelf {
    /// A shelf with weights that were packed before.
    pub(crate) fn stored(stored: HashMap<Key, Bytes>, originals: Originals) -> Self {
        Self { stored, originals: Some(originals), ..Self::default() }
    }

    /// Fails if damaged constants have been packed.
    pub(crate) fn check(&self) -> DeviceResult<()> {
        if self.damaged.load(Ordering::Relaxed) {
            return Err(DeviceError::Failed {
                device: "CPU".to_owned(),
                message: "the imported model is damaged: the checksum of a constant differs".to_owned(),
            });
        }
        Ok(())
    }

    /// All that some plan holds, to be stored; in an order that is always the same.
    pub(crate) fn views(&self) -> Vec<(Key, Bytes)> {
        let views = |(key, form): (&Key, &Form)| Some((key.clone(), (form.view)(form.weights.upgrade()?)));
        let mut views: Vec<_> = self.forms().iter().filter_map(views).collect();
        views.sort_by(|(a, _), (b, _)| a.cmp(b));
        views
    }

    fn forms(&self) -> MutexGuard<'_, HashMap<Key, Form>> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of all that some plan holds.
    pub(crate) fn bytes(&self) -> usize {
        self.forms().values().filter(|form| form.weights.strong_count() > 0).map(|form| form.bytes).sum()
    }
}

/// Constant weights, f32 or f16, that are yet to be packed.
#[derive(Clone)]
pub(crate) struct Weights {
    tensor: Tensor,
    /// Element `i` is multiplied by `scale[i / run % scale.len()]`.
    scale: Option<(Vec<f32>, usize)>,
    shelf: Option<(Arc<Shelf>, Port)>,
}

impl Weights {
    /// Weights that come out of `port`.
    pub(crate) fn new(tensor: Tensor, shelf: Arc<Shelf>, port: Port) -> Self {
        Self { tensor, scale: None, shelf: Some((shelf, port)) }
    }

    /// The weights with element `i` multiplied by `scale[i / run % scale.len()]`.
    pub(crate) fn scaled(self, scale: Option<Vec<f32>>, run: usize) -> Self {
        Self { scale: scale.filter(|scale| !scale.is_empty()).map(|scale| (scale, run.max(1))), ..self }
    }

    /// The number of weights.
    pub(crate) fn len(&self) -> usize {
        self.tensor.len()
    }

    /// The weights in a form: what `form` says tells it from all other forms of the same weights.
    pub(crate) fn packed<T: bytemuck::Pod + Send + Sync>(
        &self,
        form: impl Into<String>,
        pack: impl FnOnce(&[f32]) -> Packed<T>,
    ) -> Arc<Packed<T>> {
        self.kept(form.into(), || pack(&self.floats()))
    }

    /// As [`packed`](Self::packed), of weights that are stored in half precision and are to stay so.
    pub(crate) fn packed_half<T: bytemuck::Pod + Send + Sync>(
        &self,
        form: impl Into<String>,
        pack: impl FnOnce(&[f16]) -> Packed<T>,
    ) -> Arc<Packed<T>> {
        self.kept(form.into(), || pack(&self.tensor.view::<f16>().expect("these are stored as f16")))
    }

    /// True when [`packed_half`](Self::packed_half) gives the weights as they are.
    pub(crate) fn is_half(&self) -> bool {
        self.tensor.element_type() == ElementType::F16 && self.scale.is_none()
    }

    fn kept<T: bytemuck::Pod + Send + Sync>(
        &self,
        form: String,
        pack: impl FnOnce() -> Packed<T>,
    ) -> Arc<Packed<T>> {
        let fresh = || {
            let packed = Arc::new(pack());
            ir::release(self.tensor.bytes());
            packed
        };
        let Some((shelf, port)) = &self.shelf else { return fresh() };
        let fresh = || {
            if shelf.originals.as_ref().is_some_and(|originals| !originals.intact(self.tensor.bytes())) {
                shelf.damaged.store(true, Ordering::Relaxed);
            }
            fresh()
        };
        let mut hasher = DefaultHasher::new();
        if let Some((scale, run)) = &self.scale {
            run.hash(&mut hasher);
            scale.iter().for_each(|scale| scale.to_bits().hash(&mut hasher));
        }
        let key = Key { node: port.node.index(), output: port.index, scale: hasher.finish(), form };
        let known = shelf.forms().get(&key).and_then(|form| form.weights.upgrade());
        if let Some(Ok(packed)) = known.map(|known| known.downcast()) {
            return packed;
        }
        let stored = shelf.stored.get(&key).and_then(Packed::stored).map(Arc::new);
        let packed = stored.unwrap_or_else(fresh);
        let weights = Arc::downgrade(&packed);
        let bytes = packed.len() * size_of::<T>();
        let mut forms = shelf.forms();
        forms.retain(|_, form| form.weights.strong_count() > 0);
        let view = |weights: Arc<dyn Any + Send + Sync>| {
            let weights = weights.downcast::<Packed<T>>().expect("this form's own type");
            Bytes::from_owner(View(weights))
        };
        forms.insert(key, Form { weights, bytes, view });
        packed
    }

    /// The numbers, straight from the file where they are stored like that.
    fn floats(&self) -> Numbers<'_> {
        let mut numbers = match self.tensor.element_type() {
            ElementType::F16 => {
                let half = self.tensor.view::<f16>().expect("the type was matched");
                let mut wide = Region::zeroed(half.len() * size_of::<f32>());
                half.convert_to_f32_slice(bytemuck::cast_slice_mut(&mut wide));
                Numbers::Wide(wide)
            }
            _ => Numbers::Stored(self.tensor.view().expect("weights are f32 or f16")),
        };
        if let Some((scale, run)) = &self.scale {
            for (row, scale) in numbers.to_mut().chunks_mut(*run).zip(scale.iter().cycle()) {
                row.iter_mut().for_each(|weight| *weight *= scale);
            }
        }
        numbers
    }
}

impl<T: ir::Element> From<&[T]> for Weights {
    fn from(numbers: &[T]) -> Self {
        let tensor = Tensor::from_slice(&[numbers.len()], numbers).expect("a vector of its length");
        Self { tensor, scale: None, shelf: None }
    }
}

/// Numbers to be packed.
enum Numbers<'a> {
    Stored(Cow<'a, [f32]>),
    /// Floats in memory that goes back to the system at once.
    Wide(Region),
}

impl Numbers<'_> {
    fn to_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Stored(numbers) => numbers.to_mut(),
            Self::Wide(region) => bytemuck::cast_slice_mut(region),
        }
    }
}

impl std::ops::Deref for Numbers<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match self {
            Self::Stored(numbers) => numbers,
            Self::Wide(region) => bytemuck::cast_slice(region),
        }
    }
}

/// Copies `rows` rows of `columns` elements, `stride` apart, as columns: element `(r, c)` goes to
/// `dst[place(c) + r]`.
///
/// # Panics
/// If that is out of bounds.
pub(crate) fn transpose<T: bytemuck::Pod>(
    isa: Isa,
    src: &[T],
    stride: usize,
    [rows, columns]: [usize; 2],
    dst: &mut [T],
    place: impl Fn(usize) -> usize,
) {
    isa.dispatch(Transpose { src, stride, rows, columns, dst, place });
}

/// See [`transpose`].
struct Transpose<'a, T, P> {
    src: &'a [T],
    stride: usize,
    rows: usize,
    columns: usize,
    dst: &'a mut [T],
    place: P,
}

impl<T: bytemuck::Pod, P: Fn(usize) -> usize> Kernel for Transpose<'_, T, P> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { src, stride, rows, columns, dst, place } = self;
        for row in (0..rows).step_by(S::LANES) {
            let height = S::LANES.min(rows - row);
            for column in (0..columns).step_by(S::LANES) {
                let width = S::LANES.min(columns - column);
                if size_of::<T>() == size_of::<f32>() && [height, width] == [S::LANES; 2] {
                    let mut square = [s.splat(0.0); 16];
                    for (r, line) in square.iter_mut().enumerate().take(S::LANES) {
                        let from = &src[(row + r) * stride + column..][..S::LANES];
                        // SAFETY: so many elements of this size; vectors are only moved, and keep any bits.
                        *line = unsafe { s.load(from.as_ptr().cast()) };
                    }
                    s.transpose(&mut square);
                    for (c, line) in square.iter().enumerate().take(S::LANES) {
                        let to = &mut dst[place(column + c) + row..][..S::LANES];
                        // SAFETY: as above.
                        unsafe { s.store(to.as_mut_ptr().cast(), *line) };
                    }
                    continue;
                }
                for c in column..column + width {
                    let to = &mut dst[place(c) + row..][..height];
                    to.iter_mut().enumerate().for_each(|(r, to)| *to = src[(row + r) * stride + c]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_of_any_size() {
        fn check<T: bytemuck::Pod + PartialEq + std::fmt::Debug>(isa: Isa, number: impl Fn(usize) -> T) {
            for [rows, columns] in [[0, 3], [1, 1], [16, 16], [17, 40], [5, 33], [64, 9]] {
                let stride = columns + 3;
                let src: Vec<T> = (0..rows * stride).map(&number).collect();
                let mut dst = vec![number(9999); (rows + 2) * columns];
                transpose(isa, &src, stride, [rows, columns], &mut dst, |c| c * (rows + 2));
                for (i, x) in dst.iter().enumerate() {
                    let (c, r) = (i / (rows + 2), i % (rows + 2));
                    assert_eq!(*x, if r < rows { src[r * stride + c] } else { number(9999) });
                }
            }
        }
        for isa in Isa::available() {
            check(isa, |i| i as f32);
            check(isa, |i| i as u16);
        }
    }

    #[test]
    fn forms_are_packed_once_and_go_with_their_last_user() {
        let shelf = Arc::new(Shelf::default());
        let tensor = Tensor::from_slice(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
        let port = ir::Model::new("m").add_parameter("p", ElementType::F32, [1usize].as_slice().into());
        let weights = Weights::new(tensor, shelf.clone(), port.into());
        let pack = |numbers: &[f32]| Packed::from(numbers);
        let one = weights.packed("as it is", pack);
        let again = weights.packed("as it is", |_| panic!("it is known"));
        assert!(Arc::ptr_eq(&one, &again));
        let scaled = weights.clone().scaled(Some(vec![1.0, 10.0]), 2);
        assert_eq!(**scaled.packed("as it is", pack), [1.0, 2.0, 30.0, 40.0]);
        assert_eq!(shelf.bytes(), 16);
        // Views keep the weights as their users do.
        let copies = shelf.views().into_iter().map(|(key, bytes)| (key, Bytes::copy_from_slice(&bytes)));
        let stored: HashMap<Key, Bytes> = copies.collect();
        drop((one, again));
        assert_eq!(shelf.bytes(), 0);
        let shelf = Arc::new(Shelf { stored, ..Shelf::default() });
        let weights = Weights { shelf: Some((shelf.clone(), port.into())), ..weights };
        let again = weights.packed("as it is", |_| -> Packed<f32> { panic!("it is stored") });
        assert_eq!(**again, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(shelf.bytes(), 16);
    }
}
