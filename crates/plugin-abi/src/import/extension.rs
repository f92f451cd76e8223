//! Custom layers of the other side.

use super::ports::port_type;
use crate::{
    c,
    export::PortView,
    model::{settings_of, settings_view},
    owner::Kept,
    raw::{Fault, list, take, text},
    status::{Gather, ask, fault},
    tensor::{SentTensor, type_of},
};
use ir::{
    ALIGNMENT, AlignedBytes, ElementType, Tensor,
    device::{DeviceError, DeviceResult},
    element_count,
    extension::{Attributes, EXTENSION_OPSET, Extension},
    op::{Inputs, OpError, OpErrorKind, PortType},
    shape::MAX_RANK,
};
use std::{ffi::c_void, ptr, sync::Arc};

struct Imported {
    object: *mut c_void,
    functions: c::ExtensionFunctions,
    type_name: String,
    version: String,
    /// Nothing, when it lives as long as its library.
    _kept: Option<Kept>,
}

// SAFETY: the contract allows calls from any thread, several at once.
unsafe impl Send for Imported {}
// SAFETY: as above.
unsafe impl Sync for Imported {}

/// An extension of the other side, retained.
///
/// # Safety
/// `extension` is null, or as the contract has it.
pub(crate) unsafe fn adopt(extension: *const c::Extension) -> Result<Arc<dyn Extension>, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        let c::Extension { object, functions } = list(extension, 1, "an extension")?[0];
        let functions = take(functions)?;
        let named = |function: Option<unsafe extern "C" fn(*mut c_void) -> c::Str>, what| {
            let name = function.map_or(Ok(EXTENSION_OPSET), |function| text(function(object), what))?;
            match name.is_empty() {
                true => Err(Fault::Contradiction { what, reason: "it is empty".to_owned() }),
                false => Ok(name.to_owned()),
            }
        };
        let type_name = named(functions.type_name, "the type of an extension")?;
        let version = named(functions.version, "the op set of an extension")?;
        let kept = crate::owner::retained(object, functions.retain, functions.release);
        Ok(Arc::new(Imported { object, functions, type_name, version, _kept: kept }))
    }
}

/// All extensions that `tell` tells a visitor.
///
/// # Safety
/// `tell` calls a function that tells extensions, with what it is given.
pub(crate) unsafe fn gather(
    side: &str,
    tell: impl FnOnce(c::ExtensionVisitor, *mut c_void, *mut c::Message) -> i32,
) -> DeviceResult<Vec<Arc<dyn Extension>>> {
    unsafe extern "C" fn visit(user: *mut c_void, extension: *const c::Extension) {
        // SAFETY: `user` is the gathering below; the extension is as the contract has it.
        unsafe {
            Gather::<Vec<Arc<dyn Extension>>>::add(user, |all, side| {
                all.push(adopt(extension).map_err(fault(side))?);
                Ok(())
            });
        }
    }
    Gather::run(side, Vec::new(), |user| {
        // SAFETY: the caller's promise; all that is passed lives until the call returns.
        unsafe { ask(side, |message| tell(Some(visit), user, message)) }
    })
}

unsafe extern "C" fn visit_output(
    user: *mut c_void,
    element_type: i32,
    rank: i32,
    dimensions: *const c::Dimension,
) {
    // SAFETY: `user` is the gathering of `infer`; the dimensions are as the contract has them.
    unsafe {
        Gather::<Vec<PortType>>::add(user, |outputs, layer| {
            outputs.push(port_type(element_type, rank, dimensions).map_err(fault(layer))?);
            Ok(())
        });
    }
}

/// An output that the other side fills.
struct Output {
    element_type: ElementType,
    shape: Vec<usize>,
    bytes: AlignedBytes,
}

impl Output {
    /// Memory for an output.
    ///
    /// # Safety
    /// The shape is as the contract has it.
    unsafe fn new(element_type: i32, rank: usize, shape: *const usize, layer: &str) -> DeviceResult<Self> {
        if rank > MAX_RANK {
            return Err(fault(layer)(Fault::Length { what: "the rank of an output", len: rank }));
        }
        // SAFETY: the caller's promise.
        let shape = unsafe { list(shape, rank, "the shape of an output") }.map_err(fault(layer))?;
        let element_type = type_of(element_type).map_err(fault(layer))?;
        let len = element_count(shape).and_then(|count| element_type.byte_len(count));
        let mut bytes = AlignedBytes::new(ALIGNMENT);
        match len.filter(|len| isize::try_from(*len).is_ok()) {
            Some(len) if bytes.try_reserve_exact(len).is_ok() => bytes.resize(len, 0),
            _ => {
                let message = format!("an output {element_type}{shape:?} does not fit into memory");
                return Err(DeviceError::Failed { device: layer.to_owned(), message });
            }
        }
        Ok(Self { element_type, shape: shape.to_vec(), bytes })
    }
}

unsafe extern "C" fn allocate(
    user: *mut c_void,
    element_type: i32,
    rank: usize,
    shape: *const usize,
) -> *mut u8 {
    let mut memory = ptr::null_mut();
    // SAFETY: `user` is the gathering of `evaluate`; the shape is as the contract has it.
    unsafe {
        Gather::<Vec<Output>>::add(user, |outputs, layer| {
            let mut output = Output::new(element_type, rank, shape, layer)?;
            memory = output.bytes.as_mut_ptr();
            outputs.push(output);
            Ok(())
        });
    }
    memory
}

/// What the library says, as an error of the op.
fn op_error(error: DeviceError) -> OpError {
    let message = match error {
        DeviceError::Failed { message, .. } => message,
        other => other.to_string(),
    };
    OpError::new(OpErrorKind::Unsupported, message)
}

impl Extension for Imported {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn infer(&self, attributes: Attributes, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        let attributes = settings_of(attributes.0.iter().map(|(name, text)| (name, text)));
        let ports: Vec<PortView> = inputs.0.iter().map(|input| PortView::new(input.ty)).collect();
        let values: Vec<Option<SentTensor>> =
            (0..inputs.len()).map(|i| inputs.tensor(i).map(SentTensor::new)).collect();
        let tensors: Vec<Option<c::Tensor>> =
            values.iter().map(|value| value.as_ref().map(SentTensor::view)).collect();
        let view = |(port, value): (&PortView, &Option<c::Tensor>)| c::InputType {
            element_type: port.element_type,
            rank: port.rank,
            dimensions: port.dimensions.as_ptr(),
            value: value.as_ref().map_or(ptr::null(), ptr::from_ref),
        };
        let views: Vec<c::InputType> = ports.iter().zip(&tensors).map(view).collect();
        let infer = self.functions.infer.expect("checked when it was adopted");
        let call = |user, message| {
            let (attributes, visit) = (settings_view(&attributes), Some(visit_output as _));
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe { infer(self.object, attributes, views.as_ptr(), views.len(), visit, user, message) }
        };
        let outputs = Gather::run(&self.type_name, Vec::new(), |user| {
            // SAFETY: the function fills messages as the contract says.
            unsafe { ask(&self.type_name, |message| call(user, message)) }
        });
        outputs.map_err(op_error)
    }

    fn evaluate(&self, attributes: Attributes, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let attributes = settings_of(attributes.0.iter().map(|(name, text)| (name, text)));
        let sent: Vec<SentTensor> = inputs.iter().map(SentTensor::new).collect();
        let views: Vec<c::Tensor> = sent.iter().map(SentTensor::view).collect();
        let views: Vec<*const c::Tensor> = views.iter().map(ptr::from_ref).collect();
        let evaluate = self.functions.evaluate.expect("checked when it was adopted");
        let call = |user, message| {
            let (attributes, allocate) = (settings_view(&attributes), Some(allocate as _));
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe { evaluate(self.object, attributes, views.as_ptr(), views.len(), allocate, user, message) }
        };
        let outputs = Gather::run(&self.type_name, Vec::new(), |user| {
            // SAFETY: the function fills messages as the contract says.
            unsafe { ask(&self.type_name, |message| call(user, message)) }
        });
        let tensor = |Output { element_type, shape, bytes }| Tensor::from_aligned(element_type, shape, bytes);
        Ok(outputs.map_err(op_error)?.into_iter().map(tensor).collect::<Result<_, _>>()?)
    }
}
