//! Images with their classes: folders named as classes, or a list.

use crate::images;
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// An image and the class that is right.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Labelled {
    pub(super) path: PathBuf,
    pub(super) class: usize,
}

/// The images of `path`: a folder whose folders are named as the labels, or a `.txt` list.
pub(super) fn read(path: &Path, labels: Option<&[String]>) -> Result<Vec<Labelled>> {
    if path.is_dir() {
        let labels = labels.context(
            "folders of images are named as classes, and there are no class names: put them into the .labels \
             file beside the model, or name a file with -lbl",
        )?;
        return folders(path, labels);
    }
    ensure!(path.is_file(), "-i {}: there is no such folder or list", path.display());
    let text = fs::read_to_string(path)
        .with_context(|| format!("-i {}: expected a folder, or a list as text", path.display()))?;
    list(path, &text)
}

fn folders(path: &Path, labels: &[String]) -> Result<Vec<Labelled>> {
    let mut images = Vec::new();
    for (class, label) in labels.iter().enumerate().filter(|(_, label)| !label.is_empty()) {
        let folder = path.join(label);
        if folder.is_dir() {
            images.extend(images::find(&[folder])?.into_iter().map(|path| Labelled { path, class }));
        }
    }
    if images.is_empty() {
        bail!(
            "-i {}: no folder in it is named as one of the {} classes, such as `{}`",
            path.display(),
            labels.len(),
            labels.first().map_or("", String::as_str)
        );
    }
    Ok(images)
}

/// Lines of `path class`, the path relative to the list. Paths may hold blanks.
fn list(path: &Path, text: &str) -> Result<Vec<Labelled>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut images = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parsed = line.trim().rsplit_once(char::is_whitespace);
        let parsed = parsed.and_then(|(name, class)| Some((name.trim_end(), class.parse().ok()?)));
        let (name, class) = parsed.with_context(|| {
            format!(
                "{}, line {}: expected an image and the number of its class: {line}",
                path.display(),
                i + 1
            )
        })?;
        let image = folder.join(name);
        ensure!(image.is_file(), "{}, line {}: no such image: {}", path.display(), i + 1, image.display());
        images.push(Labelled { path: image, class });
    }
    ensure!(!images.is_empty(), "{} lists no images", path.display());
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_paths_and_classes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        let image = folder.path().join("a cat.png");
        fs::write(&image, "").unwrap();
        let found = list(&path, "a cat.png\t 7\r\n\n").unwrap();
        assert_eq!(found, [Labelled { path: image, class: 7 }]);
        for wrong in ["a cat.png", "a cat.png x", "a cat.png -1", "other.png 1", ""] {
            assert!(list(&path, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn folders_are_named_as_classes() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["coral reef", "collie", "no class"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("1.bmp"), "").unwrap();
        }
        let labels = ["apron", "collie", "coral reef"].map(String::from);
        let classes: Vec<usize> =
            read(folder.path(), Some(&labels)).unwrap().iter().map(|image| image.class).collect();
        assert_eq!(classes, [1, 2]);
        assert!(read(folder.path(), None).is_err());
        assert!(read(folder.path(), Some(&labels[..1])).is_err());
    }
}
