//! Boards within one process; `tests/boards.rs` has them between processes.

use super::*;
use crate::bitstreams::named;
use std::{collections::HashMap, ffi::OsString};

/// A machine of its own, with files of bitstreams in it.
struct Machine {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Machine {
    fn new(boards: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let environment = Environment { state, boards, bitstream: None, keep: false, package_root: None };
        Self { folder, environment }
    }

    fn file(&self, bitstream: &Bitstream) -> PathBuf {
        let path = self.folder.path().join(bitstream.name());
        fs::write(&path, bitstream.to_bytes()).unwrap();
        path
    }

    fn boards(&self) -> Boards {
        Boards::new(self.environment.clone())
    }
}

fn generic() -> Bitstream {
    named("2-0-1_RC_FP16_Generic").unwrap()
}

fn resnet() -> Bitstream {
    named("2-0-1_RC_FP11_ResNet50-101").unwrap()
}

#[test]
fn boards_have_three_names() {
    for name in ["acl3", "3", "FPGA.3"] {
        assert_eq!(name.parse::<BoardId>().unwrap().to_string(), "acl3");
    }
    for name in ["", "acl", "acl-1", "+1", "FPGA", "acl0 ", "acl99999999999"] {
        assert!(matches!(name.parse::<BoardId>(), Err(BoardError::Id(_))), "{name}");
    }
}

#[test]
fn the_environment_tells_of_boards() {
    let from = |variables: &[(&str, &str)]| {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        Environment::from_variables(|name| variables.get(name).map(OsString::from))
    };
    let home = from(&[("HOME", "/home/me"), ("XDG_STATE_HOME", "relative")]).unwrap();
    assert_eq!(home.state, Path::new("/home/me/.local/state/terroir/fpga"));
    assert_eq!((home.boards, home.keep, home.bitstream), (1, false, None));
    let xdg = from(&[("HOME", "/home/me"), ("XDG_STATE_HOME", "/state")]).unwrap();
    assert_eq!(xdg.state, Path::new("/state/terroir/fpga"));
    let all = from(&[
        ("TERROIR_FPGA_STATE", "here"),
        ("TERROIR_FPGA_BOARDS", "3"),
        ("DLA_AOCX", "a.aocx"),
        ("CL_CONTEXT_COMPILER_MODE_INTELFPGA", "3"),
        ("AOCL_BOARD_PACKAGE_ROOT", "/bsp"),
    ])
    .unwrap();
    assert_eq!((all.state.as_path(), all.boards, all.keep), (Path::new("here"), 3, true));
    assert_eq!(all.bitstream.as_deref(), Some(Path::new("a.aocx")));
    assert!(matches!(from(&[]), Err(BoardError::NoState)));
    for wrong in ["0", "129", "two"] {
        let error = from(&[("HOME", "/"), ("TERROIR_FPGA_BOARDS", wrong)]).unwrap_err();
        assert!(matches!(error, BoardError::Variable { .. }), "{error}");
    }
}

#[test]
fn a_board_keeps_what_it_was_given() {
    let machine = Machine::new(2);
    let boards = machine.boards();
    let [first, second] = [0, 1].map(|number| boards.board(BoardId(number)).unwrap());
    let error = first.hold().unwrap_err();
    assert!(error.to_string().contains("`aocl program acl0 <file>.aocx`"), "{error}");
    assert!(!machine.environment.state.exists(), "asking makes nothing");
    assert_eq!(first.program(&machine.file(&generic())).unwrap(), generic());
    assert_eq!(second.program(&machine.file(&resnet())).unwrap(), resnet());
    assert_eq!((first.look().unwrap(), second.look().unwrap()), (generic(), resnet()));
    let held = second.hold().unwrap();
    assert_eq!((**held.bitstream() == resnet(), held.board()), (true, BoardId(1)));
    let error = boards.board(BoardId(2)).unwrap_err();
    assert!(error.to_string().starts_with("there is no board acl2: this machine has 2"), "{error}");
}

#[test]
fn a_board_in_use_is_not_programmed() {
    let machine = Machine::new(1);
    let board = machine.boards().board(BoardId(0)).unwrap();
    board.program(&machine.file(&generic())).unwrap();
    let (first, second) = (board.hold().unwrap(), board.hold().unwrap());
    drop(first);
    let other = machine.file(&resnet());
    assert!(matches!(board.program(&other), Err(BoardError::InUse { .. })));
    assert_eq!(**second.bitstream(), generic());
    drop(second);
    board.program(&other).unwrap();
    assert_eq!(board.look().unwrap(), resnet());
}

#[test]
fn what_does_not_suit_a_board_is_refused_and_changes_nothing() {
    let machine = Machine::new(1);
    let board = machine.boards().board(BoardId(0)).unwrap();
    board.program(&machine.file(&generic())).unwrap();
    let old = Bitstream { release: "1-0-1".to_owned(), ..generic() };
    let error = board.program(&machine.file(&old)).unwrap_err();
    assert!(matches!(&error, BoardError::WrongRelease { .. }), "{error}");
    assert!(error.to_string().contains("1-0-1_RC_FP16_Generic is of release 1-0-1"), "{error}");
    let other = Bitstream { board: "A10DK".to_owned(), ..generic() };
    let error = board.program(&machine.file(&other)).unwrap_err();
    assert!(matches!(&error, BoardError::WrongBoard { .. }), "{error}");
    assert!(error.to_string().contains("for boards of the kind A10DK, acl0 is RC"), "{error}");
    let text = machine.folder.path().join("text");
    fs::write(&text, "no bitstream").unwrap();
    for path in [text.as_path(), machine.folder.path(), Path::new("/nowhere")] {
        assert!(matches!(board.program(path), Err(BoardError::Bitstream { .. })));
    }
    assert_eq!(board.look().unwrap(), generic());
    // A board that another version programmed says so.
    fs::write(board.folder().join("bitstream.aocx"), old.to_bytes()).unwrap();
    assert!(matches!(board.hold(), Err(BoardError::WrongRelease { .. })));
}

#[test]
fn what_a_killed_programming_left_is_in_nobodys_way() {
    let machine = Machine::new(1);
    let board = machine.boards().board(BoardId(0)).unwrap();
    board.program(&machine.file(&generic())).unwrap();
    fs::write(board.folder().join("programming.aocx"), &resnet().to_bytes()[..700]).unwrap();
    assert_eq!(board.look().unwrap(), generic());
    board.program(&machine.file(&resnet())).unwrap();
    assert_eq!(board.look().unwrap(), resnet());
    assert!(!board.folder().join("programming.aocx").exists());
}

#[test]
fn loading_programs_unless_the_board_is_to_be_kept() {
    let mut machine = Machine::new(1);
    let load = |machine: &Machine| machine.boards().load(BoardId(0));
    machine.environment.bitstream = Some(machine.file(&generic()));
    machine.environment.keep = true;
    assert!(matches!(load(&machine), Err(BoardError::Unprogrammed { .. })));
    machine.environment.keep = false;
    let held = load(&machine).unwrap();
    assert_eq!(**held.bitstream(), generic());
    // A second network on the same bitstream shares the board; another bitstream has to wait.
    let second = load(&machine).unwrap();
    machine.environment.bitstream = Some(machine.file(&resnet()));
    assert!(matches!(load(&machine), Err(BoardError::InUse { .. })));
    drop((held, second));
    machine.environment.keep = true;
    let error = load(&machine).unwrap_err();
    assert!(matches!(error, BoardError::Kept { .. }), "{error}");
    machine.environment.keep = false;
    assert_eq!(**load(&machine).unwrap().bitstream(), resnet());
    // Without DLA_AOCX the board is used with what it holds; a damaged one is not.
    machine.environment.bitstream = None;
    assert_eq!(**load(&machine).unwrap().bitstream(), resnet());
    let file = machine.environment.state.join("acl0/bitstream.aocx");
    let mut bytes = fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = load(&machine).unwrap_err();
    assert!(
        matches!(error, BoardError::Spoilt { .. }) && error.to_string().contains("`aocl program acl0"),
        "{error}"
    );
    machine.environment.bitstream = Some(machine.file(&generic()));
    assert_eq!(**load(&machine).unwrap().bitstream(), generic());
}

#[test]
fn networks_that_load_at_once_share_what_one_of_them_programs() {
    let mut machine = Machine::new(1);
    machine.environment.bitstream = Some(machine.file(&generic()));
    let boards = machine.boards();
    let start = std::sync::Barrier::new(8);
    let load = || {
        start.wait();
        boards.load(BoardId(0))
    };
    let held: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    assert!(held.iter().all(|held| **held.bitstream() == generic()));
}
