//! Time against work: batches and sides of the image, to see where time grows faster than work.

use super::{
    Files, converted,
    options::Options,
    peer::{Engine, Peer, Setting},
    report::{self, Times},
};
use crate::interop::Network;
use anyhow::Result;
use std::fmt::Write;

const BATCHES: [usize; 6] = [1, 2, 4, 8, 16, 32];
const SIDES: [usize; 11] = [64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512];
const ENGINES: [Engine; 2] = [Engine::Terroir, Engine::OpenVino];

/// One size: the operations, and the median time of each engine.
struct Point {
    size: usize,
    gflop: f64,
    ms: [f64; 2],
    version: String,
}

pub(super) fn run(networks: &[Network], options: &Options) -> Result<String> {
    let mut tables = String::new();
    let mut versions = String::new();
    for network in networks {
        let files = Files { xml: converted(network)?, onnx: None };
        let threads = options.threads[0];
        let (name, own) = (&network.name, Setting { threads, ..Setting::default() });
        let mut batches = Vec::new();
        for size in BATCHES {
            let setting = Setting { batch: Some(size), ..own };
            batches.extend(point(network, &files, size, &setting, options)?);
        }
        let mut sides = Vec::new();
        for size in SIDES {
            let setting = Setting { side: Some(size), ..own };
            sides.extend(point(network, &files, size, &setting, options)?);
        }
        versions = batches.first().map(|point| point.version.clone()).unwrap_or(versions);
        write!(tables, "## {name}, {threads} thread(s)\n\n")?;
        table(&mut tables, "batch", &batches, 1)?;
        table(&mut tables, "side", &sides, 224)?;
    }
    let about = "Time for the work there is: milliseconds for a GFLOP, relative to batch 1, or to a side of 224. Above \
                 1.10, time grows faster than work by more than a tenth.\n\n";
    Ok(format!("# Time against work\n\n{}{about}{tables}", report::heading(&versions)?))
}

/// A size that the network takes; nothing for one that it doesn't, such as other sides in front of a dense layer.
fn point(
    network: &Network,
    files: &Files,
    size: usize,
    setting: &Setting,
    options: &Options,
) -> Result<Option<Point>> {
    eprintln!("{}: {size}", network.name);
    let mut peers = Vec::new();
    for engine in ENGINES {
        let Some(file) = files.of(engine) else { return Ok(None) };
        match Peer::start(engine, file, &network.data, setting) {
            Ok(peer) => peers.push(peer),
            Err(_) => return Ok(None),
        }
    }
    let mut times = [Times::default(), Times::default()];
    for _ in 0..options.turns {
        for (peer, times) in peers.iter_mut().zip(&mut times) {
            times.add(peer.turn(options.seconds)?);
        }
    }
    let gflop = peers[0].ready["gflop"].as_f64().unwrap_or(f64::NAN);
    let version = peers.iter().map(Peer::version).collect::<Vec<_>>().join(", ");
    peers.into_iter().try_for_each(|peer| peer.finish().map(drop))?;
    Ok(Some(Point { size, gflop, ms: times.each_ref().map(Times::median), version }))
}

fn table(text: &mut String, what: &str, points: &[Point], reference: usize) -> Result<()> {
    let per_work = |point: &Point| point.ms.map(|ms| ms / point.gflop);
    let Some(base) = points.iter().find(|point| point.size == reference).map(per_work) else { return Ok(()) };
    writeln!(
        text,
        "| {what} | GFLOP | Terroir ms | OpenVINO ms | ratio | Terroir time for work | OpenVINO time for work |\n\
         |--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for point in points {
        let [ours, theirs] = point.ms;
        let [mine, other] = per_work(point);
        writeln!(
            text,
            "| {} | {:.2} | {ours:.2} | {theirs:.2} | {:.2} | {:.2} | {:.2} |",
            point.size,
            point.gflop,
            ours / theirs,
            mine / base[0],
            other / base[1]
        )?;
    }
    text.push('\n');
    Ok(())
}
