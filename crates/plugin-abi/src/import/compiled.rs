//! A compiled model of the other side.

use super::{asked_properties, asked_text, ports, remote::Remote, request};
use crate::{
    c,
    owner::Object,
    status::{Gather, ask, fault},
};
use ir::device::{
    CompiledModel, DeviceError, DeviceResult, InferRequest, PortIndex, PortInfo, Property, RemoteTensor,
};
use std::{ffi::c_void, io::Write, ptr, sync::Arc};

/// A compiled model of the other side; its requests keep it.
pub(super) type Handle = Arc<Object<c::CompiledFunctions>>;

struct Imported {
    handle: Handle,
    device: Arc<str>,
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
}

unsafe extern "C" fn visit_port(user: *mut c_void, port: *const c::Port) {
    // SAFETY: `user` is the gathering of `adopt`; the port is as the contract has it.
    unsafe {
        Gather::<Vec<PortInfo>>::add(user, |all, device| {
            all.push(ports::receive(port).map_err(fault(device))?);
            Ok(())
        });
    }
}

/// A compiled model over an object of the other side.
pub(super) fn adopt(
    object: Object<c::CompiledFunctions>,
    device: Arc<str>,
) -> DeviceResult<Arc<dyn CompiledModel>> {
    let tell = object.functions.ports.expect("checked when it was adopted");
    let ports = |side| {
        Gather::run(&device, Vec::new(), |user| {
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe { ask(&device, |message| tell(object.object, side, Some(visit_port), user, message)) }
        })
    };
    let (inputs, outputs) = (ports(c::SIDE_INPUT)?, ports(c::SIDE_OUTPUT)?);
    Ok(Arc::new(Imported { handle: Arc::new(object), device, inputs, outputs }))
}

unsafe extern "C" fn write_bytes(user: *mut c_void, data: *const u8, len: usize) -> i32 {
    // SAFETY: `user` is the gathering of `export`; the bytes are as the contract has them.
    let went_well = unsafe {
        Gather::<&mut dyn Write>::add(user, |to, device| {
            let bytes = crate::raw::list(data, len, "the bytes of an export").map_err(fault(device))?;
            to.write_all(bytes).map_err(|error| DeviceError::Failed {
                device: "the writer".to_owned(),
                message: error.to_string(),
            })
        })
    };
    if went_well { c::STATUS_OK } else { c::STATUS_GENERAL_ERROR }
}

impl Imported {
    fn not_offered(&self, what: String) -> DeviceError {
        DeviceError::NotOffered { device: self.device.to_string(), what }
    }
}

impl CompiledModel for Imported {
    fn inputs(&self) -> &[PortInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[PortInfo] {
        &self.outputs
    }

    fn create_request(self: Arc<Self>) -> DeviceResult<Box<dyn InferRequest>> {
        let create = self.handle.functions.create_request.expect("checked when it was adopted");
        let mut made = c::Request { object: ptr::null_mut(), functions: ptr::null() };
        // SAFETY: the object lives; the call makes an object that is ours.
        let object = unsafe {
            ask(&self.device, |message| create(self.handle.object, &raw mut made, message))?;
            Object::adopt(made.object, made.functions).map_err(fault(&self.device))?
        };
        let handle = request::Handle::new(object, self.handle.clone(), self.device.clone());
        Ok(Box::new(request::Request::new(handle, &self.inputs, &self.outputs)))
    }

    fn create_remote(&self, port: PortIndex) -> DeviceResult<Arc<dyn RemoteTensor>> {
        let Some(create) = self.handle.functions.create_remote else {
            return Err(DeviceError::no_remote_tensors(&*self.device));
        };
        let (info, (side, index)) = match port {
            PortIndex::Input(i) => (self.inputs.get(i), (c::SIDE_INPUT, i)),
            PortIndex::Output(i) => (self.outputs.get(i), (c::SIDE_OUTPUT, i)),
        };
        let info = info.ok_or_else(|| {
            let message = format!("there is no {port:?}");
            DeviceError::Failed { device: self.device.to_string(), message }
        })?;
        let Some(shape) = info.ty.shape.sizes() else {
            let what = format!("a remote tensor for `{}`, whose shape is dynamic", info.name());
            return Err(self.not_offered(what));
        };
        let mut made = c::Remote { object: ptr::null_mut(), functions: ptr::null() };
        // SAFETY: the object lives; the call makes an object that is ours.
        let object = unsafe {
            ask(&self.device, |message| create(self.handle.object, side, index, &raw mut made, message))?;
            Object::adopt(made.object, made.functions).map_err(fault(&self.device))?
        };
        let remote = Remote::adopt(object, self.handle.clone(), info, shape);
        Ok(Arc::new(remote.map_err(fault(&self.device))?))
    }

    fn export(&self, to: &mut dyn Write) -> DeviceResult<()> {
        let export = self.handle.functions.export_to.ok_or_else(|| self.not_offered("export".to_owned()))?;
        Gather::run(&self.device, to, |user| {
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe {
                ask(&self.device, |message| export(self.handle.object, Some(write_bytes), user, message))
            }
        })
        .map(drop)
    }

    fn properties(&self) -> Vec<Property> {
        // SAFETY: the object lives.
        unsafe { asked_properties(&self.device, self.handle.functions.properties, self.handle.object) }
    }

    fn property(&self, key: &str) -> DeviceResult<String> {
        let property = self
            .handle
            .functions
            .property
            .ok_or_else(|| self.not_offered(format!("the property `{key}`")))?;
        asked_text(&self.device, |sink, user| {
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe {
                ask(&self.device, |message| property(self.handle.object, key.into(), sink, user, message))
            }
        })
    }
}
