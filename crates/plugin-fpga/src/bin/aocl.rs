//! `aocl`: lists, programs and examines boards, with the words of Intel's tool. The boards are simulated, and it says so.

use clap::{Parser, Subcommand};
use plugin_fpga::{
    board::{BOARD, Board, BoardError, BoardId, Boards, RELEASE},
    container::Bitstream,
    timing::resources::{CARD, resources},
};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Said once by every command.
const SIMULATED: &str = "Boards are simulated by Terroir: there is no card, and none is claimed.";

/// Boards and what they are programmed with. Boards are simulated by Terroir: there is no card, and none is claimed.
///
/// TERROIR_FPGA_BOARDS says how many boards there are (1), TERROIR_FPGA_STATE where they keep what they hold.
#[derive(Parser)]
#[command(name = "aocl", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows the boards and what they hold
    ListDevices,
    /// Programs a board with a bitstream; it keeps it until it is programmed anew
    Program {
        /// The board: acl0
        device: String,
        /// The bitstream: 2-0-1_RC_FP16_ResNet50-101.aocx
        file: PathBuf,
    },
    /// Examines boards: that they are programmed, and that what they hold is whole
    Diagnose {
        /// The boards, or `all`; without any, shows them as list-devices does
        devices: Vec<String>,
    },
    /// Shows the version
    Version,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command, &mut io::stdout()) {
        Ok(passed) => ExitCode::from(u8::from(!passed)),
        Err(error) => {
            eprintln!("aocl: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well.
fn run(command: Command, out: &mut dyn Write) -> Result<bool, BoardError> {
    match command {
        Command::ListDevices => list(&Boards::here()?, out),
        Command::Program { device, file } => program(&device, &file, out).map(|()| true),
        Command::Diagnose { devices } if devices.is_empty() => {
            let boards = Boards::here()?;
            let passed = list(&boards, out);
            line(out, "Call \"aocl diagnose <device-names>\" to run diagnose for specified devices");
            line(out, "Call \"aocl diagnose all\" to run diagnose for all devices");
            passed
        }
        Command::Diagnose { devices } => diagnose(&devices, out),
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            line(out, &format!("aocl {version} (Terroir; bitstreams of release {RELEASE}, boards {BOARD})"));
            line(out, SIMULATED);
            Ok(true)
        }
    }
}

fn line(out: &mut dyn Write, what: &str) {
    // A closed pipe is no fault of the board's.
    _ = writeln!(out, "{what}");
}

/// Where the board's tools lie, as programming shows it.
fn tools(boards: &Boards) -> PathBuf {
    let own = || std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
    let package = boards.environment().package_root.as_ref().map(|root| root.join("linux64/libexec"));
    package.or_else(own).unwrap_or_default()
}

fn list(boards: &Boards, out: &mut dyn Write) -> Result<bool, BoardError> {
    let rule = "-".repeat(68);
    let mut all_passed = true;
    line(out, SIMULATED);
    for board in boards.all() {
        let (status, about) = match board.look() {
            Ok(bitstream) => ("Passed", described(&bitstream)),
            Err(error @ BoardError::Unprogrammed { .. }) => ("Uninitialized", error.to_string()),
            Err(error) => ("Failed", error.to_string()),
        };
        all_passed &= status != "Failed";
        let shown: [&str; 15] = [
            &rule,
            "Device Name:",
            &board.id().to_string(),
            "",
            "Package Pat:",
            &tools(boards).display().to_string(),
            "",
            "Vendor: Terroir",
            "",
            "Physical Dev Name   Status            Information",
            "",
            &format!("{:<20}{status:<18}{about}", board.id().physical_name()),
            "",
            if status == "Failed" { "DIAGNOSTIC_FAILED" } else { "DIAGNOSTIC_PASSED" },
            &rule,
        ];
        shown.iter().for_each(|shown| line(out, shown));
    }
    Ok(all_passed)
}

/// What a board holds, in a line.
fn described(bitstream: &Bitstream) -> String {
    format!("PAC Arria 10 Platform, {} ({})", bitstream.name(), bitstream.architecture)
}

fn program(device: &str, file: &Path, out: &mut dyn Write) -> Result<(), BoardError> {
    let boards = Boards::here()?;
    let board = boards.board(device.parse()?)?;
    line(out, &format!("aocl program: Running program from {}", tools(&boards).display()));
    line(out, SIMULATED);
    board.program(file)?;
    line(out, "Program succeed. ");
    Ok(())
}

fn diagnose(devices: &[String], out: &mut dyn Write) -> Result<bool, BoardError> {
    let boards = Boards::here()?;
    let asked: Vec<Board> = if devices == ["all"] {
        boards.all().collect()
    } else {
        let board = |name: &String| boards.board(name.parse::<BoardId>()?);
        devices.iter().map(board).collect::<Result<_, _>>()?
    };
    line(out, SIMULATED);
    let mut all_passed = true;
    for board in asked {
        let id = board.id();
        line(out, "Using platform: Terroir FPGA");
        let name = id.physical_name();
        line(out, &format!("Using Device with name: pac_a10 : PAC Arria 10 Platform ({name})"));
        line(out, "Using Device from vendor: Terroir");
        // Taking it shows that locks work where its state lies.
        let passed = match board.hold() {
            Ok(held) => {
                examined(held.bitstream(), &board, out);
                true
            }
            Err(error) => {
                line(out, &format!("{id}: {error}"));
                false
            }
        };
        line(out, if passed { "\nDIAGNOSTIC_PASSED" } else { "\nDIAGNOSTIC_FAILED" });
        all_passed &= passed;
    }
    Ok(all_passed)
}

fn examined(bitstream: &Bitstream, board: &Board, out: &mut dyn Write) {
    let architecture = &bitstream.architecture;
    let units: Vec<&str> = architecture.primitives.iter().map(|unit| unit.name()).collect();
    let taken = resources(architecture);
    let kept = board.folder().join("bitstream.aocx");
    let mut write = |what: &str, value: &dyn std::fmt::Display| {
        line(out, &format!("{what:<14}{value}"));
    };
    write("Bitstream", &bitstream.name());
    write("Kept in", &format_args!("{}: SHA-256 is right", kept.display()));
    write("Architecture", architecture);
    write("Units", &units.join(", "));
    let (clock, peak) = (architecture.clock_mhz, architecture.peak_gflops());
    write("Clock", &format_args!("{clock} MHz in the model, at which its peak is {peak:.0} GFLOPS"));
    let dsp = format_args!("{} of {} DSP blocks", taken.dsp_blocks, CARD.dsp_blocks);
    let memory = format_args!("{} of {} M20K", taken.memory_blocks, CARD.memory_blocks);
    write("Takes", &format_args!("{dsp}, {memory} of an Arria 10 GX 1150, by count"));
}
