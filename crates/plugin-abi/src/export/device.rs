//! A device as a table of functions.

use super::{HERE, compiled, give_object, host, object, raw, release, there};
use crate::{
    c,
    model::{receive, receive_bytes, receive_settings},
    raw::text,
    status::{answer, caught, fault},
};
use ir::device::Device;
use std::{ffi::c_void, sync::Arc};

struct Exported {
    device: Arc<dyn Device>,
    description: String,
}

/// A device for the other side, which releases it.
pub(crate) fn export(device: Arc<dyn Device>) -> c::Device {
    let exported = Exported { description: device.description(), device };
    c::Device { object: raw(exported), functions: &raw const FUNCTIONS }
}

static FUNCTIONS: c::DeviceFunctions = c::DeviceFunctions {
    size: size_of::<c::DeviceFunctions>(),
    release: Some(release::<Exported>),
    name: Some(name),
    description: Some(description),
    property: Some(property),
    query: Some(query),
    compile: Some(compile),
    import: Some(import),
    properties: Some(properties),
};

unsafe extern "C" fn name(this: *mut c_void) -> c::Str {
    // SAFETY: the object is one of `export`'s.
    caught(|| unsafe { object::<Exported>(this) }.map_or("", |this| this.device.name()).into())
        .unwrap_or_else(|_| "".into())
}

unsafe extern "C" fn description(this: *mut c_void) -> c::Str {
    // SAFETY: the object is one of `export`'s.
    unsafe { object::<Exported>(this) }.map_or("", |this| this.description.as_str()).into()
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
            let found = object::<Exported>(this)?.device.property(key)?;
            there(sink, "the sink of a property")?(user, found.as_str().into());
            Ok(())
        })
    }
}

unsafe extern "C" fn query(
    this: *mut c_void,
    model: *const c::Model,
    settings: c::Settings,
    host: *const c::Host,
    visit: c::SupportVisitor,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let device = &object::<Exported>(this)?.device;
            let visit = there(visit, "the visitor of a query")?;
            let settings = receive_settings(settings, device.name())?;
            let model = receive(model, device.name())?;
            let support = match host.is_null() {
                true => device.query(&model, &settings)?,
                false => device.query_with(&model, &settings, &host::receive(host)?)?,
            };
            let tell = |answer, node: &str, device: &str, reason: &str| {
                visit(user, answer, node.into(), device.into(), reason.into());
            };
            for node in &support.supported {
                tell(c::NODE_TAKEN, node, "", "");
            }
            for (node, reason) in &support.refused {
                tell(c::NODE_REFUSED, node, "", reason);
            }
            for placed in &support.placements {
                tell(c::NODE_PLACED, &placed.node, &placed.device, &placed.reason);
            }
            Ok(())
        })
    }
}

unsafe extern "C" fn compile(
    this: *mut c_void,
    model: *const c::Model,
    settings: c::Settings,
    host: *const c::Host,
    to: *mut c::Compiled,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            give_object(to, "the compiled model", || {
                let device = &object::<Exported>(this)?.device;
                let settings = receive_settings(settings, device.name())?;
                let model = receive(model, device.name())?;
                let host = host::receive(host)?;
                Ok(compiled::export(device.compile(&model, &settings, &host)?))
            })
        })
    }
}

unsafe extern "C" fn import(
    this: *mut c_void,
    bytes: *const c::Bytes,
    settings: c::Settings,
    host: *const c::Host,
    to: *mut c::Compiled,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            give_object(to, "the compiled model", || {
                let device = &object::<Exported>(this)?.device;
                let settings = receive_settings(settings, device.name())?;
                let bytes = receive_bytes(bytes, device.name())?;
                let host = host::receive(host)?;
                Ok(compiled::export(device.import(bytes, &settings, &host)?))
            })
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
            for property in object::<Exported>(this)?.device.properties() {
                let mutable = i32::from(property.mutable);
                visit(user, property.name.as_str().into(), property.value.as_str().into(), mutable);
            }
            Ok(())
        })
    }
}
