//! Boards: what they are programmed with outlives the process, as on a card.
//!
//! A board is a folder. `bitstream.aocx` is what it holds, and is only ever replaced as a whole. Who computes on the board
//! holds `use.lock`, shared; programming takes it alone, and refuses to where somebody computes. Programming takes
//! `programming.lock` before that, so that two wait for each other. The system gives up locks of processes that end.

mod environment;
mod error;
mod identity;

pub use environment::Environment;
pub use error::BoardError;
pub use identity::BoardId;

use crate::container::{Bitstream, ContainerError};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The release that boards take bitstreams of.
pub const RELEASE: &str = "2-0-1";
/// The kind of board that is simulated, as bitstreams write it: the acceleration card with an Arria 10 GX.
pub const BOARD: &str = "RC";

/// The boards of this machine.
#[derive(Clone, Debug)]
pub struct Boards {
    environment: Environment,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Board {
    id: BoardId,
    folder: PathBuf,
}

/// A board that somebody computes on: as long as this lives, it keeps what it holds.
#[derive(Debug)]
pub struct Held {
    board: BoardId,
    bitstream: Arc<Bitstream>,
    _lock: File,
}

impl Held {
    /// The board.
    pub fn board(&self) -> BoardId {
        self.board
    }

    /// What it holds.
    pub fn bitstream(&self) -> &Arc<Bitstream> {
        &self.bitstream
    }
}

impl Boards {
    /// Those that the process's environment tells of.
    pub fn here() -> Result<Self, BoardError> {
        Ok(Self::new(Environment::read()?))
    }

    /// Those that an environment tells of.
    pub fn new(environment: Environment) -> Self {
        Self { environment }
    }

    /// What tells of them.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Board> {
        (0..self.environment.boards).map(|number| self.at(BoardId(number)))
    }

    /// One of them.
    pub fn board(&self, id: BoardId) -> Result<Board, BoardError> {
        let count = self.environment.boards;
        if id.0 < count { Ok(self.at(id)) } else { Err(BoardError::NoBoard { board: id, count }) }
    }

    fn at(&self, id: BoardId) -> Board {
        Board { id, folder: self.environment.state.join(id.to_string()) }
    }

    /// A board to compute on, as the environment wants it: programmed with `DLA_AOCX`, or with what it holds.
    pub fn load(&self, id: BoardId) -> Result<Held, BoardError> {
        let board = self.board(id)?;
        let Some(path) = &self.environment.bitstream else { return board.hold() };
        let (wanted, bytes) = board.read(path)?;
        // Looked at only while nobody else programs it: another process may be giving it the same.
        let programming = (!self.environment.keep).then(|| board.programming()).transpose()?;
        match (board.hold(), programming) {
            (Ok(held), _) if *held.bitstream == wanted => Ok(held),
            // Whatever it holds, or holds no more: it gets another.
            (other, Some(programming)) => {
                drop(other);
                board.replace(wanted, &bytes, &programming)
            }
            (Ok(held), None) => Err(BoardError::Kept {
                board: id,
                held: held.bitstream.name(),
                wanted: wanted.name(),
                path: path.clone(),
            }),
            (Err(error), None) => Err(error),
        }
    }
}

impl Board {
    /// Its name.
    pub fn id(&self) -> BoardId {
        self.id
    }

    /// The folder that holds its state.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it holds now, without taking it.
    pub fn look(&self) -> Result<Bitstream, BoardError> {
        let path = self.folder.join("bitstream.aocx");
        match self.read(&path) {
            Ok((bitstream, _)) => Ok(bitstream),
            Err(BoardError::Bitstream { source: ContainerError::Io(error), .. })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                Err(BoardError::Unprogrammed { board: self.id })
            }
            Err(BoardError::Bitstream { source, .. }) => Err(BoardError::Spoilt { board: self.id, source }),
            Err(error) => Err(error),
        }
    }

    /// Takes it, to compute on it with what it holds.
    pub fn hold(&self) -> Result<Held, BoardError> {
        let path = self.folder.join("use.lock");
        // Programming makes the file: without it the board never was programmed. Nothing is made just by asking.
        let lock = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BoardError::Unprogrammed { board: self.id });
            }
            opened => opened.and_then(|file| file.lock_shared().map(|()| file)),
        };
        let lock = lock.map_err(|source| BoardError::State { path, source })?;
        Ok(Held { board: self.id, bitstream: Arc::new(self.look()?), _lock: lock })
    }

    /// Programs it with a file; whoever programs it already is waited for.
    pub fn program(&self, path: &Path) -> Result<Bitstream, BoardError> {
        let (bitstream, bytes) = self.read(path)?;
        let programming = self.programming()?;
        // The board is free again before the next one programs it.
        drop(self.replace(bitstream.clone(), &bytes, &programming)?);
        Ok(bitstream)
    }

    /// Reads a bitstream that this board can take.
    fn read(&self, path: &Path) -> Result<(Bitstream, Vec<u8>), BoardError> {
        let read = Bitstream::read_with_bytes(path);
        let (bitstream, bytes) =
            read.map_err(|source| BoardError::Bitstream { path: path.to_owned(), source })?;
        let (board, name) = (self.id, bitstream.name());
        if bitstream.board != BOARD {
            return Err(BoardError::WrongBoard { board, name, found: bitstream.board });
        }
        if bitstream.release != RELEASE {
            return Err(BoardError::WrongRelease { board, name, found: bitstream.release });
        }
        Ok((bitstream, bytes))
    }

    /// Waits until nobody else programs the board. Nobody does as long as the file lives.
    fn programming(&self) -> Result<File, BoardError> {
        fs::create_dir_all(&self.folder).map_err(|error| self.state(&self.folder, error))?;
        let file = self.lock_file("programming.lock")?;
        file.lock().map_err(|error| self.state(&self.folder, error))?;
        Ok(file)
    }

    fn lock_file(&self, name: &str) -> Result<File, BoardError> {
        let path = self.folder.join(name);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        file.map_err(|error| self.state(&path, error))
    }

    fn state(&self, path: &Path, source: io::Error) -> BoardError {
        BoardError::State { path: path.to_owned(), source }
    }

    /// Puts a bitstream in the place of another, and takes the board.
    fn replace(&self, bitstream: Bitstream, bytes: &[u8], _: &File) -> Result<Held, BoardError> {
        let lock = self.lock_file("use.lock")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BoardError::InUse { board: self.id }),
            Err(TryLockError::Error(error)) => return Err(self.state(&self.folder, error)),
        }
        // One file, for one programs at a time: what a killed one left is written over.
        let written = self.folder.join("programming.aocx");
        let write = || {
            let mut file = File::create(&written)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&written, self.folder.join("bitstream.aocx"))
        };
        write().map_err(|error| self.state(&written, error))?;
        // Nobody can program it between these two, for the caller does.
        lock.unlock().and_then(|()| lock.lock_shared()).map_err(|error| self.state(&self.folder, error))?;
        Ok(Held { board: self.id, bitstream: Arc::new(bitstream), _lock: lock })
    }
}

#[cfg(test)]
mod tests;
