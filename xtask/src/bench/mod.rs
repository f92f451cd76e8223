//! Terroir beside OpenVINO and ONNX Runtime: the same network, the same threads, turn by turn in the same run.
//!
//! Every engine loads a network once for each setting and then waits; turns go round, so that what else the machine
//! does hits all alike. Medians over all inferences of all turns count, minima stand beside them.

mod layers;
mod nodes;
mod options;
mod peer;
mod report;
mod roofline;
mod sweep;

use crate::{
    interop::{self, Network},
    process::{Process, cache, program, root},
};
use anyhow::{Result, ensure};
use options::{Options, What};
use peer::{Engine, Peer, Setting};
use report::{Loading, Measured, Times};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let networks = options.select(interop::networks()?)?;
    let (text, record) = match options.what {
        What::Zoo => (zoo(&networks, &options)?, "zoo.md"),
        What::Roofline => (roofline::run(&networks, &options)?, "roofline.md"),
        What::Sweep => {
            crate::zoo::environments(&["ov"])?;
            (sweep::run(&networks, &options)?, "sweep.md")
        }
    };
    println!("{text}");
    if options.is_record() {
        write(record, &text)?;
    }
    Ok(())
}

/// Everything about every network, beside its peers.
fn zoo(networks: &[Network], options: &Options) -> Result<String> {
    crate::zoo::environments(if options.onnx { &["ov", "tf", "tf2onnx"] } else { &["ov"] })?;
    let mut measured = Vec::new();
    for network in networks {
        eprintln!("{}", network.name);
        measured.push(measure(network, options)?);
    }
    report::document(&measured, options)
}

/// Writes a record that git keeps.
fn write(name: &str, text: &str) -> Result<()> {
    let folder = root().join("benches/results");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), text)?;
    eprintln!("written: {}", folder.join(name).display());
    Ok(())
}

/// The files of one network that the engines read.
struct Files {
    xml: PathBuf,
    onnx: Option<PathBuf>,
}

fn measure(network: &Network, options: &Options) -> Result<Measured> {
    let files = Files { xml: converted(network)?, onnx: if options.onnx { onnx(network) } else { None } };
    let mut measured = Measured::new(&network.name, fs::metadata(files.xml.with_extension("bin"))?.len());
    for &threads in &options.threads {
        let setting = Setting { threads, ..Setting::default() };
        measured.latency.push((threads, turns(network, &files, &setting, &Engine::ALL, options)?));
    }
    if options.throughput {
        let setting = Setting { threads: 2, streams: 2, ..Setting::default() };
        measured.throughput =
            turns(network, &files, &setting, &[Engine::Terroir, Engine::OpenVino], options)?;
    }
    if options.loading {
        measured.loading = load(network, &files, options)?;
    }
    if options.layers > 0 {
        let setting = Setting { threads: options.threads[0], profile: true, ..Setting::default() };
        measured.layers = profile(network, &files, &setting, options)?;
    }
    Ok(measured)
}

/// Turns that go round; the first place changes, since it may have more or less of the caches.
fn turns(
    network: &Network,
    files: &Files,
    setting: &Setting,
    engines: &[Engine],
    options: &Options,
) -> Result<Vec<(Engine, Times)>> {
    let mut peers = Vec::new();
    for engine in engines {
        let Some(file) = files.of(*engine) else { continue };
        peers.push((*engine, Peer::start(*engine, file, &network.data, setting)?, Times::default()));
    }
    for turn in 0..options.turns {
        let count = peers.len();
        for i in 0..count {
            let (_, peer, times) = &mut peers[(turn + i) % count];
            times.add(peer.turn(options.seconds)?);
        }
    }
    peers
        .into_iter()
        .map(|(engine, peer, mut times)| {
            times.version = peer.version();
            peer.finish()?;
            Ok((engine, times))
        })
        .collect()
}

/// From the start of a process to the first answer, in turns.
fn load(network: &Network, files: &Files, options: &Options) -> Result<Vec<(Engine, Loading)>> {
    let setting = Setting { threads: 2, ..Setting::default() };
    let engines = [Engine::Terroir, Engine::OpenVinoCpp];
    let mut loaded: Vec<_> = engines.into_iter().map(|engine| (engine, Loading::default())).collect();
    for _ in 0..options.turns {
        for (engine, loading) in &mut loaded {
            let Some(file) = files.of(*engine) else { continue };
            let peer = Peer::start(*engine, file, &network.data, &setting)?;
            loading.add(peer.ready.clone(), peer.whole_ms, peer.finish()?);
        }
    }
    Ok(loaded)
}

fn profile(
    network: &Network,
    files: &Files,
    setting: &Setting,
    options: &Options,
) -> Result<Option<layers::Comparison>> {
    let engines = [Engine::Terroir, Engine::OpenVino];
    let mut peers = engines
        .iter()
        .map(|engine| {
            let file = files.of(*engine).expect("both read the IR");
            Peer::start(*engine, file, &network.data, setting)
        })
        .collect::<Result<Vec<_>>>()?;
    for _ in 0..options.turns {
        peers.iter_mut().try_for_each(|peer| peer.turn(options.seconds).map(drop))?;
    }
    let ends = peers.into_iter().map(Peer::finish).collect::<Result<Vec<_>>>()?;
    layers::compare(&ends[0], &ends[1]).map(Some)
}

impl Files {
    fn of(&self, engine: Engine) -> Option<&Path> {
        match engine {
            Engine::OnnxRuntime => self.onnx.as_deref(),
            _ => Some(&self.xml),
        }
    }
}

/// The IR, made anew only when the network or the converter is newer.
fn converted(network: &Network) -> Result<PathBuf> {
    let out = cache().join("interop");
    let xml = out.join(format!("{}_FP32.xml", network.name));
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified());
    let converter = program("mo")?.file();
    let fresh = modified(&xml).is_ok_and(|made| {
        [&network.model, &converter].iter().all(|path| modified(path).is_ok_and(|changed| changed < made))
    });
    if fresh { Ok(xml) } else { interop::convert_ours(network, "FP32", &out) }
}

/// The same network for ONNX Runtime, made once from the frozen graph; where that fails its column stays empty.
fn onnx(network: &Network) -> Option<PathBuf> {
    let path = cache().join("onnx").join(format!("{}.onnx", network.name));
    let make = || -> Result<()> {
        fs::create_dir_all(cache().join("onnx"))?;
        Process::new(cache().join("tf/bin/python"))
            .env("PYTHONPATH", &cache().join("tf2onnx").to_string_lossy())
            .arg(root().join("xtask/python/turns.py"))
            .arg("onnx")
            .arg(&network.model)
            .arg(&path)
            .output()?;
        ensure!(path.is_file(), "no file came out");
        Ok(())
    };
    if !path.is_file()
        && let Err(error) = make()
    {
        eprintln!("{}: no ONNX file: {error:#}", network.name);
        return None;
    }
    Some(path)
}
