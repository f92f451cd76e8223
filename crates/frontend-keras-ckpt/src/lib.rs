//! TensorFlow and Keras checkpoints to named variables.
//!
//! [`Checkpoint::open`] takes any file of a checkpoint (or its folder, or its prefix) and finds the rest:
//!
//! ```no_run
//! # fn main() -> Result<(), frontend_keras_ckpt::Error> {
//! let checkpoint = frontend_keras_ckpt::Checkpoint::open("resnet50.ckpt")?;
//! for variable in checkpoint.variables() {
//!     println!("{} {} {:?}", variable.name(), variable.type_name(), variable.shape());
//! }
//! let kernel = checkpoint.get("conv1/kernel:0")?; // a view of the mapped file
//! # Ok(())
//! # }
//! ```
//!
//! What is read:
//!
//! | format | files | written by |
//! |---|---|---|
//! | version 2, the tensor bundle | `P.index`, `P.data-00000-of-0000N` | `tf.train.Saver`, `save_weights` |
//! | version 1 | `P`, or `P-00000-of-0000N` | `tf.train.Saver(write_version=V1)`, the default until 2016 |
//! | object-based | version 2 with an object graph under `_CHECKPOINTABLE_OBJECT_GRAPH` | `tf.train.Checkpoint`, Keras 2 |
//!
//! Both versions are sorted tables in LevelDB's format (`sstable`). Version 2 keeps the values in data files as raw
//! row-major bytes, version 1 in the table, one message a value. A partitioned variable is stored in slices, each
//! under its own key (`ordered_code`). An object-based checkpoint calls variables by their path through the objects;
//! the object graph knows their full names, optimizer slots included.
//!
//! Tables and values carry a masked CRC-32C, which the first read verifies. Files are mapped: opening reads the list
//! of variables, and a variable that is stored whole becomes a tensor that shares the file's bytes. Nothing that a
//! file claims is believed before it is compared with the file's size.
//!
//! Where the formats are laid down: LevelDB's `doc/table_format.md`; TensorFlow's `tensor_bundle.proto`,
//! `tensor_bundle.cc`, `saved_tensor_slice.proto`, `saved_tensor_slice_util.cc`, `ordered_code.cc`,
//! `trackable_object_graph.proto`, `checkpoint_state.proto`. Names and numbers are taken from there, no code.
#![forbid(unsafe_code)]

mod bundle;
mod checksum;
mod error;
mod locate;
mod ordered_code;
mod proto;
mod saved_slices;
mod sstable;
mod state_file;
mod variable;
mod varint;

pub use checksum::ChecksumError;
pub use error::{Error, HeaderError, VariableError};
pub use sstable::TableError;
pub use variable::Variable;

use bundle::Bundle;
use bytes::Bytes;
use ir::Tensor;
use locate::Located;
use prost::Message;
use saved_slices::SavedSlices;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use variable::Part;

/// The key of the object graph in an object-based checkpoint.
const OBJECT_GRAPH: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";

/// An open checkpoint. May be read from several threads at once.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    values: Values,
    variables: Vec<Variable>,
    by_key: HashMap<String, usize>,
    by_full_name: HashMap<String, Vec<usize>>,
}

/// Where the values are.
#[derive(Debug)]
enum Values {
    Bundle(Bundle),
    SavedSlices(SavedSlices),
}

impl Checkpoint {
    /// Opens the checkpoint that `path` belongs to: its prefix, its `.index`, `.meta` or any `.data-*` file, the
    /// `checkpoint` state file, a folder that holds one (or a single `.index`), a version 1 file or shard. Reads the
    /// list of variables and maps the files; the files must not be overwritten in place while tensors of them live.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let (path, values, variables) = match locate::locate(path.as_ref())? {
            Located::Bundle { index, prefix } => {
                let (bundle, variables) = Bundle::open(&index, &prefix)?;
                (index, Values::Bundle(bundle), variables)
            }
            Located::SavedSlices { tables } => {
                let (slices, variables) = SavedSlices::open(&tables)?;
                (tables[0].clone(), Values::SavedSlices(slices), variables)
            }
        };
        let by_key = variables.iter().enumerate().map(|(at, variable)| (variable.key.clone(), at)).collect();
        let mut checkpoint = Self { path, values, variables, by_key, by_full_name: HashMap::new() };
        checkpoint.name_objects()?;
        Ok(checkpoint)
    }

    /// The file that lists the variables: the `.index`, or the first file of version 1.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All variables, in the order of the file. String tensors (the object graph among them) have no
    /// [`Variable::element_type`].
    pub fn variables(&self) -> impl ExactSizeIterator<Item = &Variable> {
        self.variables.iter()
    }

    /// Finds a variable by checkpoint key or by full name, a `:0` at the end ignored.
    pub fn variable(&self, name: &str) -> Result<&Variable, Error> {
        match self.lookup(name)? {
            Some(variable) => Ok(variable),
            None => Err(self.unknown(name)),
        }
    }

    /// Reads a variable, named as for [`Checkpoint::variable`]. One that is stored whole shares the mapped file,
    /// which is verified when first read; a partitioned one is put together. `w/part_1` is the second slice of the
    /// partitioned variable `w`, as graphs call it.
    pub fn get(&self, name: &str) -> Result<Tensor, Error> {
        if let Some(variable) = self.lookup(name)? {
            return self.read(variable).map_err(|source| self.failed(variable, source));
        }
        let Some((variable, part)) = self.lookup_part(name)? else { return Err(self.unknown(name)) };
        self.read_parts(variable, &part.shape, std::slice::from_ref(part))
            .map_err(|source| self.failed(variable, source))
    }

    /// The elements of a string variable, in row-major order.
    pub fn strings(&self, name: &str) -> Result<Vec<Bytes>, Error> {
        let variable = self.variable(name)?;
        self.read_strings(variable).map_err(|source| self.failed(variable, source))
    }

    /// Gives variables the full names that the object graph, if there is one, knows.
    fn name_objects(&mut self) -> Result<(), Error> {
        let Some(graph) = self.by_key.get(OBJECT_GRAPH).map(|at| &self.variables[*at]) else { return Ok(()) };
        let nodes = self.read_strings(graph).and_then(|strings| {
            let mut nodes = Vec::new();
            for string in strings {
                nodes.extend(proto::TrackableObjectGraph::decode(string)?.nodes);
            }
            Ok(nodes)
        });
        for attribute in
            nodes.map_err(|source| self.failed(graph, source))?.into_iter().flat_map(|n| n.attributes)
        {
            let Some(at) = self.by_key.get(&attribute.checkpoint_key) else { continue };
            let full_name = &mut self.variables[*at].full_name;
            if full_name.is_none() && !attribute.full_name.is_empty() {
                self.by_full_name.entry(attribute.full_name.clone()).or_default().push(*at);
                *full_name = Some(attribute.full_name);
            }
        }
        Ok(())
    }

    fn lookup(&self, name: &str) -> Result<Option<&Variable>, Error> {
        for name in [Some(name), name.strip_suffix(":0")].into_iter().flatten() {
            if let Some(at) = self.by_key.get(name) {
                return Ok(Some(&self.variables[*at]));
            }
            match self.by_full_name.get(name).map(Vec::as_slice) {
                None | Some([]) => {}
                Some([at]) => return Ok(Some(&self.variables[*at])),
                Some(several) => {
                    return Err(Error::AmbiguousVariable {
                        path: self.path.clone(),
                        name: name.to_owned(),
                        keys: several.iter().map(|at| self.variables[*at].key.clone()).collect(),
                    });
                }
            }
        }
        Ok(None)
    }

    /// `w/part_1` as a slice of `w`: parts are numbered in the order of where they start.
    fn lookup_part(&self, name: &str) -> Result<Option<(&Variable, &Part)>, Error> {
        let name = name.strip_suffix(":0").unwrap_or(name);
        let Some((whole, number)) = name.rsplit_once("/part_") else { return Ok(None) };
        let Ok(number) = number.parse::<usize>() else { return Ok(None) };
        let whole = self.lookup(whole)?.filter(|variable| variable.parts.len() > 1);
        Ok(whole.and_then(|variable| Some((variable, variable.parts.get(number)?))))
    }

    fn read(&self, variable: &Variable) -> Result<Tensor, VariableError> {
        self.read_parts(variable, &variable.shape, &variable.parts)
    }

    fn read_parts(
        &self,
        variable: &Variable,
        shape: &[usize],
        parts: &[Part],
    ) -> Result<Tensor, VariableError> {
        let unsupported = || VariableError::Unsupported { type_name: variable.type_name() };
        let element_type = variable.element_type().ok_or_else(unsupported)?;
        let claimed = ir::element_count(shape).and_then(|count| element_type.byte_len(count));
        let claimed = claimed.unwrap_or(usize::MAX);
        let stored = match &self.values {
            Values::Bundle(bundle) => bundle.stored_len(),
            Values::SavedSlices(slices) => slices.stored_len(),
        };
        if claimed > stored {
            return Err(VariableError::TooLarge { claimed, stored });
        }
        let mut read = Vec::with_capacity(parts.len());
        for part in parts {
            let bytes = match &self.values {
                Values::Bundle(bundle) => bundle.read(part.place),
                Values::SavedSlices(slices) => slices.read(variable, part.place),
            }?;
            read.push((part, Tensor::new(element_type, part.shape.to_vec(), bytes)?));
        }
        variable::assemble(element_type, shape, &read)
    }

    fn read_strings(&self, variable: &Variable) -> Result<Vec<Bytes>, VariableError> {
        if variable.data_type != proto::DataType::DtString as i32 {
            return Err(VariableError::NotStrings { type_name: variable.type_name() });
        }
        let [part] = variable.parts.as_slice() else {
            return Err(VariableError::Unsupported {
                type_name: format!("partitioned {}", variable.type_name()),
            });
        };
        let count = ir::element_count(&variable.shape).unwrap_or(usize::MAX);
        match &self.values {
            Values::Bundle(bundle) => bundle.read_strings(part.place, count),
            Values::SavedSlices(slices) => slices.read_strings(variable, part.place, count),
        }
    }

    fn failed(&self, variable: &Variable, source: VariableError) -> Error {
        Error::Variable { path: self.path.clone(), name: variable.name().to_owned(), source }
    }

    /// Names a few variables that end as the unknown name does, or that one of the two names holds.
    fn unknown(&self, name: &str) -> Error {
        let wanted = name.strip_suffix(":0").unwrap_or(name);
        let near = |variable: &&Variable| {
            let last = |name: &str| name.rsplit('/').next().map(str::to_owned);
            let known = variable.name();
            known.contains(wanted) || wanted.contains(known) || last(known) == last(wanted)
        };
        let similar = self.variables.iter().filter(near).take(5).map(|variable| variable.name().to_owned());
        Error::UnknownVariable { path: self.path.clone(), name: name.to_owned(), similar: similar.collect() }
    }
}
