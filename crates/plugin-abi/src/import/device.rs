//! A device of the other side.

use super::{asked_properties, asked_text, compiled};
use crate::{
    c,
    export::SentHost,
    model::{Sent, SentBytes, settings_of, settings_view},
    owner::Object,
    raw::{Fault, text},
    status::{Gather, ask, fault},
};
use ir::{
    Bytes, Model,
    device::{CompiledModel, Config, Device, DeviceError, DeviceResult, Host, Placement, Property, Support},
};
use std::{ffi::c_void, ptr, sync::Arc};

struct Imported {
    object: Object<c::DeviceFunctions>,
    name: Arc<str>,
    description: String,
}

/// A device over an object of the other side.
pub(crate) fn adopt(object: Object<c::DeviceFunctions>) -> Result<Arc<dyn Device>, Fault> {
    let functions = object.functions;
    let told = |function: Option<unsafe extern "C" fn(*mut c_void) -> c::Str>, what| {
        let function = function.ok_or(Fault::Null { what })?;
        // SAFETY: the object lives, and its texts as long as it.
        Ok(unsafe { text(function(object.object), what) }?.to_owned())
    };
    let name = told(functions.name, "the name of a device")?.into();
    let description = told(functions.description, "the description of a device")?;
    Ok(Arc::new(Imported { object, name, description }))
}

impl Imported {
    fn not_offered(&self, what: &str) -> DeviceError {
        DeviceError::NotOffered { device: self.name.to_string(), what: what.to_owned() }
    }

    /// Asks which nodes the device takes.
    fn ask_support(&self, model: &Model, config: &Config, host: *const c::Host) -> DeviceResult<Support> {
        let query = self.object.functions.query.expect("checked when it was adopted");
        let sent = Sent::new(model, &self.name)?;
        let (view, settings) = (sent.view(), settings_of(config.iter()));
        Gather::run(&self.name, Support::default(), |user| {
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe {
                ask(&self.name, |message| {
                    let settings = settings_view(&settings);
                    query(
                        self.object.object,
                        &raw const view,
                        settings,
                        host,
                        Some(visit_node),
                        user,
                        message,
                    )
                })
            }
        })
    }

    /// What a call made: `call` gets the place for it.
    fn made(
        &self,
        call: impl FnOnce(*mut c::Compiled) -> DeviceResult<()>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        let mut made = c::Compiled { object: ptr::null_mut(), functions: ptr::null() };
        call(&raw mut made)?;
        // SAFETY: the call has succeeded, so the object is ours.
        let object = unsafe { Object::adopt(made.object, made.functions) }.map_err(fault(&self.name))?;
        compiled::adopt(object, self.name.clone())
    }
}

unsafe extern "C" fn visit_node(
    user: *mut c_void,
    answer: i32,
    node: c::Str,
    device: c::Str,
    reason: c::Str,
) {
    // SAFETY: `user` is the gathering of `query`; the texts are as the contract has them.
    unsafe {
        Gather::<Support>::add(user, |support, own| {
            let read = |given, what| text(given, what).map(str::to_owned).map_err(fault(own));
            let node = read(node, "the name of a node")?;
            match answer {
                c::NODE_TAKEN => support.supported.push(node),
                c::NODE_REFUSED => support.refused.push((node, read(reason, "a reason")?)),
                c::NODE_PLACED => {
                    let (device, reason) = (read(device, "the name of a device")?, read(reason, "a reason")?);
                    support.placements.push(Placement { node, device, reason });
                }
                found => {
                    let fault_ = Fault::Number { what: "the answer on a node", found: found.into() };
                    return Err(fault(own)(fault_));
                }
            }
            Ok(())
        });
    }
}

impl Device for Imported {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn query(&self, model: &Model, config: &Config) -> DeviceResult<Support> {
        self.ask_support(model, config, ptr::null())
    }

    fn query_with(&self, model: &Model, config: &Config, host: &Arc<dyn Host>) -> DeviceResult<Support> {
        let host = SentHost::new(host);
        let view = host.view();
        self.ask_support(model, config, &raw const view)
    }

    fn compile(
        &self,
        model: &Model,
        config: &Config,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        let compile = self.object.functions.compile.expect("checked when it was adopted");
        let sent = Sent::new(model, &self.name)?;
        let (view, settings, host) = (sent.view(), settings_of(config.iter()), SentHost::new(host));
        self.made(|to| {
            let (settings, host) = (settings_view(&settings), host.view());
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe {
                ask(&self.name, |message| {
                    compile(self.object.object, &raw const view, settings, &raw const host, to, message)
                })
            }
        })
    }

    fn import(
        &self,
        from: Bytes,
        config: &Config,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        let import = self.object.functions.import.ok_or_else(|| self.not_offered("import"))?;
        let sent = SentBytes::new(from);
        let (view, settings, host) = (sent.view(), settings_of(config.iter()), SentHost::new(host));
        self.made(|to| {
            let (settings, host) = (settings_view(&settings), host.view());
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe {
                ask(&self.name, |message| {
                    import(self.object.object, &raw const view, settings, &raw const host, to, message)
                })
            }
        })
    }

    fn properties(&self) -> Vec<Property> {
        // SAFETY: the object lives.
        unsafe { asked_properties(&self.name, self.object.functions.properties, self.object.object) }
    }

    fn property(&self, key: &str) -> DeviceResult<String> {
        let property = self
            .object
            .functions
            .property
            .ok_or_else(|| self.not_offered(&format!("the property `{key}`")))?;
        asked_text(&self.name, |sink, user| {
            // SAFETY: the object lives, and all that is passed lives until the call returns.
            unsafe {
                ask(&self.name, |message| property(self.object.object, key.into(), sink, user, message))
            }
        })
    }
}
