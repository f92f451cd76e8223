//! The classification samples: images in, the most probable classes out. Both binaries run this; they differ in how
//! requests are started.

use crate::{
    argv, engine,
    images::{self, Image},
    labels, printout,
};
use anyhow::{Context, Result, bail, ensure};
use clap::{ArgAction, Parser};
use ir::{ElementType, Layout, Model, PartialShape};
use runtime::{CompiledModel, Config, InferRequest, InputSettings, OutputSettings};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// How the inferences are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// One after the other, each waited for.
    Sync,
    /// Several requests in flight.
    Async,
}

/// Classifies images with a network.
#[derive(Parser, Debug)]
#[command(version, about, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Images or folders of images: PNG, JPEG, BMP, or MNIST's ubyte.
    #[arg(short, value_name = "PATH", num_args = 1.., required = true)]
    i: Vec<PathBuf>,
    /// The network: the .xml of an IR, its .bin beside it. Class names are read from the .labels file of the same name.
    #[arg(short, value_name = "XML", required = true)]
    m: PathBuf,
    /// The device: CPU, or several as in HETERO:FPGA,CPU.
    #[arg(short, value_name = "DEVICE", default_value = "CPU")]
    d: String,
    /// How many classes to print.
    #[arg(long, value_name = "N", default_value_t = 10)]
    nt: usize,
    /// How many times to infer.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    ni: u32,
    /// How many requests are in flight at once (asynchronous sample).
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    nireq: u32,
    /// How many threads the CPU uses; all that the machine lends when not given.
    #[arg(long, value_name = "N")]
    nthreads: Option<usize>,
    /// Prints the performance counts of every layer.
    #[arg(long)]
    pc: bool,
    /// Prints the engine's own messages.
    #[arg(long = "p_msg")]
    p_msg: bool,
    /// A shared library with custom CPU layers.
    #[arg(short, value_name = "PATH")]
    l: Option<PathBuf>,
    /// A description of custom GPU kernels.
    #[arg(short, value_name = "PATH")]
    c: Option<PathBuf>,
    /// A folder with device plugins.
    #[arg(long, value_name = "PATH")]
    pp: Option<PathBuf>,
}

/// The whole program, from the command line to the exit code.
pub fn main(mode: Mode) -> ExitCode {
    argv::main(|args: &Args| run(args, mode))
}

fn run(args: &Args, mode: Mode) -> Result<()> {
    if let Some(path) = &args.l {
        bail!("-l {}: this version loads no custom layers from shared libraries", path.display());
    }
    if let Some(path) = &args.c {
        bail!("-c {}: custom GPU kernels need a GPU device, and there is none", path.display());
    }
    if args.p_msg {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    }
    println!("[ INFO ] InferenceEngine:\n\tAPI version ............ {}", engine::API_VERSION);
    println!("\tBuild .................. {}\nParsing input parameters", env!("CARGO_PKG_NAME"));
    let files = images::find(&args.i)?;
    println!("[ INFO ] Files were added: {}", files.len());
    files.iter().for_each(|file| println!("[ INFO ]     {}", file.display()));

    println!("[ INFO ] Loading plugin\n");
    let core = engine::core();
    if let Some(folder) = &args.pp {
        println!("[ WARNING ] -pp {}: the devices of this build are linked in", folder.display());
    }
    let device_name = args.d.split([':', '.']).next().unwrap_or_default();
    let device = core.device(device_name)?;
    println!(
        "\tAPI version ............ {}\n\tDescription ............ {}",
        engine::API_VERSION,
        device.description()
    );

    println!(
        "[ INFO ] Loading network files:\n\t{}\n\t{}",
        args.m.display(),
        args.m.with_extension("bin").display()
    );
    let mut model = core.read_model(&args.m)?;
    let labels = labels::beside(&args.m)?;

    println!("[ INFO ] Preparing input blobs");
    let geometry = prepare(&mut model)?;
    let images = load_images(&files, &geometry)?;
    let batch = set_batch(&mut model, &images[0], images.len())?;
    println!("[ INFO ] Batch size is {batch}");

    println!("[ INFO ] Preparing output blobs\n[ INFO ] Loading model to the plugin");
    let mut config = Config::new();
    if args.pc {
        config.insert("PERF_COUNT".into(), "YES".into());
    }
    if let Some(threads) = args.nthreads {
        config.insert("INFERENCE_NUM_THREADS".into(), threads.to_string());
    }
    let compiled = core.compile_model(&model, &args.d, &config)?;

    println!("[ INFO ] Starting inference ({} iterations)", args.ni);
    let groups: Vec<&[Image]> = images.chunks(batch).collect();
    let outcome = match mode {
        Mode::Sync => run_sync(&compiled, &groups, args.ni)?,
        Mode::Async => run_async(&compiled, &groups, args.ni, args.nireq)?,
    };

    println!("[ INFO ] Processing output blobs\n\nTop {} results:\n", args.nt);
    for (image, probabilities) in images.iter().zip(&outcome.probabilities) {
        let classes = printout::top_classes(probabilities, args.nt);
        println!("{}", printout::class_table(&image.path, &classes, labels.as_deref()));
    }
    print_times(&outcome, batch);
    if args.pc {
        println!("{}", printout::performance_counts(&outcome.profile));
    }
    println!("[ INFO ] Execution successful");
    Ok(())
}

fn print_times(outcome: &Outcome, batch: usize) {
    let total = outcome.time.as_secs_f64() * 1e3;
    let one = total / outcome.inferences as f64;
    println!("\ntotal inference time: {total:.7}");
    println!("Average running time of one iteration: {one:.7} ms\n");
    println!("Throughput: {:.7} FPS\n", 1e3 * batch as f64 / one);
}

/// What the network's input wants of an image.
struct Geometry {
    channels: usize,
    /// Rows and columns; unknown ones are those of the first image.
    height: Option<usize>,
    width: Option<usize>,
}

/// Lets the network take interleaved 8-bit images, whatever its own type and layout.
fn prepare(model: &mut Model) -> Result<Geometry> {
    ensure!(
        model.parameters().len() == 1 && model.results().len() == 1,
        "this sample classifies with networks of one input and one output; this one has {} and {}",
        model.parameters().len(),
        model.results().len()
    );
    let id = model.parameters()[0];
    let ir::Op::Parameter(parameter) = &model.node(id).op else { unreachable!("parameters are Parameters") };
    let shape = parameter.shape.clone();
    let dims = shape.dims().filter(|dims| dims.len() == 4);
    let dims = dims.with_context(|| format!("the input takes {shape}; images need 4 dimensions"))?;
    let own = Some(parameter.layout.clone()).filter(|layout| !layout.is_empty());
    let layout: Layout = match own {
        Some(layout) => layout,
        None => images::guess_layout(dims).with_context(|| {
            format!("where are the channels in {shape}? convert the network with --layout nchw or nhwc")
        })?,
    };
    let at = |name| layout.index_of(name, 4).with_context(|| format!("the layout {layout} has no {name}"));
    let (channels, height, width) = (dims[at("C")?], dims[at("H")?].size(), dims[at("W")?].size());
    let channels = channels.size().filter(|c| matches!(c, 1 | 3));
    let channels =
        channels.with_context(|| format!("the input takes {shape}; images have 1 or 3 channels"))?;
    let input = InputSettings {
        element_type: Some(ElementType::U8),
        layout: Some("NHWC".parse().expect("a layout")),
        model_layout: Some(layout),
        ..InputSettings::default()
    };
    let output = OutputSettings { element_type: Some(ElementType::F32), ..OutputSettings::default() };
    runtime::apply_settings(model, &[input], &[output])?;
    Ok(Geometry { channels, height, width })
}

fn load_images(files: &[PathBuf], geometry: &Geometry) -> Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    for file in files {
        for image in images::read(file, geometry.channels)? {
            let first = images.first().unwrap_or(&image);
            let width = geometry.width.unwrap_or(first.width);
            let height = geometry.height.unwrap_or(first.height);
            if (width, height) != (image.width, image.height) {
                println!(
                    "[ WARNING ] Image is resized from ({}, {}) to ({width}, {height})",
                    image.width, image.height
                );
            }
            images.push(image.resized(width, height));
        }
    }
    Ok(images)
}

/// Sets the input's size to that of the images and its batch to their number; a network that can't change its batch
/// keeps it.
fn set_batch(model: &mut Model, image: &Image, images: usize) -> Result<usize> {
    let id = model.parameters()[0];
    let shape = &model.ty(id.into()).shape;
    let own = shape.dims().and_then(|dims| dims[0].size());
    let mut wider = model.clone();
    let sizes = [images, image.height, image.width, image.channels];
    wider.set_parameter_shape(id, PartialShape::fixed(&sizes));
    let inferred = wider.infer();
    let output = &wider.ty(model.results()[0].into()).shape;
    let batch = output.dims().and_then(|dims| dims.first()?.size());
    match (inferred, own) {
        (Ok(()), _) if batch.is_none_or(|batch| batch == images) => {
            *model = wider;
            Ok(images)
        }
        (_, Some(own)) => {
            println!("[ WARNING ] The network works only with its own batch of {own}");
            Ok(own)
        }
        (Err(error), None) => Err(error).context(format!("the network takes no batch of {images} images")),
        (Ok(()), None) => bail!("the network gives {output} for {images} images"),
    }
}

/// What the inferences gave.
struct Outcome {
    /// One row of probabilities an image.
    probabilities: Vec<Vec<f32>>,
    /// From the first start to the last end.
    time: Duration,
    inferences: usize,
    profile: Vec<runtime::ProfileRow>,
}

fn run_sync(compiled: &CompiledModel, groups: &[&[Image]], iterations: u32) -> Result<Outcome> {
    let mut request = compiled.create_infer_request()?;
    let mut probabilities = Vec::new();
    let mut time = Duration::ZERO;
    for group in groups {
        fill(&mut request, compiled, group)?;
        let start = Instant::now();
        for _ in 0..iterations {
            request.infer()?;
        }
        time += start.elapsed();
        probabilities.extend(rows(&request, group.len())?);
    }
    let inferences = groups.len() * iterations as usize;
    Ok(Outcome { probabilities, time, inferences, profile: request.profile() })
}

/// Requests take turns: each is waited for only when it's its turn again.
fn run_async(
    compiled: &CompiledModel,
    groups: &[&[Image]],
    iterations: u32,
    in_flight: u32,
) -> Result<Outcome> {
    let create = |_| compiled.create_infer_request();
    let mut requests = (0..in_flight).map(create).collect::<Result<Vec<_>, _>>()?;
    let mut probabilities = Vec::new();
    let mut time = Duration::ZERO;
    for group in groups {
        for request in &mut requests {
            fill(request, compiled, group)?;
        }
        let start = Instant::now();
        let count = requests.len();
        for i in 0..iterations as usize {
            let request = &mut requests[i % count];
            if i >= count {
                request.wait()?;
            }
            request.start_async()?;
        }
        let last = (iterations as usize - 1) % count;
        for request in requests.iter().take(iterations as usize) {
            request.wait()?;
        }
        time += start.elapsed();
        probabilities.extend(rows(&requests[last], group.len())?);
    }
    let inferences = groups.len() * iterations as usize;
    Ok(Outcome { probabilities, time, inferences, profile: requests[0].profile() })
}

/// Puts the images into the request's input; places without an image stay black.
fn fill(request: &mut InferRequest, compiled: &CompiledModel, images: &[Image]) -> Result<()> {
    let shape = &compiled.inputs()[0].ty.shape;
    let sizes = match shape.sizes() {
        Some(sizes) => sizes,
        None => vec![images.len(), images[0].height, images[0].width, images[0].channels],
    };
    let tensor = runtime::HostTensor::zeros(ElementType::U8, &sizes)?;
    {
        let mut bytes = tensor.write()?;
        let size = images[0].pixels.len();
        for (place, image) in bytes.chunks_exact_mut(size).zip(images) {
            place.copy_from_slice(&image.pixels);
        }
    }
    Ok(request.set_input(0, tensor)?)
}

/// The first `count` rows of the output.
fn rows(request: &InferRequest, count: usize) -> Result<Vec<Vec<f32>>> {
    let output = request.output(0)?.to_tensor()?;
    let batch = output.shape().first().copied().unwrap_or(1);
    ensure!(batch >= count, "the network gave {batch} answers for {count} images");
    let values = output.view::<f32>()?;
    let width = values.len() / batch.max(1);
    ensure!(width > 0, "the network's output {:?} holds no classes", output.shape());
    Ok(values.chunks_exact(width).take(count).map(<[f32]>::to_vec).collect())
}
