//! Custom layers as tables of functions.

use super::{HERE, PortView, object, there};
use crate::{
    c,
    import::port_type,
    model::receive_settings,
    owner::{release, retain},
    raw::{Fault, list},
    status::{answer, caught, fault},
    tensor::{receive_constant, type_number},
};
use ir::{
    Tensor,
    device::{DeviceError, DeviceResult},
    extension::{Attributes, Extension},
    op::{Input, Inputs, OpError, PortType, Value},
};
use std::{ffi::c_void, sync::Arc};

type Exported = Arc<dyn Extension>;

/// Extensions for one call to the other side, which retains those that it needs longer.
pub(crate) struct SentExtensions {
    views: Vec<c::Extension>,
    _own: Vec<Arc<Exported>>,
}

impl SentExtensions {
    pub(crate) fn new<'a>(extensions: impl Iterator<Item = &'a Exported>) -> Self {
        let own: Vec<_> = extensions.map(|extension| Arc::new(extension.clone())).collect();
        let view = |own: &Arc<Exported>| c::Extension {
            object: Arc::as_ptr(own).cast_mut().cast(),
            functions: &raw const FUNCTIONS,
        };
        Self { views: own.iter().map(view).collect(), _own: own }
    }

    pub(crate) fn views(&self) -> &[c::Extension] {
        &self.views
    }
}

/// Tells the visitor of the other side all extensions.
///
/// # Safety
/// `visit` takes `user`, as the contract has both.
pub(super) unsafe fn visit_extensions(
    sent: SentExtensions,
    visit: c::ExtensionVisitor,
    user: *mut c_void,
) -> DeviceResult<()> {
    let visit = there(visit, "the visitor of extensions")?;
    // SAFETY: the caller's promise.
    sent.views().iter().for_each(|extension| unsafe { visit(user, extension) });
    Ok(())
}

/// What [`crate::export_extensions`] puts behind the entry symbol.
///
/// # Safety
/// The pointers are as the engine gives them.
#[doc(hidden)]
pub unsafe fn tell(
    visit: c::ExtensionVisitor,
    user: *mut c_void,
    message: *mut c::Message,
    make: impl FnOnce() -> Vec<Exported>,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { answer(message, || visit_extensions(SentExtensions::new(make().iter()), visit, user)) }
}

/// What the entry function of a library of custom layers in Rust returns.
#[doc(hidden)]
pub const fn library(
    extensions: unsafe extern "C" fn(c::ExtensionVisitor, *mut c_void, *mut c::Message) -> i32,
) -> c::ExtensionLibrary {
    let size = size_of::<c::ExtensionLibrary>();
    c::ExtensionLibrary { size, abi_version: c::ABI_VERSION, extensions: Some(extensions) }
}

/// Exports custom layers from this library: `export_extensions![Arc::new(MyLayer), ..]`. For crates of type `cdylib`,
/// once each.
#[macro_export]
macro_rules! export_extensions {
    ($($extension:expr),+ $(,)?) => {
        /// The entry of this library of custom layers.
        // SAFETY: the name is the contract's, and this library defines it once.
        #[unsafe(no_mangle)]
        pub extern "C" fn terroir_extension_entry(_abi_version: u32) -> *const $crate::c::ExtensionLibrary {
            unsafe extern "C" fn extensions(
                visit: $crate::c::ExtensionVisitor,
                user: *mut ::std::ffi::c_void,
                message: *mut $crate::c::Message,
            ) -> i32 {
                // SAFETY: the pointers are the engine's, passed on.
                unsafe { $crate::export::tell(visit, user, message, || vec![$($extension),+]) }
            }
            static LIBRARY: $crate::c::ExtensionLibrary = $crate::export::library(extensions);
            &raw const LIBRARY
        }
    };
}

static FUNCTIONS: c::ExtensionFunctions = c::ExtensionFunctions {
    size: size_of::<c::ExtensionFunctions>(),
    retain: Some(retain::<Exported>),
    release: Some(release::<Exported>),
    type_name: Some(type_name),
    version: Some(version),
    infer: Some(infer),
    evaluate: Some(evaluate),
};

/// A name of an extension, or nothing where that cannot be told.
///
/// # Safety
/// The object is one of `SentExtensions`'.
unsafe fn name(this: *mut c_void, of: impl Fn(&dyn Extension) -> &str) -> c::Str {
    // SAFETY: the caller's promise.
    caught(|| unsafe { object::<Exported>(this) }.map_or("", |this| of(&**this)).into())
        .unwrap_or_else(|_| "".into())
}

unsafe extern "C" fn type_name(this: *mut c_void) -> c::Str {
    // SAFETY: the object is one of `SentExtensions`'.
    unsafe { name(this, |extension| extension.type_name()) }
}

unsafe extern "C" fn version(this: *mut c_void) -> c::Str {
    // SAFETY: the object is one of `SentExtensions`'.
    unsafe { name(this, |extension| extension.version()) }
}

fn failed(extension: &dyn Extension, error: &OpError) -> DeviceError {
    DeviceError::Failed { device: extension.type_name().to_owned(), message: error.to_string() }
}

/// What is known of an input.
///
/// # Safety
/// It is as the contract has it.
unsafe fn input_type(input: &c::InputType) -> DeviceResult<(PortType, Option<Value>)> {
    // SAFETY: the caller's promise.
    unsafe {
        let ty = port_type(input.element_type, input.rank, input.dimensions).map_err(fault(HERE))?;
        let value = match input.value.is_null() {
            true => None,
            false => Some(Value::Known(receive_constant(input.value, HERE)?)),
        };
        Ok((ty, value))
    }
}

unsafe extern "C" fn infer(
    this: *mut c_void,
    attributes: c::Settings,
    inputs: *const c::InputType,
    inputs_len: usize,
    visit: c::OutputVisitor,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `SentExtensions`', the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let extension = object::<Exported>(this)?;
            let visit = there(visit, "the visitor of outputs")?;
            let attributes: Vec<_> = receive_settings(attributes, HERE)?;
            let inputs = list(inputs, inputs_len, "the inputs of an extension").map_err(fault(HERE))?;
            let known = inputs.iter().map(|input| input_type(input)).collect::<DeviceResult<Vec<_>>>()?;
            let inputs: Vec<Input> =
                known.iter().map(|(ty, value)| Input { ty, value: value.as_ref() }).collect();
            let outputs = extension.infer(Attributes(&attributes), &Inputs(&inputs));
            for output in outputs.map_err(|error| failed(&**extension, &error))? {
                let view = PortView::new(&output);
                visit(user, view.element_type, view.rank, view.dimensions.as_ptr());
            }
            Ok(())
        })
    }
}

unsafe extern "C" fn evaluate(
    this: *mut c_void,
    attributes: c::Settings,
    inputs: *const *const c::Tensor,
    inputs_len: usize,
    allocate: c::OutputAllocator,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `SentExtensions`', the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let extension = object::<Exported>(this)?;
            let allocate = there(allocate, "the allocator of outputs")?;
            let attributes: Vec<_> = receive_settings(attributes, HERE)?;
            let inputs = list(inputs, inputs_len, "the inputs of an extension").map_err(fault(HERE))?;
            let inputs = inputs.iter().map(|input| receive_constant(*input, HERE));
            let inputs = inputs.collect::<DeviceResult<Vec<Tensor>>>()?;
            let outputs = extension.evaluate(Attributes(&attributes), &inputs);
            for output in outputs.map_err(|error| failed(&**extension, &error))? {
                let (shape, bytes) = (output.shape(), output.bytes());
                let memory = allocate(user, type_number(output.element_type()), shape.len(), shape.as_ptr());
                if memory.is_null() {
                    return Err(fault(HERE)(Fault::Null { what: "the memory of an output" }));
                }
                memory.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
            Ok(())
        })
    }
}
