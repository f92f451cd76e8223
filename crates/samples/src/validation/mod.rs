//! `validation_app`: how accurate a network is on images whose classes or boxes are known, with the flags and the
//! report of OpenVINO's program of that name.

mod average_precision;
mod dataset;
mod dump;
mod flight;
mod voc;

use crate::{
    argv, classification,
    detection::{Decoder, Detection},
    engine::{EngineArgs, GpuArgs},
    image_input::ImageInput,
    labels, printout,
};
use anyhow::{Context, Result, ensure};
use average_precision::{Found, Truth, average_precision};
use clap::{ArgAction, Parser, ValueEnum};
use dump::Dump;
use flight::{Fit, Flight, Original, Times};
use ir::{ElementType, Model, Op};
use runtime::{CompiledModel, Config, Core, InferRequest};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Measures how accurate a network is.
#[derive(Parser, Debug)]
#[command(name = "validation_app", version, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// What the network does: C classifies, OD detects objects.
    #[arg(short, value_enum, value_name = "TYPE", default_value = "C", ignore_case = true)]
    t: Task,
    /// C: a folder of folders named as classes, or a .txt list with lines `image class`. OD: the folder of the images.
    #[arg(short, value_name = "PATH", required = true)]
    i: PathBuf,
    /// The network: the .xml of an IR, its .bin beside it.
    #[arg(short, value_name = "XML", required = true)]
    m: PathBuf,
    /// The names of the classes, one a line; those of the .labels file beside the network when not given.
    #[arg(long, value_name = "FILE")]
    lbl: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    gpu: GpuArgs,
    /// The batch; the network's own when not given, or 1 where that is open.
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    b: Option<u32>,
    /// How images get the network's size. None: they must have it. Resize. ResizeCrop: the middle of what -ppSize, or
    /// -ppWidth and -ppHeight, resize them to.
    #[arg(long = "ppType", value_enum, value_name = "TYPE", default_value = "Resize", ignore_case = true)]
    pp_type: FitType,
    /// Width and height that ResizeCrop resizes to.
    #[arg(long = "ppSize", value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pp_size: u32,
    /// The width instead of -ppSize.
    #[arg(long = "ppWidth", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pp_width: Option<u32>,
    /// The height instead of -ppSize.
    #[arg(long = "ppHeight", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pp_height: Option<u32>,
    /// Writes what was found in every image to dumpfileXXXX.csv.
    #[arg(long)]
    dump: bool,
    /// true: class 0 of the network is the background, so that it numbers the classes of the images from 1.
    #[arg(long = "Czb", value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    czb: bool,
    /// The kind of the detecting network.
    #[arg(long = "ODkind", value_enum, value_name = "KIND", default_value = "SSD", ignore_case = true)]
    od_kind: Kind,
    /// The folder with the annotations, .xml files as of Pascal VOC.
    #[arg(long = "ODa", value_name = "FOLDER")]
    od_annotations: Option<PathBuf>,
    /// The classes of the detecting network: lines `name number`.
    #[arg(long = "ODc", value_name = "FILE")]
    od_classes: Option<PathBuf>,
    /// A folder between -i and the images, such as JPEGImages.
    #[arg(long = "ODsubdir", value_name = "NAME", default_value = "")]
    od_subdir: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Task {
    #[value(name = "C")]
    Classification,
    #[value(name = "OD")]
    Detection,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum FitType {
    #[value(name = "None")]
    None,
    #[value(name = "Resize")]
    Resize,
    #[value(name = "ResizeCrop")]
    ResizeCrop,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    #[value(name = "SSD")]
    Ssd,
    #[value(name = "YOLO")]
    Yolo,
}

/// The whole program, from the command line to the exit code.
pub fn main() -> ExitCode {
    argv::main(run)
}

fn run(args: &Args) -> Result<()> {
    args.gpu.check()?;
    let core = args.engine.core()?;
    match args.t {
        Task::Classification => classify(args, &core),
        Task::Detection => detect(args, &core),
    }
}

fn fit(args: &Args) -> Fit {
    let size = |own: Option<u32>| own.unwrap_or(args.pp_size) as usize;
    match args.pp_type {
        FitType::None => Fit::None,
        FitType::Resize => Fit::Resize,
        FitType::ResizeCrop => Fit::ResizeCrop(size(args.pp_width), size(args.pp_height)),
    }
}

/// A network that is loaded, and what the report says of it.
struct Loaded {
    compiled: CompiledModel,
    input: ImageInput,
    batch: usize,
    load_time: Duration,
    precision: &'static str,
}

fn load(args: &Args, core: &Core, mut model: Model, input: ImageInput) -> Result<Loaded> {
    let own = input.batch(&model);
    let batch = args.b.map(|batch| batch as usize).or(own).unwrap_or(1);
    if own != Some(batch) {
        let size = input.width.zip(input.height).context("the size of the network's input must be known")?;
        input.reshape(&mut model, batch, size).with_context(|| match own {
            Some(own) => format!("-b {batch}: the network works only with its own batch of {own}"),
            None => format!("the network takes no batch of {batch}"),
        })?;
    }
    let precision = precision(&model);
    let config = Config::from([("PERFORMANCE_HINT".to_owned(), "THROUGHPUT".to_owned())]);
    let start = Instant::now();
    let compiled = core.compile_model(&model, &args.engine.d, &config)?;
    Ok(Loaded { compiled, input, batch, load_time: start.elapsed(), precision })
}

/// How the network's weights are stored.
fn precision(model: &Model) -> &'static str {
    let half = |(_, node): (_, &ir::Node)| matches!(&node.op, Op::Constant(constant) if constant.tensor.element_type() == ElementType::F16);
    if model.nodes().any(half) { "FP16" } else { "FP32" }
}

fn print_report(args: &Args, loaded: &Loaded, approach: &str, images: usize, times: &Times) {
    println!("[ INFO ] Processing output blobs");
    println!("Network load time: {:.2}ms", loaded.load_time.as_secs_f64() * 1e3);
    println!("Model: {}", args.m.display());
    println!("Model Precision: {}", loaded.precision);
    println!("Batch size: {}", loaded.batch);
    println!("Validation dataset: {}", args.i.display());
    println!("Validation approach: {approach}");
    println!("Device: {}\n", args.engine.d);
    let busy = times.busy.as_secs_f64();
    println!(
        "Average infer time (ms): {:.3} ({:.2} images per second with batch size = {})\n",
        busy * 1e3 / times.batches as f64,
        images as f64 / busy,
        loaded.batch
    );
}

fn classify(args: &Args, core: &Core) -> Result<()> {
    let mut model = core.read_model(&args.m)?;
    let labels = match &args.lbl {
        Some(path) => Some(labels::read(path).with_context(|| format!("-lbl {}", path.display()))?),
        None => labels::beside(&args.m)?,
    };
    let images = dataset::read(&args.i, labels.as_deref())?;
    let input = classification::open(&mut model)?;
    let loaded = load(args, core, model, input)?;
    let mut dump = args.dump.then(Dump::create).transpose()?;
    let (mut first, mut among_five) = (0, 0);
    let background = usize::from(args.czb);
    let answer = |start: usize, originals: &[Original], request: &InferRequest| {
        let rows = classification::rows(request, originals.len())?;
        for (image, probabilities) in images[start..].iter().zip(rows) {
            let right = image.class + background;
            ensure!(
                right < probabilities.len(),
                "{} is of class {}, and the network knows {} classes{}",
                image.path.display(),
                image.class,
                probabilities.len(),
                if args.czb { ", the background among them" } else { "" }
            );
            let best = printout::top_classes(&probabilities, 5);
            let is_first = best[0].0 == right;
            first += usize::from(is_first);
            among_five += usize::from(best.iter().any(|(class, _)| *class == right));
            if let Some(dump) = &mut dump {
                dump.classes(&image.path, is_first, &best)?;
            }
        }
        Ok(())
    };
    let paths: Vec<&Path> = images.iter().map(|image| image.path.as_path()).collect();
    let times = flight(args, &loaded).run(&paths, answer)?;
    let all = images.len();
    print_report(args, &loaded, "Classification network", all, &times);
    let percent = |count: usize| 100.0 * count as f64 / all as f64;
    println!(
        "Top1 accuracy: {:.2}% ({first} of {all} images were detected correctly, top class is correct)",
        percent(first)
    );
    println!(
        "Top5 accuracy: {:.2}% ({among_five} of {all} images were detected correctly, top five classes contain \
         required class)",
        percent(among_five)
    );
    dump.map_or(Ok(()), Dump::finish)
}

fn flight<'a>(args: &Args, loaded: &'a Loaded) -> Flight<'a> {
    Flight { compiled: &loaded.compiled, input: &loaded.input, batch: loaded.batch, fit: fit(args) }
}

fn detect(args: &Args, core: &Core) -> Result<()> {
    let annotations =
        args.od_annotations.as_deref().context("-t OD needs -ODa, the folder with the annotations")?;
    let classes = voc::read_classes(
        args.od_classes.as_deref().context("-t OD needs -ODc, the file with the classes")?,
    )?;
    let annotations = voc::read_annotations(annotations, &args.i, &args.od_subdir, &classes)?;
    let mut model = core.read_model(&args.m)?;
    let input = ImageInput::open(&mut model)?;
    let decoder = match args.od_kind {
        Kind::Ssd => Decoder::rows(&model)?,
        Kind::Yolo => {
            let size =
                input.width.zip(input.height).context("the size of the network's input must be known")?;
            Decoder::yolo(&model, size, classes.len())?
        }
    };
    let loaded = load(args, core, model, input)?;
    let mut dump = args.dump.then(Dump::create).transpose()?;
    let mut found: BTreeMap<usize, Vec<Found>> = BTreeMap::new();
    let answer = |start: usize, originals: &[Original], request: &InferRequest| {
        for one in decoder.decode(request)? {
            // Places of the batch without an image have detections too.
            let Some(original) = originals.get(one.image) else { continue };
            let found_here = in_pixels(&one, start, original);
            if let Some(dump) = &mut dump {
                dump.detection(&annotations[found_here.image].path, one.class, &found_here)?;
            }
            found.entry(one.class).or_default().push(found_here);
        }
        Ok(())
    };
    let paths: Vec<&Path> = annotations.iter().map(|annotation| annotation.path.as_path()).collect();
    let times = flight(args, &loaded).run(&paths, answer)?;
    print_report(args, &loaded, "Object detection network", annotations.len(), &times);
    let mut numbers: Vec<usize> = classes.into_values().collect();
    numbers.sort_unstable();
    numbers.dedup();
    println!("Average precision per class table:\n\nClass\tAP");
    let mut precisions = Vec::new();
    for class in numbers {
        let truths: Vec<Vec<Truth>> = annotations.iter().map(|a| truths(a, class)).collect();
        // What no image holds, the background among it, has no precision.
        if let Some(ap) = average_precision(&truths, found.remove(&class).unwrap_or_default()) {
            println!("{class}\t{ap:.3}");
            precisions.push(ap);
        }
    }
    ensure!(!precisions.is_empty(), "the annotations hold no objects that are not marked difficult");
    println!(
        "\nMean Average Precision (mAP): {:.4}",
        precisions.iter().sum::<f64>() / precisions.len() as f64
    );
    dump.map_or(Ok(()), Dump::finish)
}

fn truths(annotation: &voc::Annotation, class: usize) -> Vec<Truth> {
    let own = annotation.objects.iter().filter(|object| object.class == class);
    own.map(|object| Truth { corners: object.corners, difficult: object.difficult }).collect()
}

/// A detection as VOC writes it: within the image, in its pixels.
fn in_pixels(one: &Detection, first: usize, original: &Original) -> Found {
    let sizes = [original.width, original.height, original.width, original.height];
    let corners = std::array::from_fn(|i| f64::from(one.corners[i].clamp(0.0, 1.0)) * sizes[i] as f64);
    Found { image: first + one.image, confidence: one.confidence, corners }
}
