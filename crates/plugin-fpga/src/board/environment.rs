//! What the environment says of boards.

use super::BoardError;
use std::{ffi::OsString, path::PathBuf};

/// More boards than any machine takes.
const MOST_BOARDS: u32 = 128;

/// Which boards there are, what they keep, and how a device takes them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Environment {
    /// The folder where boards keep what they hold: `TERROIR_FPGA_STATE`, or `terroir/fpga` in `XDG_STATE_HOME` (`~/.local/state`).
    pub state: PathBuf,
    /// `TERROIR_FPGA_BOARDS`: how many boards there are; 1 unless it is set.
    pub boards: u32,
    /// `DLA_AOCX`: a bitstream to program a board with when a network is loaded.
    pub bitstream: Option<PathBuf>,
    /// `CL_CONTEXT_COMPILER_MODE_INTELFPGA=3`: a board is used with what it holds, and never programmed on loading.
    pub keep: bool,
    /// `AOCL_BOARD_PACKAGE_ROOT`: where the board's tools lie. Only shown.
    pub package_root: Option<PathBuf>,
}

impl Environment {
    /// The process's.
    pub fn read() -> Result<Self, BoardError> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// From variables that a function tells.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, BoardError> {
        let variable = |name: &'static str| variable(name).filter(|value| !value.is_empty());
        let path = |name| variable(name).map(PathBuf::from);
        // The rules of XDG: relative paths are ignored.
        let xdg = path("XDG_STATE_HOME").filter(|path| path.is_absolute());
        let home = || path("HOME").map(|home| home.join(".local/state"));
        let state = path("TERROIR_FPGA_STATE").or_else(|| Some(xdg.or_else(home)?.join("terroir/fpga")));
        let boards = match variable("TERROIR_FPGA_BOARDS") {
            None => 1,
            Some(text) => {
                let number = text.to_str().and_then(|text| text.parse().ok());
                number.filter(|n| (1..=MOST_BOARDS).contains(n)).ok_or(BoardError::Variable {
                    name: "TERROIR_FPGA_BOARDS",
                    found: text.to_string_lossy().into_owned(),
                    expected: "a number of boards, 1 to 128",
                })?
            }
        };
        Ok(Self {
            state: state.ok_or(BoardError::NoState)?,
            boards,
            bitstream: path("DLA_AOCX"),
            keep: variable("CL_CONTEXT_COMPILER_MODE_INTELFPGA").is_some_and(|mode| mode == "3"),
            package_root: path("AOCL_BOARD_PACKAGE_ROOT"),
        })
    }
}
