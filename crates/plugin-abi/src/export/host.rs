//! The host: as a table of functions for devices, and as devices in Rust see it from behind that table.

use super::{HERE, SentExtensions, extension::visit_extensions, give_object, object, there};
use crate::{
    c, import,
    owner::{Object, release, retain},
    raw::{list, text},
    status::{Gather, answer, ask, caught, fault},
};
use ir::{
    device::{Config, Device, DeviceResult, Host},
    extension::Extensions,
};
use std::{
    any::Any,
    collections::HashMap,
    ffi::c_void,
    ptr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// A host for one call to the other side, which retains it if it needs it longer.
pub(crate) struct SentHost(Arc<Arc<dyn Host>>);

impl SentHost {
    pub(crate) fn new(host: &Arc<dyn Host>) -> Self {
        Self(Arc::new(host.clone()))
    }

    pub(crate) fn view(&self) -> c::Host {
        c::Host { object: Arc::as_ptr(&self.0).cast_mut().cast(), functions: &raw const FUNCTIONS }
    }
}

static FUNCTIONS: c::HostFunctions = c::HostFunctions {
    size: size_of::<c::HostFunctions>(),
    retain: Some(retain::<Arc<dyn Host>>),
    release: Some(release::<Arc<dyn Host>>),
    device: Some(device),
    log: Some(log),
    settings: Some(settings),
    extensions: Some(extensions),
};

unsafe extern "C" fn device(
    this: *mut c_void,
    name: c::Str,
    to: *mut c::Device,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `SentHost`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            give_object(to, "the device", || {
                let name = text(name, "the name of a device").map_err(fault(HERE))?;
                Ok(super::device(object::<Arc<dyn Host>>(this)?.device(name)?))
            })
        })
    }
}

unsafe extern "C" fn log(_: *mut c_void, level: i32, said: c::Str) {
    _ = caught(|| {
        // SAFETY: the text is as the contract has it.
        let said = unsafe { text(said, "a line of the log") }.unwrap_or("a line that is not UTF-8");
        match level {
            ..=c::LOG_ERROR => tracing::error!("{said}"),
            c::LOG_WARNING => tracing::warn!("{said}"),
            c::LOG_INFO => tracing::info!("{said}"),
            c::LOG_DEBUG.. => tracing::debug!("{said}"),
        }
    });
}

unsafe extern "C" fn settings(
    this: *mut c_void,
    device: c::Str,
    visit: c::SettingVisitor,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `SentHost`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let visit = there(visit, "the visitor of settings")?;
            let device = text(device, "the name of a device").map_err(fault(HERE))?;
            for (key, value) in object::<Arc<dyn Host>>(this)?.settings(device) {
                visit(user, key.as_str().into(), value.as_str().into());
            }
            Ok(())
        })
    }
}

unsafe extern "C" fn extensions(
    this: *mut c_void,
    visit: c::ExtensionVisitor,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `SentHost`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let own = object::<Arc<dyn Host>>(this)?.extensions();
            visit_extensions(SentExtensions::new(own.iter()), visit, user)
        })
    }
}

unsafe extern "C" fn visit_setting(user: *mut c_void, key: c::Str, value: c::Str) {
    // SAFETY: `user` is the gathering of `settings`; the texts are as the contract has them.
    unsafe {
        Gather::<Config>::add(user, |all, engine| {
            let read = |given, what| text(given, what).map(str::to_owned).map_err(fault(engine));
            all.insert(read(key, "a key")?, read(value, "a value")?);
            Ok(())
        });
    }
}

/// What devices of this library keep for all their compiled models. It can't cross: it is made of Rust's types.
static SHARED: LazyLock<Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>> = LazyLock::new(Mutex::default);

/// The engine behind the boundary.
struct ForeignHost(Object<c::HostFunctions>);

/// The host that the other side gave, retained.
///
/// # Safety
/// `host` is null, or as the contract has it.
pub(super) unsafe fn receive(host: *const c::Host) -> DeviceResult<Arc<dyn Host>> {
    // SAFETY: the caller's promise.
    unsafe {
        let host = list(host, 1, "the host").map_err(fault(HERE))?[0];
        let functions = crate::raw::take(host.functions).map_err(fault(HERE))?;
        if let Some(retain) = functions.retain {
            retain(host.object);
        }
        Ok(Arc::new(ForeignHost(Object { object: host.object, functions, table: host.functions })))
    }
}

impl Host for ForeignHost {
    fn device(&self, name: &str) -> DeviceResult<Arc<dyn Device>> {
        let mut device = c::Device { object: ptr::null_mut(), functions: ptr::null() };
        let call = self.0.functions.device.expect("checked when it was received");
        // SAFETY: the host is retained, and the pointers are to places of this frame.
        unsafe {
            ask(name, |message| call(self.0.object, name.into(), &raw mut device, message))?;
            let object = Object::adopt(device.object, device.functions).map_err(fault(name))?;
            import::device(object).map_err(fault(name))
        }
    }

    fn settings(&self, device: &str) -> Config {
        let call = self.0.functions.settings.expect("checked when it was received");
        let settings = Gather::run("the engine", Config::new(), |user| {
            // SAFETY: the host is retained, and all that is passed lives until the call returns.
            unsafe {
                ask("the engine", |message| {
                    call(self.0.object, device.into(), Some(visit_setting), user, message)
                })
            }
        });
        settings.unwrap_or_else(|error| {
            tracing::warn!("no settings for {device}: {error}");
            Config::new()
        })
    }

    fn extensions(&self) -> Extensions {
        let Some(call) = self.0.functions.extensions else { return Extensions::default() };
        // SAFETY: the host is retained, and all that is passed lives until the call returns.
        let told = unsafe {
            import::extensions("the engine", |visit, user, message| call(self.0.object, visit, user, message))
        };
        let mut known = Extensions::default();
        match told {
            Ok(told) => told.into_iter().for_each(|extension| known.add(extension)),
            Err(error) => tracing::warn!("no custom layers: {error}"),
        }
        known
    }

    fn shared(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.entry(key.to_owned()).or_insert_with(make).clone()
    }
}
