//! A variable: its names, its type and shape, and the parts that it is stored in.

use crate::{
    VariableError,
    ordered_code::Extent,
    proto::{self, TensorShapeProto, TensorSliceProto},
};
use fixedbitset::FixedBitSet;
use ir::{ElementType, Tensor};

/// One variable of a checkpoint, as listed: no data is read yet.
#[derive(Debug)]
pub struct Variable {
    pub(crate) key: String,
    pub(crate) full_name: Option<String>,
    pub(crate) data_type: i32,
    pub(crate) shape: Vec<usize>,
    pub(crate) parts: Vec<Part>,
}

/// A stored part: the whole tensor, or one slice of it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) start: Box<[usize]>,
    pub(crate) shape: Box<[usize]>,
    /// Where the bytes are, as the format counts: an index into its list of parts.
    pub(crate) place: usize,
}

impl Variable {
    /// The name: of an object-based checkpoint the full variable name (`dense/kernel`) where it has one, else
    /// [`Variable::key`].
    pub fn name(&self) -> &str {
        self.full_name.as_deref().unwrap_or(&self.key)
    }

    /// The checkpoint key: the variable's name, or the path through the objects
    /// (`model/layer-1/kernel/.ATTRIBUTES/VARIABLE_VALUE`).
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The element type; `None` for what no tensor holds (strings, variants, complex numbers).
    pub fn element_type(&self) -> Option<ElementType> {
        proto::element_type(self.data_type)
    }

    /// TensorFlow's name of the element type: `DT_FLOAT`, `DT_STRING`.
    pub fn type_name(&self) -> String {
        proto::type_name(self.data_type)
    }

    /// The dimensions of the whole variable, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many slices the variable is stored in: 1 unless it is partitioned.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }
}

/// TensorFlow's own limit.
const MAX_RANK: usize = 254;

/// The dimensions of a shape whose elements can be counted.
pub(crate) fn dimensions(shape: Option<&TensorShapeProto>) -> Result<Vec<usize>, VariableError> {
    let Some(shape) = shape else { return Ok(Vec::new()) };
    let stored = || shape.dim.iter().map(|dim| dim.size);
    let dims: Option<Vec<usize>> = stored().map(|size| usize::try_from(size).ok()).collect();
    dims.filter(|dims| !shape.unknown_rank && dims.len() <= MAX_RANK && ir::element_count(dims).is_some())
        .ok_or_else(|| VariableError::Shape { dims: stored().collect() })
}

/// The extents of a slice; a negative length means the whole dimension, as TensorFlow's -1 does.
pub(crate) fn extents(slice: &TensorSliceProto) -> Vec<Extent> {
    let extent = |extent: &proto::tensor_slice_proto::Extent| Extent {
        start: extent.start,
        length: extent.length.filter(|length| *length >= 0),
    };
    slice.extent.iter().map(extent).collect()
}

/// `start,length` of each dimension, as TensorFlow writes slices.
pub(crate) fn slice_text(slice: &[Extent]) -> String {
    let text = |extent: &Extent| match extent.length {
        Some(length) => format!("{},{length}", extent.start),
        None => "-".to_owned(),
    };
    slice.iter().map(text).collect::<Vec<_>>().join(":")
}

impl Part {
    pub(crate) fn whole(shape: &[usize], place: usize) -> Self {
        Self { start: vec![0; shape.len()].into(), shape: shape.into(), place }
    }

    /// The part that a slice of a tensor of this shape is.
    pub(crate) fn of_slice(slice: &[Extent], shape: &[usize], place: usize) -> Result<Self, VariableError> {
        let bounds = |(extent, dim): (&Extent, &usize)| match extent.length {
            None => Some((0, *dim)),
            Some(length) => {
                let (start, length) = (usize::try_from(extent.start).ok()?, usize::try_from(length).ok()?);
                start.checked_add(length).filter(|end| length > 0 && end <= dim).map(|_| (start, length))
            }
        };
        let bounds: Option<Vec<_>> = slice.iter().zip(shape).map(bounds).collect();
        match bounds.filter(|_| slice.len() == shape.len()) {
            Some(bounds) => {
                let (start, shape): (Vec<_>, Vec<_>) = bounds.into_iter().unzip();
                Ok(Self { start: start.into(), shape: shape.into(), place })
            }
            None => Err(VariableError::Slice { slice: slice_text(slice), shape: shape.into() }),
        }
    }

    /// Elements of the part; it lies within a tensor whose elements were counted.
    fn elements(&self) -> usize {
        ir::element_count(&self.shape).unwrap_or(usize::MAX)
    }
}

/// Sorts parts by where they start, and checks that no two start together and that they have as many elements as
/// the whole.
pub(crate) fn order_parts(parts: &mut [Part], shape: &[usize]) -> Result<(), VariableError> {
    parts.sort_by(|a, b| a.start.cmp(&b.start));
    if parts.windows(2).any(|pair| pair[0].start == pair[1].start) {
        return Err(VariableError::Overlap { shape: shape.into() });
    }
    let expected = ir::element_count(shape).unwrap_or(usize::MAX);
    let found = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.elements()));
    if found == expected {
        Ok(())
    } else {
        Err(VariableError::Coverage { shape: shape.into(), expected, found })
    }
}

/// Puts a tensor together from the tensors of its parts, which have been through [`order_parts`]: a single part is
/// shared, several are copied.
pub(crate) fn assemble(
    element_type: ElementType,
    shape: &[usize],
    parts: &[(&Part, Tensor)],
) -> Result<Tensor, VariableError> {
    if let [(_, tensor)] = parts {
        return Ok(tensor.clone());
    }
    let size = element_type.bits() / 8;
    let elements = ir::element_count(shape).unwrap_or(usize::MAX);
    let too_large = ir::TensorError::TooLarge { ty: element_type, shape: shape.into() };
    let mut whole = ir::aligned_zeros(element_type.byte_len(elements).ok_or(too_large)?);
    let mut filled = FixedBitSet::with_capacity(elements);
    for (part, tensor) in parts.iter().filter(|(_, tensor)| !tensor.is_empty()) {
        // Elements lie in a row from the last dimension that the part does not take whole.
        let cut = (0..shape.len()).rev().find(|axis| part.shape[*axis] != shape[*axis]).unwrap_or(0);
        let row: usize = part.shape[cut..].iter().product();
        let inner: usize = shape[cut..].iter().skip(1).product();
        for (i, source) in tensor.bytes().chunks_exact(row * size).enumerate() {
            let mut at = part.start.get(cut).copied().unwrap_or(0) * inner;
            let (mut index, mut stride) = (i, shape[cut..].iter().product::<usize>());
            for axis in (0..cut).rev() {
                at += (part.start[axis] + index % part.shape[axis]) * stride;
                index /= part.shape[axis];
                stride *= shape[axis];
            }
            if filled.contains_any_in_range(at..at + row) {
                return Err(VariableError::Overlap { shape: shape.into() });
            }
            filled.insert_range(at..at + row);
            whole[at * size..(at + row) * size].copy_from_slice(source);
        }
    }
    Ok(Tensor::from_aligned(element_type, shape.into(), whole)?)
}
