//! The plugin's entry, devices, compiled models, and the engine as they see it.

use super::{Bytes, ExtensionVisitor, Message, Model, Remote, Request, Settings, Str};
use std::{ffi::c_void, mem::offset_of};

/// The name of the one function that a plugin exports.
pub const PLUGIN_ENTRY: &str = "terroir_plugin_entry";

/// That function. `abi_version` is the engine's. It must not fail: a plugin that can't serve that version says its
/// own, and the engine tells the user both. The struct lives as long as the library, which is never unloaded.
pub type PluginEntry = unsafe extern "C" fn(abi_version: u32) -> *const Plugin;

/// What a plugin is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Plugin {
    /// The size of this struct.
    pub size: usize,
    /// The version that the plugin was built for: `ABI_VERSION`.
    pub abi_version: u32,
    /// Required. Makes the device. Called once.
    pub create: Option<unsafe extern "C" fn(device: *mut Device, message: *mut Message) -> i32>,
}

/// Takes a text that a function answers with. Called once; the text lives until it returns.
pub type TextSink = Option<unsafe extern "C" fn(user: *mut c_void, text: Str)>;

/// The device does not take the node; the reason says why.
pub const NODE_REFUSED: i32 = 0;
/// The device takes the node.
pub const NODE_TAKEN: i32 = 1;
/// The device gives the node to another one, and the reason says why there. Told besides `NODE_TAKEN`.
pub const NODE_PLACED: i32 = 2;

/// Told of every node of a model whether it is taken, one of `NODE_*`.
pub type SupportVisitor =
    Option<unsafe extern "C" fn(user: *mut c_void, answer: i32, node: Str, device: Str, reason: Str)>;

/// Told every property; `mutable_` is 1 when it can be set.
pub type PropertyVisitor =
    Option<unsafe extern "C" fn(user: *mut c_void, key: Str, value: Str, mutable_: i32)>;

/// Told every setting.
pub type SettingVisitor = Option<unsafe extern "C" fn(user: *mut c_void, key: Str, value: Str)>;

/// Writes bytes. Anything but `STATUS_OK` means that they could not be written: stop and pass the status on.
pub type Writer = Option<unsafe extern "C" fn(user: *mut c_void, data: *const u8, len: usize) -> i32>;

/// A device.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Device {
    /// What its functions take first.
    pub object: *mut c_void,
    /// The functions; they live as long as the library.
    pub functions: *const DeviceFunctions,
}

/// The functions of a device. Any of them may be called from several threads at once, `release` last and once.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DeviceFunctions {
    /// The size of this struct.
    pub size: usize,
    /// Required. Ends the device. Compiled models may live longer.
    pub release: Option<unsafe extern "C" fn(object: *mut c_void)>,
    /// Required. The name that users give, such as `CPU`; it lives as long as the device.
    pub name: Option<unsafe extern "C" fn(object: *mut c_void) -> Str>,
    /// Required. One line on what it is; it lives as long as the device.
    pub description: Option<unsafe extern "C" fn(object: *mut c_void) -> Str>,
    /// A property by its key, such as `FULL_DEVICE_NAME`. Null: there are none.
    pub property: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            key: Str,
            answer: TextSink,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// Required. Which nodes of the model the device would take: those that `compile` takes. `host` may be null.
    pub query: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            model: *const Model,
            settings: Settings,
            host: *const Host,
            visit: SupportVisitor,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// Required. Makes the model ready to run.
    pub compile: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            model: *const Model,
            settings: Settings,
            host: *const Host,
            compiled: *mut Compiled,
            message: *mut Message,
        ) -> i32,
    >,
    /// Takes a model that `export_to` of a compiled model wrote. Null: not offered.
    pub import: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            bytes: *const Bytes,
            settings: Settings,
            host: *const Host,
            compiled: *mut Compiled,
            message: *mut Message,
        ) -> i32,
    >,
    /// Tells all properties. Null: there is no list.
    pub properties: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            visit: PropertyVisitor,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
}

/// A dimension: the sizes from `min` to `max`, both included.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Dimension {
    /// The smallest size.
    pub min: i64,
    /// The largest; `INT64_MAX` means no bound.
    pub max: i64,
}

/// An input or an output of a compiled model.
#[repr(C)]
pub struct Port {
    /// The size of this struct.
    pub size: usize,
    /// The name of the node that gives it.
    pub node: Str,
    /// The names of the tensor.
    pub names: *const Str,
    /// How many.
    pub names_len: usize,
    /// One of `TYPE_*`.
    pub element_type: i32,
    /// The number of dimensions; -1 when unknown.
    pub rank: i32,
    /// The dimensions.
    pub dimensions: *const Dimension,
}

/// Told every port of one side, in the model's order.
pub type PortVisitor = Option<unsafe extern "C" fn(user: *mut c_void, port: *const Port)>;

/// A model that is ready to run.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Compiled {
    /// What its functions take first.
    pub object: *mut c_void,
    /// The functions; they live as long as the library.
    pub functions: *const CompiledFunctions,
}

/// The functions of a compiled model. Any of them may be called from several threads at once, `release` last and
/// once: after every request and remote tensor has been released.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CompiledFunctions {
    /// The size of this struct.
    pub size: usize,
    /// Required. Ends the compiled model.
    pub release: Option<unsafe extern "C" fn(object: *mut c_void)>,
    /// Required. The ports of a side, `SIDE_INPUT` or `SIDE_OUTPUT`: always the same.
    pub ports: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            side: i32,
            visit: PortVisitor,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// Required. A request with memory of its own.
    pub create_request: Option<
        unsafe extern "C" fn(object: *mut c_void, request: *mut Request, message: *mut Message) -> i32,
    >,
    /// A property by its key, such as `OPTIMAL_NUMBER_OF_INFER_REQUESTS`. Null: there are none.
    pub property: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            key: Str,
            answer: TextSink,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// Writes what `import` of the device reads. Null: not offered.
    pub export_to: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            write: Writer,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// Tells all properties. Null: there is no list.
    pub properties: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            visit: PropertyVisitor,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// Memory of the device for a port of fixed shape, zeroed, in the form in which the device has that port. Null: the
    /// device works in the host's memory.
    pub create_remote: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            side: i32,
            index: usize,
            remote: *mut Remote,
            message: *mut Message,
        ) -> i32,
    >,
}

/// Something failed.
pub const LOG_ERROR: i32 = 1;
/// Something is odd.
pub const LOG_WARNING: i32 = 2;
/// What users may want to know.
pub const LOG_INFO: i32 = 3;
/// What developers may want to know.
pub const LOG_DEBUG: i32 = 4;

/// The engine, as a device sees it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Host {
    /// What its functions take first.
    pub object: *mut c_void,
    /// The functions; they live as long as the process.
    pub functions: *const HostFunctions,
}

/// The functions of the engine. Any of them may be called from several threads at once. The host lives until the
/// call returns that it was given to; who needs it longer calls `retain`, and `release` once for every `retain`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HostFunctions {
    /// The size of this struct.
    pub size: usize,
    /// Keeps the host. Always there.
    pub retain: Option<unsafe extern "C" fn(object: *mut c_void)>,
    /// Takes one `retain` back. Always there.
    pub release: Option<unsafe extern "C" fn(object: *mut c_void)>,
    /// Another device by its name. It belongs to the caller, who releases it. Always there.
    pub device: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            name: Str,
            device: *mut Device,
            message: *mut Message,
        ) -> i32,
    >,
    /// Writes to the engine's log, at one of `LOG_*`. Always there.
    pub log: Option<unsafe extern "C" fn(object: *mut c_void, level: i32, text: Str)>,
    /// What users have set for every model that is compiled for a device. Always there.
    pub settings: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            device: Str,
            visit: SettingVisitor,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// The meaning of custom layers, for devices that read models of their own, as `import` does. Null in older
    /// engines.
    pub extensions: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            visit: ExtensionVisitor,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
}

const _: () = {
    let word = size_of::<usize>();
    assert!(offset_of!(Plugin, create) == word + 8);
    assert!(size_of::<Plugin>() == 2 * word + 8);
    assert!(size_of::<Device>() == 2 * word);
    assert!(offset_of!(DeviceFunctions, compile) == 6 * word);
    assert!(size_of::<DeviceFunctions>() == 9 * word);
    assert!(size_of::<Dimension>() == 16);
    assert!(offset_of!(Port, element_type) == 5 * word);
    assert!(offset_of!(Port, dimensions) == 5 * word + 8);
    assert!(offset_of!(CompiledFunctions, create_remote) == 7 * word);
    assert!(size_of::<CompiledFunctions>() == 8 * word);
    assert!(offset_of!(HostFunctions, extensions) == 6 * word);
    assert!(size_of::<HostFunctions>() == 7 * word);
};
