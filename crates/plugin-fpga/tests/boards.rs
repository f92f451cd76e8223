//! Boards between processes: one programs, another asks.

use plugin_fpga::{
    bitstreams::named,
    board::{BoardError, Boards, Environment},
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

const RESNET: &str = "2-0-1_RC_FP16_ResNet50-101";
const GENERIC: &str = "2-0-1_RC_FP11_Generic";

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn aocl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aocl"));
        command.args(arguments).env("TERROIR_FPGA_STATE", self.state()).env("TERROIR_FPGA_BOARDS", "2");
        command.env_remove("AOCL_BOARD_PACKAGE_ROOT");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.aocl(arguments).output().unwrap()
    }

    fn boards(&self) -> Boards {
        let state = self.state();
        Boards::new(Environment { state, boards: 2, bitstream: None, keep: false, package_root: None })
    }

    /// What a board holds, by its name.
    fn holds(&self, board: &str) -> String {
        self.boards().board(board.parse().unwrap()).unwrap().look().unwrap().name()
    }

    /// A file of the named bitstream, with a program for OpenCL that makes it large.
    fn file(&self, name: &str, program: usize) -> String {
        let path = self.0.path().join(format!("{name}.aocx"));
        let mut bitstream = named(name).unwrap();
        bitstream.opencl = (program > 0).then(|| vec![1; program]);
        std::fs::write(&path, bitstream.to_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn failed(output: &Output) -> &str {
    assert!(!output.status.success());
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn what_one_process_programs_another_finds() {
    let machine = Machine::new();
    let listed = machine.run(&["list-devices"]);
    assert!(
        printed(&listed).contains("Uninitialized     board acl0 is not programmed"),
        "{}",
        printed(&listed)
    );
    let diagnosed = machine.run(&["diagnose", "acl0"]);
    assert!(printed(&diagnosed).ends_with("DIAGNOSTIC_FAILED\n") && !diagnosed.status.success());

    let program = machine
        .aocl(&["program", "acl0", &machine.file(RESNET, 0)])
        .env("AOCL_BOARD_PACKAGE_ROOT", "/opt/bsp")
        .output()
        .unwrap();
    let lines: Vec<&str> = printed(&program).lines().collect();
    assert_eq!(lines[0], "aocl program: Running program from /opt/bsp/linux64/libexec");
    assert_eq!((lines[2], lines.len()), ("Program succeed. ", 3));
    assert!(machine.run(&["program", "acl1", &machine.file(GENERIC, 0)]).status.success());

    let diagnosed = machine.run(&["diagnose", "acl0"]);
    let text = printed(&diagnosed);
    assert!(diagnosed.status.success() && text.ends_with("\n\nDIAGNOSTIC_PASSED\n"), "{text}");
    let name = "Using Device with name: pac_a10 : PAC Arria 10 Platform (pac_a10_sim0)\n";
    assert!(text.contains(name) && text.contains(&format!("Bitstream     {RESNET}\n")), "{text}");
    let listed = machine.run(&["list-devices"]);
    let text = printed(&listed);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is not in {text}"));
    assert!(at("acl0") < at(RESNET) && at(RESNET) < at("acl1") && at("acl1") < at(GENERIC));
    assert_eq!((machine.holds("acl0"), machine.holds("FPGA.1")), (RESNET.to_owned(), GENERIC.to_owned()));
}

#[test]
fn every_command_says_once_that_boards_are_simulated() {
    let machine = Machine::new();
    let file = machine.file(RESNET, 0);
    let commands: [&[&str]; 6] = [
        &["program", "acl0", &file],
        &["list-devices"],
        &["diagnose"],
        &["diagnose", "acl0"],
        &["diagnose", "all"],
        &["version"],
    ];
    for command in commands {
        let output = machine.run(command);
        assert_eq!(printed(&output).matches("simulated").count(), 1, "{command:?}");
    }
}

#[test]
fn what_is_wrong_is_told_with_a_way_out() {
    let machine = Machine::new();
    let file = machine.file(RESNET, 0);
    let output = machine.run(&["program", "acl7", &file]);
    assert!(failed(&output).contains("there is no board acl7: this machine has 2"));
    let output = machine.run(&["program", "acl0", "/nowhere.aocx"]);
    assert!(failed(&output).starts_with("aocl: /nowhere.aocx: it cannot be read"));
    assert!(!printed(&output).contains("succeed"));
    machine.run(&["program", "acl0", &file]);
    let held = machine.boards().board("0".parse().unwrap()).unwrap().hold().unwrap();
    let output = machine.run(&["program", "acl0", &machine.file(GENERIC, 0)]);
    assert!(failed(&output).contains("acl0 is in use"), "{}", failed(&output));
    assert_eq!(held.bitstream().name(), RESNET);
    // The other board is free.
    assert!(machine.run(&["program", "acl1", &machine.file(GENERIC, 0)]).status.success());
}

fn start(machine: &Machine, file: &str) -> Child {
    let mut command = machine.aocl(&["program", "acl0", file]);
    command.stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn those_who_program_at_once_wait_for_each_other() {
    let machine = Machine::new();
    let files = [machine.file(RESNET, 1 << 20), machine.file(GENERIC, 1 << 20)];
    let children: Vec<Child> = (0..8).map(|i| start(&machine, &files[i % 2])).collect();
    for mut child in children {
        // Nobody computes on the board: each of them programs it.
        assert!(child.wait().unwrap().success());
    }
    assert!([RESNET, GENERIC].contains(&machine.holds("acl0").as_str()));
}

#[test]
fn a_killed_programming_leaves_the_old_bitstream_or_the_new() {
    let machine = Machine::new();
    let files = [machine.file(RESNET, 8 << 20), machine.file(GENERIC, 8 << 20)];
    assert!(start(&machine, &files[0]).wait().unwrap().success());
    let mut killed = 0;
    for i in 0..30u64 {
        let mut child = start(&machine, &files[1]);
        std::thread::sleep(Duration::from_millis(i * 5));
        // It may have ended before.
        _ = child.kill();
        killed += u32::from(!child.wait().unwrap().success());
        let held = machine.holds("acl0");
        assert!([RESNET, GENERIC].contains(&held.as_str()));
        if held == GENERIC {
            // Locks of the killed are gone: the board is free.
            assert!(start(&machine, &files[0]).wait().unwrap().success());
        }
    }
    assert!(killed > 0, "none of the programs was killed while it ran");
}

#[test]
fn a_network_loads_on_what_another_process_programmed() {
    let machine = Machine::new();
    machine.run(&["program", "acl1", &machine.file(RESNET, 0)]);
    let mut environment = machine.boards().environment().clone();
    environment.keep = true;
    let boards = Boards::new(environment);
    assert_eq!(boards.load("acl1".parse().unwrap()).unwrap().bitstream().name(), RESNET);
    let error = boards.load("acl0".parse().unwrap()).unwrap_err();
    assert!(matches!(error, BoardError::Unprogrammed { .. }), "{error}");
}

#[test]
fn all_named_bitstreams_are_written() {
    let machine = Machine::new();
    let folder = machine.0.path().join("bitstreams");
    let output = Command::new(env!("CARGO_BIN_EXE_fpga_bitstreams")).arg(&folder).output().unwrap();
    assert!(output.status.success());
    let files: Vec<&Path> = printed(&output).lines().map(Path::new).collect();
    assert!(files.len() == 20 && files.iter().all(|file| file.starts_with(&folder)));
    let resnet = folder.join(format!("{RESNET}.aocx"));
    assert!(machine.run(&["program", "acl0", resnet.to_str().unwrap()]).status.success());
    assert_eq!(machine.holds("acl0"), RESNET);
}
