//! What goes into the network: shapes and layouts by input, tensors from files or at random.

use crate::{
    arrays,
    images::{self, Image},
    numpy,
};
use anyhow::{Context, Result, bail, ensure};
use ir::{Dim, ElementType, Layout, Model, Op, PartialShape, Tensor};
use runtime::{HostTensor, PortInfo};
use std::path::{Path, PathBuf};

/// What is known of one input beside its port.
struct Input {
    layout: Option<Layout>,
    /// The shapes of its tensors, in the order in which they take turns.
    data_shapes: Vec<Vec<usize>>,
}

/// What the tensors of a network's inputs look like.
pub(super) struct Data {
    inputs: Vec<Input>,
}

/// The tensors: for every input those that take turns.
pub(super) struct Source(Vec<Vec<HostTensor>>);

impl Source {
    /// The tensors of the `turn`-th inference, one an input.
    pub(super) fn of(&self, turn: usize) -> impl Iterator<Item = &HostTensor> {
        self.0.iter().map(move |tensors| &tensors[turn % tensors.len()])
    }

    /// After how many inferences they come again.
    pub(super) fn turns(&self) -> usize {
        self.0.iter().map(Vec::len).max().unwrap_or(1)
    }
}

/// Entries of a flag that speaks of inputs: `[1,3]`, which goes for all, or `a[1,3],b[2]`; several brackets behind one
/// name are several values. Brackets are kept.
fn by_input(flag: &str, text: &str) -> Result<Vec<(String, Vec<String>)>> {
    let fail = || format!("-{flag} {text}: expected [..], or INPUT[..],INPUT[..]");
    let mut entries: Vec<(String, Vec<String>)> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let open = rest.find('[').with_context(fail)?;
        let close = open + rest[open..].find(']').with_context(fail)?;
        let (name, value) = (rest[..open].trim(), rest[open..=close].to_owned());
        match (name.strip_prefix(','), entries.last_mut()) {
            (None, Some((_, values))) if name.is_empty() => values.push(value),
            (Some(name), Some(_)) => entries.push((name.trim().to_owned(), vec![value])),
            (None, None) => entries.push((name.to_owned(), vec![value])),
            _ => bail!(fail()),
        }
        rest = rest[close + 1..].trim_start();
    }
    ensure!(!entries.is_empty(), fail());
    Ok(entries)
}

/// For every input what the flag says of it; a name that no input has is an error.
fn spread(flag: &str, text: Option<&str>, ports: &[PortInfo]) -> Result<Vec<Vec<String>>> {
    let entries = text.map_or(Ok(Vec::new()), |text| by_input(flag, text))?;
    for (name, _) in &entries {
        let known = name.is_empty() || ports.iter().any(|port| port.is_called(name));
        ensure!(known, "-{flag}: the network has no input `{name}`; it has {}", names(ports));
    }
    let of = |port: &PortInfo| {
        let entry = entries.iter().find(|(name, _)| name.is_empty() || port.is_called(name));
        entry.map(|(_, values)| values.clone()).unwrap_or_default()
    };
    Ok(ports.iter().map(of).collect())
}

fn names(ports: &[PortInfo]) -> String {
    let names: Vec<&str> = ports.iter().map(PortInfo::name).collect();
    names.join(", ")
}

impl Data {
    /// Reads `-layout` and `-data_shape`.
    pub(super) fn new(model: &Model, layout: Option<&str>, data_shape: Option<&str>) -> Result<Self> {
        let ports = PortInfo::inputs(model);
        let layouts = spread("layout", layout, &ports)?;
        let shapes = spread("data_shape", data_shape, &ports)?;
        let mut inputs = Vec::new();
        for (((port, id), layout), shapes) in ports.iter().zip(model.parameters()).zip(layouts).zip(shapes) {
            let Op::Parameter(parameter) = &model.node(*id).op else {
                unreachable!("parameters are Parameters")
            };
            let layout = match layout.as_slice() {
                [] => Some(parameter.layout.clone()).filter(|own| !own.is_empty()),
                [one] => Some(parse_layout(one)?),
                _ => bail!("-layout: input `{}` has one layout", port.name()),
            };
            if let (Some(rank), Some(dims)) = (layout.as_ref().and_then(Layout::rank), port.ty.shape.rank()) {
                ensure!(rank == dims, "-layout: input `{}` is {}", port.name(), port.ty.shape);
            }
            let layout = layout.or_else(|| images::guess_layout(port.ty.shape.dims()?));
            let fixed = |text: &String| -> Result<Vec<usize>> {
                let shape: PartialShape = text.parse()?;
                shape.sizes().with_context(|| format!("-data_shape: tensors have sizes, found {shape}"))
            };
            let data_shapes = shapes.iter().map(fixed).collect::<Result<_>>()?;
            inputs.push(Input { layout, data_shapes });
        }
        Ok(Self { inputs })
    }

    /// Gives the model the shapes of `-shape` and the batch of `-b`; says whether anything changed.
    pub(super) fn reshape(
        &mut self,
        model: &mut Model,
        shape: Option<&str>,
        batch: Option<u32>,
    ) -> Result<bool> {
        let ports = PortInfo::inputs(model);
        let shapes = spread("shape", shape, &ports)?;
        let mut changed = false;
        for (i, (port, given)) in ports.iter().zip(shapes).enumerate() {
            let mut shape = match given.as_slice() {
                [] => port.ty.shape.clone(),
                [one] => one.parse()?,
                _ => bail!("-shape: input `{}` has one shape; -data_shape takes several", port.name()),
            };
            if let Some(batch) = batch {
                let mut dims = shape.dims().map(<[Dim]>::to_vec).unwrap_or_default();
                if let Some(at) = self.inputs[i].batch_axis(dims.len()) {
                    dims[at] = Dim::exactly(i64::from(batch));
                    shape = PartialShape::new(dims);
                }
            }
            if shape != port.ty.shape {
                println!("[ INFO ] Reshaping model: '{}': {shape}", port.name());
                model.set_parameter_shape(model.parameters()[i], shape);
                changed = true;
            }
        }
        if changed {
            let text = "the network does not take these shapes; see -shape and -b";
            model.infer().context(text)?;
        }
        Ok(changed)
    }

    /// What the dimensions of each input mean, where that is known.
    pub(super) fn layouts(&self) -> impl Iterator<Item = Option<&Layout>> {
        self.inputs.iter().map(|input| input.layout.as_ref())
    }

    /// Numbers of a flag for every input, `[1,2,3]`; without brackets' names they go for all.
    pub(super) fn values_by_input(
        &self,
        flag: &str,
        text: Option<&str>,
        ports: &[PortInfo],
    ) -> Result<Vec<Vec<f32>>> {
        let numbers = |brackets: &String| -> Result<Vec<f32>> {
            let inner = brackets.trim_start_matches('[').trim_end_matches(']');
            let parsed: Option<Vec<f32>> = inner.split(',').map(|n| n.trim().parse().ok()).collect();
            parsed.with_context(|| format!("-{flag}: {brackets} are no numbers"))
        };
        let of = |(values, port): (Vec<String>, &PortInfo)| match values.as_slice() {
            [] => Ok(Vec::new()),
            [one] => numbers(one),
            _ => bail!("-{flag}: input `{}` takes one [..]", port.name()),
        };
        spread(flag, text, ports)?.into_iter().zip(ports).map(of).collect()
    }

    /// The model's batch, as its first input has it.
    pub(super) fn batch_of(&self, model: &Model) -> String {
        let ports = PortInfo::inputs(model);
        let dim = ports.iter().zip(&self.inputs).find_map(|(port, input)| {
            let dims = port.ty.shape.dims()?;
            Some(dims[input.batch_axis(dims.len())?])
        });
        dim.map_or_else(|| "1".to_owned(), |dim| dim.to_string())
    }

    /// Images in the tensors of one turn.
    pub(super) fn batch(&self, tensors: &Source, turn: usize) -> usize {
        let of = |(tensor, input): (&HostTensor, &Input)| {
            input.batch_axis(tensor.shape().len()).map(|axis| tensor.shape()[axis])
        };
        tensors.of(turn).zip(&self.inputs).find_map(of).unwrap_or(1)
    }

    /// Makes the tensors from what `-i` names, and at random where it names nothing.
    pub(super) fn tensors(&self, ports: &[PortInfo], given: &[String]) -> Result<Source> {
        let mut files = assign(ports, given)?;
        let all = ports.iter().zip(&self.inputs).enumerate().map(|(i, (port, input))| {
            let tensors = match std::mem::take(&mut files[i]) {
                Files::None => input.random(port, i as u64)?,
                Files::Array(array) => vec![array],
                Files::Images(paths) => vec![input.images(port, &paths)?],
                Files::Raw(paths) => vec![input.raw(port, &paths)?],
            };
            for tensor in &tensors {
                ensure!(
                    tensor.element_type() == port.ty.element_type && port.ty.shape.admits(tensor.shape()),
                    "input `{}` takes {}, found {}{:?}",
                    port.name(),
                    port.ty,
                    tensor.element_type(),
                    tensor.shape()
                );
            }
            Ok(tensors.iter().map(HostTensor::from).collect())
        });
        Ok(Source(all.collect::<Result<_>>()?))
    }
}

fn parse_layout(text: &str) -> Result<Layout> {
    // `[NCHW]` is the layout in brackets, `[N,C,H,W]` brackets of its own.
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    Ok(if bare.contains(',') { text.parse()? } else { bare.parse()? })
}

/// The files of one input.
#[derive(Default)]
enum Files {
    #[default]
    None,
    Array(Tensor),
    Images(Vec<PathBuf>),
    Raw(Vec<PathBuf>),
}

/// Which file is which input's.
fn assign(ports: &[PortInfo], given: &[String]) -> Result<Vec<Files>> {
    let mut files: Vec<Files> = ports.iter().map(|_| Files::None).collect();
    for argument in given {
        // Names hold colons themselves, as in `x:0`: the longest that an input goes by.
        let mut splits = argument.match_indices([':', '=']).filter_map(|(at, _)| {
            let input = ports.iter().position(|port| port.is_called(&argument[..at]))?;
            Some((input, &argument[at + 1..]))
        });
        let named = splits.next_back();
        let path = Path::new(named.map_or(argument.as_str(), |(_, path)| path));
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if extension == "npz" && named.is_none() {
            for (place, array) in
                files.iter_mut().zip(arrays::assign(ports, arrays::read(std::slice::from_ref(argument))?)?)
            {
                *place = Files::Array(array);
            }
            continue;
        }
        let at = match named {
            Some((at, _)) => at,
            None if ports.len() == 1 => 0,
            None => bail!("-i {argument}: for which of {}? write INPUT:{argument}", names(ports)),
        };
        let is_image = path.is_dir() || images::is_image(path);
        match &mut files[at] {
            Files::Images(paths) if is_image => paths.push(path.to_owned()),
            Files::Raw(paths) if !is_image && extension != "npy" => paths.push(path.to_owned()),
            Files::None if is_image => files[at] = Files::Images(vec![path.to_owned()]),
            Files::None if extension == "npy" => files[at] = Files::Array(numpy::read_npy(path)?),
            Files::None => files[at] = Files::Raw(vec![path.to_owned()]),
            _ => bail!("-i {argument}: input `{}` has other files already", ports[at].name()),
        }
    }
    Ok(files)
}

impl Input {
    fn batch_axis(&self, rank: usize) -> Option<usize> {
        match &self.layout {
            Some(layout) => layout.index_of("N", rank),
            None => (rank > 1).then_some(0),
        }
    }

    /// The shapes of the tensors; a dynamic one must have been given.
    fn shapes(&self, port: &PortInfo) -> Result<Vec<Vec<usize>>> {
        if !self.data_shapes.is_empty() {
            return Ok(self.data_shapes.clone());
        }
        let sizes = port.ty.shape.sizes().with_context(|| {
            format!(
                "input `{}` is {}: say with -data_shape what its tensors shall be, or fix it with -shape or -b",
                port.name(),
                port.ty.shape
            )
        })?;
        Ok(vec![sizes])
    }

    fn random(&self, port: &PortInfo, seed: u64) -> Result<Vec<Tensor>> {
        let shapes = self.shapes(port)?;
        println!("[ INFO ] Fill input '{}' with random values", port.name());
        shapes.iter().map(|shape| arrays::random(port.ty.element_type, shape, seed)).collect()
    }

    /// A batch of images, which come again where the batch is larger than their number.
    fn images(&self, port: &PortInfo, paths: &[PathBuf]) -> Result<Tensor> {
        let layout = self.layout.as_ref().with_context(|| {
            format!("input `{}` is {}: say with -layout where images go", port.name(), port.ty.shape)
        })?;
        let dims = port.ty.shape.dims().map(<[Dim]>::to_vec).unwrap_or_default();
        let axis = |name| {
            layout
                .index_of(name, dims.len())
                .with_context(|| format!("input `{}` takes no images: its layout is {layout}", port.name()))
        };
        let (n, c, h, w) = (axis("N")?, axis("C")?, axis("H")?, axis("W")?);
        let own = self.data_shapes.first();
        let size = |axis: usize| own.map(|shape| shape[axis]).or_else(|| dims[axis].size());
        let channels = size(c).filter(|c| matches!(c, 1 | 3)).with_context(|| {
            format!("input `{}` is {}: images have 1 or 3 channels", port.name(), port.ty.shape)
        })?;
        let mut pictures: Vec<Image> = Vec::new();
        for path in images::find(paths)? {
            pictures.extend(images::read(&path, channels)?);
        }
        let first = pictures.first().context("no images")?;
        let (height, width) = (size(h).unwrap_or(first.height), size(w).unwrap_or(first.width));
        let batch = size(n).unwrap_or(pictures.len());
        println!("[ INFO ] Fill input '{}' with {} image(s)", port.name(), pictures.len().min(batch));
        let pictures: Vec<Image> = pictures.iter().map(|image| image.resized(width, height)).collect();
        let mut shape = [0; 4];
        for (axis, size) in [(n, batch), (c, channels), (h, height), (w, width)] {
            shape[axis] = size;
        }
        let mut values = vec![0; shape.iter().product()];
        let strides: Vec<usize> = (0..4).map(|axis| shape[axis + 1..].iter().product()).collect();
        for (b, image) in pictures.iter().cycle().take(batch).enumerate() {
            for (at, pixel) in image.pixels.iter().enumerate() {
                let (y, x, channel) = (at / (width * channels), at / channels % width, at % channels);
                values[b * strides[n] + y * strides[h] + x * strides[w] + channel * strides[c]] =
                    i64::from(*pixel);
            }
        }
        let tensor = Tensor::from_i64_values(port.ty.element_type, &shape, &values);
        tensor.with_context(|| format!("images as {}", port.ty.element_type))
    }

    /// Raw bytes: whole tensors, or the parts of a batch one a file.
    fn raw(&self, port: &PortInfo, paths: &[PathBuf]) -> Result<Tensor> {
        let shape = self.shapes(port)?.swap_remove(0);
        let ty: ElementType = port.ty.element_type;
        let len = ir::element_count(&shape).and_then(|count| ty.byte_len(count));
        let len = len.with_context(|| format!("a tensor of {shape:?} is too large"))?;
        let batch = self.batch_axis(shape.len()).filter(|axis| *axis == 0).map_or(1, |axis| shape[axis]);
        let mut bytes = Vec::with_capacity(len);
        for path in paths.iter().cycle() {
            let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            ensure!(
                !file.is_empty() && (file.len() == len || file.len() * batch == len),
                "{}: {} bytes; input `{}` takes {len}, or {} an image",
                path.display(),
                file.len(),
                port.name(),
                len / batch.max(1)
            );
            bytes.extend(file);
            if bytes.len() >= len {
                break;
            }
        }
        bytes.truncate(len);
        println!("[ INFO ] Fill input '{}' from {} file(s)", port.name(), paths.len());
        Ok(Tensor::new(ty, shape, bytes.into())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_speak_of_inputs() {
        let parsed = by_input("shape", "a[1,2][3], b[4]").unwrap();
        let expected = [("a", vec!["[1,2]", "[3]"]), ("b", vec!["[4]"])];
        let expected = expected.map(|(n, v)| (n.to_owned(), v.into_iter().map(String::from).collect()));
        assert_eq!(parsed, expected);
        assert_eq!(by_input("shape", "[1]").unwrap(), [(String::new(), vec!["[1]".to_owned()])]);
        for wrong in ["", "1,2", "a[1", "a[1]b[2]", "[1]]"] {
            assert!(by_input("shape", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn layouts_stand_in_brackets_once_or_twice() {
        for text in ["[NCHW]", "[N,C,H,W]"] {
            assert_eq!(parse_layout(text).unwrap().to_string(), "[N,C,H,W]");
        }
        assert!(parse_layout("[N-C]").is_err());
    }
}
