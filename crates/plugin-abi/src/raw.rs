//! What the other side gives, checked as far as it can be before it is used.

use crate::c;
use std::{mem::MaybeUninit, slice, str};
use thiserror::Error;

/// The other side gave what the contract does not allow.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing, where there must be something.
    #[error("{what} is null")]
    Null {
        /// What it should have been.
        what: &'static str,
    },
    /// A pointer that no such thing can have.
    #[error("{what} is at {address:#x}, which is not aligned")]
    Misaligned {
        /// What should lie there.
        what: &'static str,
        /// The address.
        address: usize,
    },
    /// A struct whose size can't be right.
    #[error("{what} says that it has {found} bytes; it has at least {least}, and less than {most}")]
    Size {
        /// The struct.
        what: &'static str,
        /// What it says.
        found: usize,
        /// The size in the first version.
        least: usize,
        /// The largest size that is believed.
        most: usize,
    },
    /// A required function is missing.
    #[error("`{function}` of {table} is null, but required")]
    Function {
        /// The struct of functions.
        table: &'static str,
        /// The function.
        function: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("{what} is not UTF-8 from byte {at} on")]
    Text {
        /// What it should have been.
        what: &'static str,
        /// The first wrong byte.
        at: usize,
    },
    /// More than memory holds.
    #[error("{what} claims {len} elements")]
    Length {
        /// What claims that.
        what: &'static str,
        /// How many.
        len: usize,
    },
    /// A number that means nothing.
    #[error("{what} is {found}, which means nothing")]
    Number {
        /// What it should have been.
        what: &'static str,
        /// The number.
        found: i64,
    },
    /// A value that contradicts another.
    #[error("{what}: {reason}")]
    Contradiction {
        /// What is wrong.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

/// What both sides know of a struct that begins with its size and may grow.
///
/// # Safety
/// The type is `repr(C)`, its first field is `size: usize`, it needs no drop, and zeros are a value of every field.
pub(crate) unsafe trait Grows: Sized {
    /// The name in the header.
    const NAME: &'static str;
    /// The size in the first version, in words.
    const WORDS: usize;

    /// The first required function that is missing.
    fn missing(&self) -> Option<&'static str> {
        None
    }
}

/// No struct of functions will ever be this large: what claims it is no such struct.
const MOST: usize = 1 << 14;

macro_rules! grows {
    ($($type:ident $name:literal $words:literal [$($required:ident),*]),* $(,)?) => {$(
        // SAFETY: the struct is `repr(C)`, starts with `size`, and holds numbers, raw pointers and nullable
        // functions alone.
        unsafe impl Grows for c::$type {
            const NAME: &'static str = $name;
            const WORDS: usize = $words;

            fn missing(&self) -> Option<&'static str> {
                $(if self.$required.is_none() { return Some(stringify!($required)) })*
                None
            }
        }
    )*};
}

grows! {
    Message "TerroirMessage" 7 [],
    Model "TerroirModel" 8 [],
    Bytes "TerroirBytes" 6 [],
    Tensor "TerroirTensor" 10 [],
    ProfileRow "TerroirProfileRow" 14 [],
    Port "TerroirPort" 7 [],
    Plugin "TerroirPlugin" 3 [],
    DeviceFunctions "TerroirDeviceFunctions" 9 [release, name, description, query, compile],
    CompiledFunctions "TerroirCompiledFunctions" 7 [release, ports, create_request],
    RequestFunctions "TerroirRequestFunctions" 8 [release, set_tensor, tensor, infer],
    RemoteFunctions "TerroirRemoteFunctions" 6 [release, device, copy_to, copy_from],
    ExtensionLibrary "TerroirExtensionLibrary" 3 [],
    ExtensionFunctions "TerroirExtensionFunctions" 7 [type_name, infer, evaluate],
    HostFunctions "TerroirHostFunctions" 6 [retain, release, device, log, settings],
}

/// Checks a pointer as far as one can.
fn check<T>(from: *const T, what: &'static str) -> Result<(), Fault> {
    if from.is_null() {
        return Err(Fault::Null { what });
    }
    if !from.is_aligned() {
        return Err(Fault::Misaligned { what, address: from.addr() });
    }
    Ok(())
}

fn check_size<T: Grows>(found: usize) -> Result<usize, Fault> {
    let least = T::WORDS * size_of::<usize>();
    if found < least || found >= MOST {
        return Err(Fault::Size { what: T::NAME, found, least, most: MOST });
    }
    Ok(found.min(size_of::<T>()))
}

/// A copy of a struct: what an older side doesn't know is zero, what a newer one adds is left out.
///
/// # Safety
/// `from` is null, or misaligned, or points to as many readable bytes as its first word says.
pub(crate) unsafe fn take<T: Grows>(from: *const T) -> Result<T, Fault> {
    check(from, T::NAME)?;
    // SAFETY: the first field is a `usize`, and is readable by the caller's promise.
    let len = check_size::<T>(unsafe { from.cast::<usize>().read() })?;
    let mut own = MaybeUninit::<T>::zeroed();
    // SAFETY: `len` is at most what the struct says it has, and what ours has; zeros are a value of `T`.
    let own = unsafe {
        from.cast::<u8>().copy_to_nonoverlapping(own.as_mut_ptr().cast(), len);
        own.assume_init()
    };
    match own.missing() {
        Some(function) => Err(Fault::Function { table: T::NAME, function }),
        None => Ok(own),
    }
}

/// Fills a struct that the other side provides, as far as it knows it.
///
/// # Safety
/// `to` is null, or misaligned, or points to as many writable bytes as its first word says.
pub(crate) unsafe fn give<T: Grows>(to: *mut T, value: T) -> Result<(), Fault> {
    check(to, T::NAME)?;
    // SAFETY: as in `take`; the first word stays what it was.
    unsafe {
        let size = to.cast::<usize>().read();
        let len = check_size::<T>(size)?;
        (&raw const value).cast::<u8>().copy_to_nonoverlapping(to.cast(), len);
        to.cast::<usize>().write(size);
    }
    Ok(())
}

/// Writes through a pointer of the other side.
///
/// # Safety
/// `to` is null, or misaligned, or valid for writes.
pub(crate) unsafe fn put<T>(to: *mut T, value: T, what: &'static str) -> Result<(), Fault> {
    check(to, what)?;
    // SAFETY: it was checked as far as it can be; the rest is the caller's promise.
    unsafe { to.write(value) };
    Ok(())
}

/// An array of the other side.
///
/// # Safety
/// `data` is null, or misaligned, or points to `len` elements that stay as they are for `'a`.
pub(crate) unsafe fn list<'a, T>(data: *const T, len: usize, what: &'static str) -> Result<&'a [T], Fault> {
    if len == 0 {
        return Ok(&[]);
    }
    check(data, what)?;
    if len.checked_mul(size_of::<T>()).is_none_or(|bytes| isize::try_from(bytes).is_err()) {
        return Err(Fault::Length { what, len });
    }
    // SAFETY: not null, aligned, no longer than memory, and by the caller's promise there.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// A text of the other side.
///
/// # Safety
/// As for [`list`].
pub(crate) unsafe fn text<'a>(text: c::Str, what: &'static str) -> Result<&'a str, Fault> {
    // SAFETY: passed on.
    let bytes = unsafe { list(text.data.cast::<u8>(), text.len, what)? };
    str::from_utf8(bytes).map_err(|e| Fault::Text { what, at: e.valid_up_to() })
}

impl From<&str> for c::Str {
    fn from(text: &str) -> Self {
        Self { data: text.as_ptr().cast(), len: text.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn sizes_are_frozen() {
        let word = size_of::<usize>();
        // A struct that has grown keeps the size of its first version here.
        assert!(size_of::<c::Message>() >= c::Message::WORDS * word);
        assert!(size_of::<c::ProfileRow>() >= c::ProfileRow::WORDS * word);
        assert!(size_of::<c::Port>() >= c::Port::WORDS * word);
    }

    #[test]
    fn older_and_newer_structs_are_taken() {
        #[repr(C)]
        struct Newer {
            known: c::Plugin,
            more: [usize; 3],
        }
        let known = c::Plugin { size: size_of::<Newer>(), abi_version: 7, create: None };
        let newer = Newer { known, more: [1, 2, 3] };
        // SAFETY: the struct has the bytes that it says.
        let taken = unsafe { take(&raw const newer.known) }.unwrap();
        assert_eq!((taken.abi_version, newer.more[2]), (7, 3));
        for size in [0, 8, MOST, usize::MAX] {
            let wrong = c::Plugin { size, ..known };
            // SAFETY: only the first word is read before it is refused.
            let refused = unsafe { take(&raw const wrong) };
            assert!(matches!(refused, Err(Fault::Size { found, .. }) if found == size));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        // SAFETY: null and misaligned pointers are not read.
        unsafe {
            assert!(matches!(take(ptr::null::<c::Plugin>()), Err(Fault::Null { .. })));
            assert!(matches!(take(ptr::without_provenance::<c::Plugin>(9)), Err(Fault::Misaligned { .. })));
            assert!(matches!(list::<u8>(ptr::null(), 3, "x"), Err(Fault::Null { what: "x" })));
            assert_eq!(list::<u8>(ptr::null(), 0, "x"), Ok(&[][..]));
            let word = 0u64;
            assert!(matches!(list(&raw const word, usize::MAX, "x"), Err(Fault::Length { .. })));
            let bad = c::Str { data: b"ab\xff".as_ptr().cast(), len: 3 };
            assert_eq!(text(bad, "t"), Err(Fault::Text { what: "t", at: 2 }));
        }
        let size = size_of::<c::HostFunctions>();
        let table = c::HostFunctions {
            size,
            retain: None,
            release: None,
            device: None,
            log: None,
            settings: None,
            extensions: None,
        };
        // SAFETY: the struct has the bytes that it says.
        let missing = unsafe { take(&raw const table) }.err();
        let function = Some(Fault::Function { table: "TerroirHostFunctions", function: "retain" });
        assert_eq!(missing, function);
    }
}
