//! How boards are named.

use super::BoardError;
use std::{fmt, str::FromStr};

/// A board of this machine: `acl0`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct BoardId(pub(super) u32);

impl BoardId {
    /// Its number, from 0.
    pub fn number(self) -> u32 {
        self.0
    }

    /// As diagnostics call it; a card would have its place on the bus here.
    pub fn physical_name(self) -> String {
        format!("pac_a10_sim{}", self.0)
    }
}

impl fmt::Display for BoardId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "acl{}", self.0)
    }
}

/// `acl1` as tools write it, `1` as the key `DEVICE_ID` has it, `FPGA.1` as devices are called.
impl FromStr for BoardId {
    type Err = BoardError;

    fn from_str(text: &str) -> Result<Self, BoardError> {
        let digits = text.strip_prefix("acl").or_else(|| text.strip_prefix("FPGA.")).unwrap_or(text);
        let number =
            digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        number.map(Self).ok_or_else(|| BoardError::Id(text.to_owned()))
    }
}
