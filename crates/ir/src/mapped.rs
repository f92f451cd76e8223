//! Files as shared bytes, mapped rather than read: the one `unsafe` of this crate.

use bytes::Bytes;
use memmap2::Mmap;
use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// The mappings that live, so that [`release`] knows which bytes are a file's.
static MAPPED: Mutex<Vec<Weak<Mmap>>> = Mutex::new(Vec::new());

fn mapped() -> MutexGuard<'static, Vec<Weak<Mmap>>> {
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What keeps a mapping.
struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

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
    let map = Arc::new(unsafe { Mmap::map(&file)? });
    let mut maps = mapped();
    maps.retain(|map| map.strong_count() > 0);
    maps.push(Arc::downgrade(&map));
    Ok(Bytes::from_owner(Owner(map)))
}

/// Says that `bytes` have been read for now: if they are a mapped file's, their memory no longer counts as this
/// process's, and comes back from the file when somebody looks at them again. Other bytes are left alone.
pub fn release(bytes: &[u8]) {
    let start = bytes.as_ptr() as usize;
    for map in mapped().iter().filter_map(Weak::upgrade) {
        let offset = start.wrapping_sub(map.as_ptr() as usize);
        if offset < map.len() && bytes.len() <= map.len() - offset && !bytes.is_empty() {
            drop_pages(&map, offset, bytes.len());
        }
    }
}

#[cfg(unix)]
fn drop_pages(map: &Mmap, offset: usize, len: usize) {
    // SAFETY: a read-only mapping of a file; a page that is dropped comes back with the same bytes, also for those
    // who hold a slice of it. Where the system refuses, the pages just stay.
    _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, len) };
}

#[cfg(not(unix))]
fn drop_pages(_: &Mmap, _: usize, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn released_bytes_come_back() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..100_000).map(|i| (i / 7) as u8).collect();
        file.write_all(&content).unwrap();
        let bytes = map_file(file.path()).unwrap();
        let part = bytes.slice(5..70_003);
        release(&part);
        release(&bytes);
        assert_eq!(part, content[5..70_003]);
        assert_eq!(bytes, content);
        let own = vec![7u8; 100_000];
        release(&own);
        assert!(own.iter().all(|b| *b == 7));
    }
}
