//! `mo compare`: where two networks part.

use super::{console, network::NetworkFlags};
use crate::{Request, Source, compare::compare, load};
use clap::Parser;
use ir::Model;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Exit code for networks that differ.
const DIFFERENT: u8 = 3;

/// Runs two networks on the same data and shows the first node, by name, at which they part.
///
/// Networks that are no IR are converted without any optimisation, so an IR can be held against its source.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "mo compare",
    bin_name = "mo compare",
    infer_long_args = true,
    after_help = "Examples:\n  mo compare net.xml frozen.pb --input_shape [1,224,224,3]\n  \
                  mo compare net_fp32.xml net_fp16.xml --input cat.png --tolerance 1e-2\n\
                  Exit code: 0 they agree, 3 they do not, 1 they could not be compared, 2 the command line could not be followed."
)]
struct Arguments {
    /// Network, whose order of computation the report follows
    #[arg(value_name = "A")]
    a: PathBuf,
    /// Network that is held against it
    #[arg(value_name = "B")]
    b: PathBuf,
    /// Data for the first network's inputs: an image, .npy or .npz [default: pseudo-random numbers]
    #[arg(long, short = 'i', value_name = "FILE")]
    input: Option<PathBuf>,
    /// Largest difference that counts as rounding, as a part of a tensor's largest element
    #[arg(long, value_name = "NUMBER", default_value = "1e-3", value_parser = tolerance)]
    tolerance: f64,
    /// Prints one JSON object with every tensor instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: NetworkFlags,
}

fn tolerance(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|t: &f64| t.is_finite() && *t >= 0.0)
        .ok_or_else(|| "expected a number from 0 on".to_owned())
}

impl Arguments {
    /// One of the networks. What the flags say of shapes, outputs and frameworks is about the source where an IR is
    /// held against it: the IR has been through that.
    fn network(&self, path: &Path) -> Result<Model, crate::Error> {
        let is_ir = |path: &Path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("xml"));
        let mut request = self.network.request(path)?;
        if is_ir(path) && !(is_ir(&self.a) && is_ir(&self.b)) {
            request = Request {
                source: Source { graph: path.to_owned(), ..Source::default() },
                ..Request::default()
            };
        }
        Ok(load(&request, &mut |_| {})?.0)
    }
}

/// Runs the command with these words, the program's name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => return console::usage(&error),
    };
    let found = (|| -> anyhow::Result<_> {
        let (a, b) = (arguments.network(&arguments.a)?, arguments.network(&arguments.b)?);
        compare(&a, &b, arguments.input.as_deref(), arguments.tolerance)
    })();
    match found {
        Ok(found) => {
            let text = if arguments.json { format!("{:#}\n", found.to_json()) } else { found.to_string() };
            let code = console::print(&text);
            if found.first.is_some() { ExitCode::from(DIFFERENT) } else { code }
        }
        Err(error) => console::failed(&format!("{error:#}")),
    }
}
