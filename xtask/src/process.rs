//! Running cargo and the programs that it builds.

use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// Where large things are kept that git ignores: `TERROIR_CACHE`, or `.cache` in the repository.
pub(crate) fn cache() -> PathBuf {
    std::env::var_os("TERROIR_CACHE").map_or_else(|| root().join(".cache"), PathBuf::from)
}

/// A command that is run in the repository and must succeed.
pub(crate) struct Process(Command);

impl Process {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Self(command)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.0.env(key, value);
        self
    }

    /// In the caller's folder, for what takes the caller's paths.
    pub(crate) fn in_callers_folder(mut self) -> Result<Self> {
        self.0.current_dir(std::env::current_dir()?);
        Ok(self)
    }

    fn shown(&self) -> String {
        let mut words = vec![self.0.get_program().to_string_lossy().into_owned()];
        words.extend(self.0.get_args().map(|a| a.to_string_lossy().into_owned()));
        words.join(" ")
    }

    /// The program's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.get_program().into()
    }

    /// Starts it with pipes to its input and from its output.
    pub(crate) fn start(mut self) -> Result<Child> {
        self.0.stdin(Stdio::piped()).stdout(Stdio::piped());
        self.0.spawn().with_context(|| format!("cannot start {}", self.shown()))
    }

    /// Runs it with the caller's terminal.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self.0.status().with_context(|| format!("cannot start {}", self.shown()))?;
        ensure!(status.success(), "{} ended with {status}", self.shown());
        Ok(())
    }

    /// Runs it and returns what it printed.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.0.output().with_context(|| format!("cannot start {}", self.shown()))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} ended with {}\n{errors}", self.shown(), output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Cargo, the one that runs this.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Process {
    Process::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).args(args)
}

/// A program, built for release, to be run in the caller's folder. All programs are built together: with the same
/// features of what they depend on, nothing is built twice.
pub(crate) fn program(name: &str) -> Result<Process> {
    static BUILT: OnceLock<()> = OnceLock::new();
    if BUILT.get().is_none() {
        let packages = ["mo", "samples", "benches", "plugin-fpga"].map(|name| format!("--package={name}"));
        cargo(["build", "--release", "--bins", "--quiet"]).args(packages).run()?;
        _ = BUILT.set(());
    }
    Process::new(target_folder()?.join("release").join(name)).in_callers_folder()
}

fn target_folder() -> Result<PathBuf> {
    let metadata = metadata()?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata names no target folder")?.into())
}

/// What cargo knows of the workspace.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let text = cargo(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    Ok(serde_json::from_str(&text)?)
}
