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

/// A state file is a few lines; more than this is something else.
const MAX_STATE_FILE: u64 = 1 << 24;

/// Finds the checkpoint that `path` belongs to.
pub(crate) fn locate(path: &Path) -> Result<Located, Error> {
    if path.is_dir() {
        return in_folder(path);
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let suffixes = [name.strip_suffix(".index"), name.strip_suffix(".meta"), strip_shard(name, ".data-")];
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
    match strip_shard(name, "-") {
        Some(stem) => all_shards(path, &path.with_file_name(stem), &name[name.len() - 5..]),
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
    // State files name the shards of version 1 with this pattern.
    let text = prefix.to_str().and_then(|text| text.strip_suffix("-?????-of-?????"));
    let base = text.map_or(prefix, Path::new);
    let (folder, stem) = (base.parent().unwrap_or(Path::new("")), base.file_name());
    let mut counts: Vec<String> = Vec::new();
    if let Some(stem) = stem.and_then(|stem| stem.to_str()) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let names = if folder.is_dir() { names_in(folder)? } else { Vec::new() };
        let shards = names.iter().filter(|name| strip_shard(name, "-") == Some(stem));
        counts.extend(shards.map(|name| name[name.len() - 5..].to_owned()));
        counts.dedup();
    }
    counts.sort_unstable();
    counts.dedup();
    match counts.as_slice() {
        [] => {
            let looked_for = vec![index, prefix.into(), appended(base, "-?????-of-?????")];
            Err(Error::NotFound { path: asked.into(), looked_for })
        }
        [count] => all_shards(asked, base, count),
        _ => Err(Error::Ambiguous {
            path: asked.into(),
            candidates: counts.iter().map(|count| appended(base, &format!("-00000-of-{count}"))).collect(),
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

/// `name` without `<mark>ddddd-of-ddddd` at its end.
fn strip_shard<'a>(name: &'a str, mark: &str) -> Option<&'a str> {
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, count) = name.rsplit_once("-of-")?;
    let at = rest.len().checked_sub(5).filter(|at| rest.is_char_boundary(*at))?;
    let (stem, shard) = rest.split_at(at);
    stem.strip_suffix(mark).filter(|_| digits(count) && digits(shard))
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
