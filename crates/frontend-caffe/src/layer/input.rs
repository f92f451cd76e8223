//! Where data enters, and blobs that a network holds.

use crate::scope::{Converted, Params, Problem, Scope, malformed};
use ir::{Dim, ElementType, PartialShape};

/// One input for every top.
fn parameters(s: &mut Scope, shapes: Vec<PartialShape>) -> Converted {
    let tops = &s.layer.tops;
    if tops.is_empty() {
        return malformed("it has no top");
    }
    if shapes.len() > 1 && shapes.len() != tops.len() {
        return malformed(format!("it has {} tops and {} shapes", tops.len(), shapes.len()));
    }
    let shape = |i: usize| shapes.get(i).or(shapes.first()).cloned().unwrap_or(PartialShape::UNKNOWN);
    let mut ports = Vec::new();
    for (i, top) in tops.iter().enumerate() {
        ports.push(s.model.add_parameter(top.clone(), ElementType::F32, shape(i)).into());
    }
    Ok(ports)
}

/// Data and, as second top, its labels: one a datum.
fn data_and_labels(s: &mut Scope, data: PartialShape) -> Converted {
    let batch = data.dims().and_then(|dims| dims.first().copied()).unwrap_or(Dim::ANY_DIM);
    let labels = PartialShape::new([batch]);
    let shapes =
        s.layer.tops.iter().enumerate().map(|(i, _)| if i == 0 { data.clone() } else { labels.clone() });
    let shapes = shapes.collect();
    parameters(s, shapes)
}

/// A dimension: 0 and what is not said are open.
fn dim(size: Option<usize>) -> Dim {
    size.filter(|size| *size > 0).map_or(Dim::ANY_DIM, Dim::dim)
}

/// The shape in a BlobShape. A negative dimension is open.
fn blob_shape(params: &Params) -> Result<PartialShape, Problem> {
    let dims = params.ints("dim")?;
    Ok(PartialShape::new(dims.into_iter().map(|dim| if dim < 0 { Dim::ANY_DIM } else { Dim::exactly(dim) })))
}

pub(super) fn input(s: &mut Scope) -> Converted {
    let shapes = s.params("input_param").each("shape").iter().map(blob_shape).collect::<Result<_, _>>()?;
    parameters(s, shapes)
}

pub(super) fn memory_data(s: &mut Scope) -> Converted {
    let params = s.params("memory_data_param");
    let sizes = ["batch_size", "channels", "height", "width"].map(|name| params.maybe_size(name));
    let mut dims = Vec::new();
    for size in sizes {
        dims.push(dim(size?));
    }
    data_and_labels(s, PartialShape::new(dims))
}

/// Data of a database: what its images look like stands there, not here.
pub(super) fn data(s: &mut Scope) -> Converted {
    let params = s.params("data_param");
    params.ignore(&["source", "backend", "rand_skip", "scale", "mean_file", "mirror", "prefetch"]);
    s.ignore(&["annotated_data_param", "video_data_param"]);
    let batch = params.maybe_size("batch_size")?;
    let [channels, height, width] = crop(s, params.maybe_size("crop_size")?)?;
    data_and_labels(s, PartialShape::new([dim(batch), dim(channels), dim(height), dim(width)]))
}

/// Channels, height and width as the transformation leaves them.
fn crop(s: &Scope, old: Option<usize>) -> Result<[Option<usize>; 3], Problem> {
    let params = s.params("transform_param");
    let channels = if params.flag("force_color", false)? {
        Some(3)
    } else if params.flag("force_gray", false)? {
        Some(1)
    } else {
        None
    };
    let size = params.maybe_size("crop_size")?.or(old);
    Ok([channels, size, size])
}

pub(super) fn image_data(s: &mut Scope) -> Converted {
    let params = s.params("image_data_param");
    params.ignore(&["source", "root_folder", "shuffle", "rand_skip", "scale", "mean_file", "mirror"]);
    let batch = params.size("batch_size", 1)?;
    let channels = if params.flag("is_color", true)? { 3 } else { 1 };
    let (height, width) = (params.maybe_size("new_height")?, params.maybe_size("new_width")?);
    let [_, cropped, _] = crop(s, params.maybe_size("crop_size")?)?;
    let cropped = cropped.filter(|size| *size > 0);
    let shape = [dim(Some(batch)), dim(Some(channels)), dim(cropped.or(height)), dim(cropped.or(width))];
    data_and_labels(s, PartialShape::new(shape))
}

pub(super) fn window_data(s: &mut Scope) -> Converted {
    let params = s.params("window_data_param");
    params.ignore(&[
        "source",
        "scale",
        "mean_file",
        "mirror",
        "fg_threshold",
        "bg_threshold",
        "fg_fraction",
        "context_pad",
        "crop_mode",
        "cache_images",
        "root_folder",
    ]);
    let batch = params.maybe_size("batch_size")?;
    let [channels, height, width] = crop(s, params.maybe_size("crop_size")?)?;
    data_and_labels(s, PartialShape::new([dim(batch), dim(channels.or(Some(3))), dim(height), dim(width)]))
}

/// Data of an HDF5 file, of any rank.
pub(super) fn hdf5_data(s: &mut Scope) -> Converted {
    let params = s.params("hdf5_data_param");
    params.ignore(&["source", "shuffle", "batch_size"]);
    parameters(s, Vec::new())
}

/// What a filler would make stands for data: an input.
pub(super) fn dummy_data(s: &mut Scope) -> Converted {
    let params = s.params("dummy_data_param");
    params.ignore(&["data_filler"]);
    let mut shapes = params.each("shape").iter().map(blob_shape).collect::<Result<Vec<_>, _>>()?;
    let old =
        [params.sizes("num")?, params.sizes("channels")?, params.sizes("height")?, params.sizes("width")?];
    if shapes.is_empty() {
        for (i, _) in s.layer.tops.iter().enumerate() {
            let dims = old.iter().map(|sizes| dim(sizes.get(i).or(sizes.first()).copied()));
            shapes.push(PartialShape::new(dims));
        }
    }
    parameters(s, shapes)
}

/// A blob of the network itself.
pub(super) fn parameter(s: &mut Scope) -> Converted {
    let shape = s.params("parameter_param").inner("shape").sizes("dim")?;
    let tensor = s.blob(0, "values", &shape)?;
    Ok(vec![s.constant("values", tensor)])
}
