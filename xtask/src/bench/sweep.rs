//! Time against work: batches and sides of the image, to see where time grows faster than work.

use super::{
    Files, converted,
    options::Options,
    peer::{Engine, Peer, Setting},
    report::{self, Times, median},
};
use crate::interop::Network;
use anyhow::Result;
use std::fmt::Write;

const BATCHES: [usize; 6] = [1, 2, 4, 8, 16, 32];
const SIDES: [usize; 11] = [64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512];
const ENGINES: [Engine; 2] = [Engine::Terroir, Engine::OpenVino];

/// One size: the operations, and of each engine the median time, and the time for the work beside that of the network's
/// own size in the same turns, for these machines do not keep their speed.
struct Point {
    size: usize,
    gflop: f64,
    ms: [f64; 2],
    for_work: [f64; 2],
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
            batches.extend(point(network, &files, size, [&setting, &own], options)?);
        }
        let mut sides = Vec::new();
        for size in SIDES {
            let setting = Setting { side: Some(size), ..own };
            sides.extend(point(network, &files, size, [&setting, &own], options)?);
        }
        versions = batches.first().map(|point| point.version.clone()).unwrap_or(versions);
        write!(tables, "## {name}, {threads} thread(s)\n\n")?;
        table(&mut tables, "batch", &batches)?;
        table(&mut tables, "side", &sides)?;
    }
    let about = "Time for the work there is: milliseconds for a GFLOP, relative to those of the network's own size (batch \
                 1, a side of 224), which took turns with it. Above 1.10, time grows faster than work by more than a \
                 tenth.\n\n";
    Ok(format!("# Time against work\n\n{}{about}{tables}", report::heading(&versions)?))
}

/// A size that the network takes, beside its own; nothing for one that it doesn't, such as other sides in front of a dense
/// layer.
fn point(
    network: &Network,
    files: &Files,
    size: usize,
    settings: [&Setting; 2],
    options: &Options,
) -> Result<Option<Point>> {
    eprintln!("{}: {size}", network.name);
    let mut pairs = Vec::new();
    for engine in ENGINES {
        let Some(file) = files.of(engine) else { return Ok(None) };
        let [this, own] = settings.map(|setting| Peer::start(engine, file, &network.data, setting));
        let Ok(this) = this else { return Ok(None) };
        pairs.push([this, own?]);
    }
    let (mut times, mut ratios) = ([(); 2].map(|()| Times::default()), [(); 2].map(|()| Vec::new()));
    for _ in 0..options.turns {
        for (i, [this, own]) in pairs.iter_mut().enumerate() {
            let (this, own) = (this.turn(options.seconds)?, own.turn(options.seconds)?);
            ratios[i].push(median(&this) / median(&own));
            times[i].add(this);
        }
    }
    // Terroir counts the operations, for both engines.
    let [gflop, own] = pairs[0].each_ref().map(|peer| peer.ready["gflop"].as_f64().unwrap_or(f64::NAN));
    let version = pairs.iter().map(|[this, _]| this.version()).collect::<Vec<_>>().join(", ");
    pairs.into_iter().flatten().try_for_each(|peer| peer.finish().map(drop))?;
    let for_work = ratios.each_ref().map(|ratios| median(ratios) * own / gflop);
    Ok(Some(Point { size, gflop, ms: times.each_ref().map(Times::median), for_work, version }))
}

fn table(text: &mut String, what: &str, points: &[Point]) -> Result<()> {
    if points.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "| {what} | GFLOP | Terroir ms | OpenVINO ms | ratio | Terroir time for work | OpenVINO time for work |\n\
         |--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for Point { size, gflop, ms: [ours, theirs], for_work: [mine, other], .. } in points {
        let ratio = ours / theirs;
        writeln!(
            text,
            "| {size} | {gflop:.2} | {ours:.2} | {theirs:.2} | {ratio:.2} | {mine:.2} | {other:.2} |"
        )?;
    }
    text.push('\n');
    Ok(())
}
