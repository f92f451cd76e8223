//! A compiled model as a table of functions.

use super::{HERE, give_object, object, port_index, raw, release, remote, request, there};
use crate::{
    c,
    raw::{Fault, text},
    status::{answer, fault},
    tensor::type_number,
};
use ir::{
    device::{CompiledModel, PortInfo},
    op::PortType,
};
use std::{
    ffi::c_void,
    io::{self, Write},
    sync::Arc,
};

type Exported = Arc<dyn CompiledModel>;

/// A compiled model for the other side, which releases it.
pub(crate) fn export(compiled: Arc<dyn CompiledModel>) -> c::Compiled {
    c::Compiled { object: raw::<Exported>(compiled), functions: &raw const FUNCTIONS }
}

static FUNCTIONS: c::CompiledFunctions = c::CompiledFunctions {
    size: size_of::<c::CompiledFunctions>(),
    release: Some(release::<Exported>),
    ports: Some(ports),
    create_request: Some(create_request),
    property: Some(property),
    export_to: Some(export_to),
    properties: Some(properties),
    create_remote: Some(create_remote),
};

unsafe extern "C" fn ports(
    this: *mut c_void,
    side: i32,
    visit: c::PortVisitor,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let compiled = object::<Exported>(this)?;
            let visit = there(visit, "the visitor of ports")?;
            let ports = match side {
                c::SIDE_INPUT => compiled.inputs(),
                c::SIDE_OUTPUT => compiled.outputs(),
                found => return Err(fault(HERE)(Fault::Number { what: "a side", found: found.into() })),
            };
            ports.iter().for_each(|port| show(port, |port| visit(user, port)));
            Ok(())
        })
    }
}

/// The type of a port as the other side sees it.
pub(crate) struct PortView {
    pub(crate) element_type: i32,
    pub(crate) rank: i32,
    pub(crate) dimensions: Vec<c::Dimension>,
}

impl PortView {
    pub(crate) fn new(ty: &PortType) -> Self {
        let dims = ty.shape.dims();
        let dimension = |dim: &ir::Dim| c::Dimension { min: dim.min(), max: dim.max() };
        Self {
            element_type: type_number(ty.element_type),
            rank: dims.map_or(-1, |dims| dims.len() as i32),
            dimensions: dims.unwrap_or_default().iter().map(dimension).collect(),
        }
    }
}

/// Shows a port as the other side sees it.
fn show(port: &PortInfo, visit: impl FnOnce(*const c::Port)) {
    let names: Vec<c::Str> = port.names.iter().map(|name| name.as_str().into()).collect();
    let view = PortView::new(&port.ty);
    let port = c::Port {
        size: size_of::<c::Port>(),
        node: port.node.as_str().into(),
        names: names.as_ptr(),
        names_len: names.len(),
        element_type: view.element_type,
        rank: view.rank,
        dimensions: view.dimensions.as_ptr(),
    };
    visit(&raw const port);
}

unsafe extern "C" fn create_request(this: *mut c_void, to: *mut c::Request, message: *mut c::Message) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            give_object(to, "the request", || {
                let compiled = object::<Exported>(this)?.clone();
                Ok(request::export(compiled.create_request()?))
            })
        })
    }
}

unsafe extern "C" fn property(
    this: *mut c_void,
    key: c::Str,
    sink: c::TextSink,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let key = text(key, "the key of a property").map_err(fault(HERE))?;
            let found = object::<Exported>(this)?.property(key)?;
            there(sink, "the sink of a property")?(user, found.as_str().into());
            Ok(())
        })
    }
}

unsafe extern "C" fn create_remote(
    this: *mut c_void,
    side: i32,
    index: usize,
    to: *mut c::Remote,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            give_object(to, "the remote tensor", || {
                let port = port_index(side, index)?;
                Ok(remote::export(object::<Exported>(this)?.create_remote(port)?))
            })
        })
    }
}

/// Writes through the other side's function.
struct ForeignWriter {
    write: unsafe extern "C" fn(user: *mut c_void, data: *const u8, len: usize) -> i32,
    user: *mut c_void,
}

impl Write for ForeignWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the bytes are as many as is said.
        match unsafe { (self.write)(self.user, bytes.as_ptr(), bytes.len()) } {
            c::STATUS_OK => Ok(bytes.len()),
            status => Err(io::Error::other(format!("the writer failed with status {status}"))),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

unsafe extern "C" fn export_to(
    this: *mut c_void,
    write: c::Writer,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let mut writer = ForeignWriter { write: there(write, "the writer of an export")?, user };
            object::<Exported>(this)?.export(&mut writer)
        })
    }
}

unsafe extern "C" fn properties(
    this: *mut c_void,
    visit: c::PropertyVisitor,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let visit = there(visit, "the visitor of properties")?;
            for property in object::<Exported>(this)?.properties() {
                let mutable = i32::from(property.mutable);
                visit(user, property.name.as_str().into(), property.value.as_str().into(), mutable);
            }
            Ok(())
        })
    }
}
