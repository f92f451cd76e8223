//! The Keras networks, built by TensorFlow into the cache.

use crate::process::{Process, cache, root};
use anyhow::Result;

/// Makes the Python environments that are not there yet.
pub(crate) fn environments(names: &[&str]) -> Result<()> {
    Process::new("python3").arg(root().join("xtask/python/environments.py")).arg(cache()).args(names).run()
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    environments(&["tf"])?;
    Process::new(cache().join("tf/bin/python"))
        .arg(root().join("xtask/python/zoo.py"))
        .arg(cache().join("zoo"))
        .args(args)
        .run()
}
