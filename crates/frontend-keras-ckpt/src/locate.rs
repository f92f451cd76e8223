//! From any file of a checkpoint to all of them.

use crate::{Error, sstable, state_file::model_checkpoint_path};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files of one checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// Version 2: the index; data files are named after its prefix.
    Bundle { index: PathBuf, prefix: PathBuf },
    /// Version 1: one table or several.
    SavedSlices { tables: Vec<PathBuf> },
}

/// Any number in a file name.
const PATTERN: &str = "?????";

/// A state file is a few lines; more than this is something else.
const MAX_STATE_FILE: u64 = 1 << 24;

/// Finds the checkpoint that `path` belongs to.
pub(crate) fn locate(path: &Path) -> Result<Located, Error> {
    if path.is_dir() {
        return in_folder(path);
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let suffixes = [
        name.strip_suffix(".index"),
        name.strip_suffix(".meta"),
        shard_name(name, ".data-").map(|(stem, _)| stem),
    ];
    if let Some(stem) = suffixes.into_iter().flatten().next() {
        return at_prefix(&path.with_file_name(stem), path);
    }
    if path.is_file() && !appended(path, ".index").is_file() {
        return from_file(path, name);
    }
    at_prefix(path, path)
}

fn in_folder(folder: &Path) -> Result<Located, Error> {
    let state = folder.join("checkpoint");
    if state.is_file() {
        return from_state_file(&state);
    }
    let mut indices = names_in(folder)?;
    indices.retain(|name| name.ends_with(".index"));
    match indices.as_slice() {
        [] => Err(Error::NotFound { path: folder.into(), looked_for: vec![state, folder.join("*.index")] }),
        [index] => locate(&folder.join(index)),
        _ => Err(Error::Ambiguous {
            path: folder.into(),
            candidates: indices.iter().map(|name| folder.join(name)).collect(),
        }),
    }
}

/// A file whose name says nothing: a version 1 table, or a state file.
fn from_file(path: &Path, name: &str) -> Result<Located, Error> {
    let bytes = ir::map_file(path).map_err(|source| Error::Io { path: path.into(), source })?;
    if !sstable::has_magic(&bytes) {
        return from_state_file(path);
    }
    match shard_name(name, "-") {
        Some((stem, count)) => all_shards(path, &path.with_file_name(stem), count),
        None => Ok(Located::SavedSlices { tables: vec![path.into()] }),
    }
}

fn from_state_file(path: &Path) -> Result<Located, Error> {
    let io = |source| Error::Io { path: path.into(), source };
    let no_checkpoint = || Error::NotCheckpoint { path: path.into() };
    if fs::metadata(path).map_err(io)?.len() > MAX_STATE_FILE {
        return Err(no_checkpoint());
    }
    let text = String::from_utf8(fs::read(path).map_err(io)?).map_err(|_| no_checkpoint())?;
    let newest = model_checkpoint_path(&text).ok_or_else(no_checkpoint)?;
    // `join` keeps an absolute path as it is; the folder may have moved since, then the name beside the state file
    // counts.
    let prefix = path.with_file_name(&newest);
    let moved = Path::new(&newest).file_name().map(|name| path.with_file_name(name));
    match (at_prefix(&prefix, path), moved) {
        (Err(Error::NotFound { looked_for, .. }), Some(moved)) if moved != prefix => at_prefix(&moved, path)
            .map_err(|error| match error {
                Error::NotFound { path, looked_for: more } => {
                    Error::NotFound { path, looked_for: [looked_for, more].concat() }
                }
                other => other,
            }),
        (found, _) => found,
    }
}

/// Version 2 first, as TensorFlow does; then version 1, whole and in shards.
fn at_prefix(prefix: &Path, asked: &Path) -> Result<Located, Error> {
    let index = appended(prefix, ".index");
    if index.is_file() {
        return Ok(Located::Bundle { index, prefix: prefix.into() });
    }
    if prefix.is_file() {
        return Ok(Located::SavedSlices { tables: vec![prefix.into()] });
    }
    let name = prefix.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // State files name the shards of version 1 with a pattern: `m.ckpt-?????-of-00002`.
    let (stem, wanted) = shard_name(name, "-").unwrap_or((name, PATTERN));
    let base = prefix.with_file_name(stem);
    let folder = base.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = if folder.is_dir() { names_in(folder)? } else { Vec::new() };
    let mut counts: Vec<&str> = names
        .iter()
        .filter_map(|name| shard_name(name, "-"))
        .filter(|(found, count)| *found == stem && (wanted == PATTERN || wanted == *count))
        .map(|(_, count)| count)
        .collect();
    counts.sort_unstable();
    counts.dedup();
    match counts.as_slice() {
        [] => {
            let shards = appended(&base, &format!("-{PATTERN}-of-{wanted}"));
            let mut looked_for = vec![index, prefix.into(), shards];
            looked_for.dedup();
            Err(Error::NotFound { path: asked.into(), looked_for })
        }
        [count] => all_shards(asked, &base, count),
        _ => Err(Error::Ambiguous {
            path: asked.into(),
            candidates: counts.iter().map(|count| appended(&base, &format!("-00000-of-{count}"))).collect(),
        }),
    }
}

/// Every shard of version 1, `count` being five digits.
fn all_shards(asked: &Path, prefix: &Path, count: &str) -> Result<Located, Error> {
    let shards: u32 = count.parse().unwrap_or_default();
    let tables: Vec<PathBuf> =
        (0..shards).map(|shard| appended(prefix, &format!("-{shard:05}-of-{count}"))).collect();
    match tables.iter().find(|table| !table.is_file()) {
        Some(shard) => Err(Error::MissingShard { path: asked.into(), shard: shard.clone() }),
        None if tables.is_empty() => Err(Error::NotCheckpoint { path: asked.into() }),
        None => Ok(Located::SavedSlices { tables }),
    }
}

/// The stem and the shard count, five characters, of `<stem><mark>ddddd-of-ddddd`; either number may be a pattern.
fn shard_name<'a>(name: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let number =
        |text: &str| text == PATTERN || text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, count) = name.rsplit_once("-of-")?;
    let at = rest.len().checked_sub(5).filter(|at| rest.is_char_boundary(*at))?;
    let (stem, shard) = rest.split_at(at);
    stem.strip_suffix(mark).filter(|_| number(count) && number(shard)).map(|stem| (stem, count))
}

pub(crate) fn appended(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The UTF-8 names in a folder, sorted.
fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    let io = |source| Error::Io { path: folder.into(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        names.extend(entry.map_err(io)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}
