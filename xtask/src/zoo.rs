//! The Keras networks, built by TensorFlow into the cache, and the classics of Caffe, with OpenCV's answers.

use crate::process::{Process, cache, root};
use anyhow::Result;

/// What the names of Caffe's networks begin with.
pub(crate) const CAFFE: &str = "caffe_";

/// Makes the Python environments that are not there yet.
pub(crate) fn environments(names: &[&str]) -> Result<()> {
    Process::new("python3").arg(root().join("xtask/python/environments.py")).arg(cache()).args(names).run()
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let (classics, keras): (Vec<&str>, Vec<&str>) =
        args.iter().map(String::as_str).partition(|name| name.starts_with(CAFFE));
    let classics: Vec<&str> = classics.iter().map(|name| &name[CAFFE.len()..]).collect();
    for (environment, script, names) in [("tf", "zoo.py", keras), ("cv", "classics.py", classics)] {
        if args.is_empty() || !names.is_empty() {
            environments(&[environment])?;
            Process::new(cache().join(environment).join("bin/python"))
                .arg(root().join("xtask/python").join(script))
                .arg(cache().join("zoo"))
                .args(names)
                .run()?;
        }
    }
    Ok(())
}
