//! Compiles networks for the FPGA without a board, and tells what the cycle model says of them.

use clap::Parser;
use ir::{
    Model, NodeId, Op, PartialShape,
    cut::{InputSpec, cut},
};
use plugin_fpga::{
    architecture::Architecture,
    compile,
    container::Bitstream,
    report::{Published, Report},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    error::Error,
    ffi::OsString,
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tempfile::NamedTempFile;

/// The FPGA compiler: networks ahead of time, without a board. All times that it prints are of a cycle model; no board is
/// measured.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The network: an IR's .xml, its .bin beside it
    #[arg(short, long, required_unless_present = "published")]
    model: Option<PathBuf>,
    /// The architecture, by name: 4x2x16x32_fp16_sb9408_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr
    #[arg(long = "DLA_ARCH_NAME", value_name = "NAME", required_unless_present_any = ["bitstream", "published"])]
    architecture: Option<Architecture>,
    /// The architecture, with its clock, memory and units, by a bitstream: 2-0-1_RC_FP16_ResNet50-101.aocx
    #[arg(long, value_name = "FILE", conflicts_with = "architecture")]
    bitstream: Option<PathBuf>,
    /// Write the compiled network here: devices import it on a board that holds the same architecture
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print cycles, time and bound of each layer, buffer use, DDR traffic and what the architecture takes of a chip
    #[arg(long)]
    estimate: bool,
    /// Print the estimate as JSON
    #[arg(long)]
    json: bool,
    /// Write the schedule as a picture here, SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Print the cycle model beside published figures
    #[arg(long, conflicts_with_all = ["model", "architecture", "bitstream"])]
    published: bool,
}

/// `-DLA_ARCH_NAME`, as users know it, is a long flag with one dash.
fn modern(word: OsString) -> OsString {
    match word.to_str().and_then(|word| word.strip_prefix("-DLA_ARCH_NAME")) {
        Some(rest) => format!("--DLA_ARCH_NAME{rest}").into(),
        None => word,
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(std::env::args_os().map(modern));
    let mut text = String::new();
    let result = run(&arguments, &mut text);
    // A closed pipe is no fault of the network's.
    _ = io::stdout().write_all(text.as_bytes());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fpga_compile: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, text: &mut String) -> Result<(), Box<dyn Error>> {
    if arguments.published {
        text.push_str(&Published.to_string());
        return Ok(());
    }
    let path = arguments.model.as_deref().ok_or("a network is needed: -m model.xml")?;
    let architecture = match (&arguments.architecture, &arguments.bitstream) {
        (Some(named), _) => named.clone(),
        (None, Some(file)) => Bitstream::read(file)?.architecture,
        (None, None) => return Err("an architecture is needed: -DLA_ARCH_NAME or --bitstream".into()),
    };
    let architecture = &architecture;
    let mut model = ir::read_ir(path)?;
    tell_apart(&mut model);
    if set_batch(&mut model)? {
        eprintln!("The network takes any batch; it is compiled for one image.");
    }
    let refusals = compile::refusals(&model, architecture)?;
    if !refusals.is_empty() {
        if arguments.json {
            refusals.iter().for_each(|refusal| eprintln!("{refusal}"));
        } else {
            refusals.iter().try_for_each(|refusal| writeln!(text, "{refusal}"))?;
        }
        let all = model.len();
        take_largest_part(&mut model, architecture)?;
        let told = format!(
            "HETERO:FPGA,CPU is needed for the whole network. What follows is of its largest part that the FPGA takes, \
             {} of {all} nodes.\n",
            model.len()
        );
        if arguments.json { eprintln!("{told}") } else { writeln!(text, "{told}")? }
    }
    let program = compile::compile(&model, architecture)?;
    if let Some(file) = &arguments.output {
        let mut bytes = Vec::new();
        compile::export::write(&program, architecture, &mut bytes)?;
        write_whole(file, &bytes)?;
    }
    let report = Report::new(architecture, &program);
    if let Some(path) = &arguments.picture {
        write_whole(path, report.picture().as_bytes())?;
    }
    if arguments.json {
        writeln!(text, "{:#}", report.json())?;
    } else if arguments.estimate {
        write!(text, "{report}")?;
    } else {
        let (descriptors, bytes) = (program.instructions.len(), program.constants.len());
        writeln!(text, "Compiled for {architecture}: {descriptors} descriptors, {bytes} bytes of constants")?;
    }
    Ok(())
}

/// A file appears whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let mut file = NamedTempFile::new_in(folder).map_err(told)?;
    file.write_all(bytes).map_err(told)?;
    file.persist(path).map_err(|error| told(error.error))?;
    Ok(())
}

/// Leaves of the model its largest part that the overlay takes: as HETERO would divide it, nodes that are taken and have
/// equally many changes of device behind them.
fn take_largest_part(model: &mut Model, architecture: &Architecture) -> Result<(), Box<dyn Error>> {
    let supported: HashSet<String> = compile::query(model, architecture)?.supported.into_iter().collect();
    // What computes: neither fixed nor at the border of the model.
    let mut stages: HashMap<NodeId, (bool, usize)> = HashMap::new();
    for id in model.topological_order()? {
        let node = model.node(id);
        let computed = node.inputs().iter().filter_map(|port| stages.get(&port.node));
        let is_border = matches!(node.op, Op::Parameter(_));
        if is_border || computed.clone().next().is_some() {
            let taken = supported.contains(&node.name);
            let changes = computed.map(|(from, changes)| changes + usize::from(*from != taken));
            stages.insert(id, (taken, changes.max().unwrap_or_default()));
        }
    }
    let is_layer = |id: &NodeId| !matches!(model.node(*id).op, Op::Parameter(_) | Op::OpResult(_));
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for (id, (taken, changes)) in &stages {
        *sizes.entry(*changes).or_default() += usize::from(*taken && is_layer(id));
    }
    let Some((stage, 1..)) = sizes.into_iter().max_by_key(|(_, nodes)| *nodes) else {
        return Err("the FPGA takes no layer of this network: run it on CPU".into());
    };
    let part = |id: &NodeId| stages.get(id) == Some(&(true, stage)) && is_layer(id);
    let (mut inputs, mut outputs) = (BTreeSet::new(), BTreeSet::new());
    for (id, node) in model.nodes() {
        for port in node.inputs().iter().filter(|port| stages.contains_key(&port.node)) {
            let place = || format!("{}:{}", model.node(port.node).name, port.index);
            match (part(&id), part(&port.node)) {
                (true, false) => _ = inputs.insert(place()),
                (false, true) => _ = outputs.insert(place()),
                _ => {}
            }
        }
    }
    let inputs: Vec<InputSpec> = inputs.into_iter().map(InputSpec::at).collect();
    Ok(cut(model, &inputs, &Vec::from_iter(outputs))?)
}

/// Gives nodes names of their own, as files of IRs do: a convolution and the transpose behind it share one.
fn tell_apart(model: &mut Model) {
    let ids: Vec<NodeId> = model.nodes().map(|(id, _)| id).collect();
    let mut seen = HashSet::new();
    for id in ids {
        let name = model.node(id).name.clone();
        let mut own = name.clone();
        let mut number = 2;
        while !seen.insert(own.clone()) {
            own = format!("{name}#{number}");
            number += 1;
        }
        model.node_mut(id).name = own;
    }
}

/// Networks of any batch are compiled for one image.
fn set_batch(model: &mut Model) -> Result<bool, Box<dyn Error>> {
    let mut changed = false;
    for id in model.parameters().to_vec() {
        let shape = &model.ty(id.output(0)).shape;
        let Some([first, rest @ ..]) = shape.dims() else { continue };
        let rest: Option<Vec<usize>> = rest.iter().map(|dim| dim.size()).collect();
        if let (None, Some(rest)) = (first.size(), rest) {
            model.set_parameter_shape(id, PartialShape::fixed(&[&[1], &rest[..]].concat()));
            changed = true;
        }
    }
    model.infer()?;
    Ok(changed)
}
