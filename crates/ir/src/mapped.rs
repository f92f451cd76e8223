//! Files as shared bytes, mapped rather than read: the one `unsafe` of this crate.

use bytes::Bytes;
use std::{fs::File, io, path::Path};

/// Maps a file and returns its bytes; clones and slices share the mapping.
///
/// The file must not be shortened or overwritten in place while the bytes live (replace it by renaming, as
/// Terroir's own writers do): the operating system would end the process on access to a page that is gone.
pub fn map_file(path: impl AsRef<Path>) -> io::Result<Bytes> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is private and read-only, and `Bytes` keeps it alive for as long as any slice of it.
    // What remains is another process changing the file, which the doc above makes the caller's part.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
