//! Annotations as Pascal VOC has them: an XML file an image, with the boxes of its objects.

use anyhow::{Context, Result, bail, ensure};
use roxmltree::{Document, Node};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What is known of an image.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Annotation {
    pub(super) path: PathBuf,
    pub(super) objects: Vec<Object>,
}

/// A box, in pixels.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Object {
    pub(super) class: usize,
    /// Left, top, right, bottom.
    pub(super) corners: [f64; 4],
    pub(super) difficult: bool,
}

/// Class numbers by name.
pub(super) type Classes = BTreeMap<String, usize>;

/// Reads lines of `name number`.
pub(super) fn read_classes(path: &Path) -> Result<Classes> {
    let text = fs::read_to_string(path).with_context(|| format!("-ODc {}", path.display()))?;
    let mut classes = Classes::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parsed = line.trim().rsplit_once(char::is_whitespace);
        let parsed = parsed.and_then(|(name, number)| Some((name.trim_end(), number.parse().ok()?)));
        let (name, number) = parsed.with_context(|| {
            format!("{}, line {}: expected the name of a class and its number: {line}", path.display(), i + 1)
        })?;
        ensure!(
            classes.insert(name.to_owned(), number).is_none(),
            "{}, line {}: the class `{name}` comes twice",
            path.display(),
            i + 1
        );
    }
    ensure!(!classes.is_empty(), "{} lists no classes", path.display());
    Ok(classes)
}

/// Reads all annotations of a folder, in order of their names. Images are looked for below `images`, in the folder
/// that the annotation names, if it is there, and in `subfolder`.
pub(super) fn read_annotations(
    folder: &Path,
    images: &Path,
    subfolder: &str,
    classes: &Classes,
) -> Result<Vec<Annotation>> {
    let entries = fs::read_dir(folder).with_context(|| format!("-ODa {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "-ODa {}: there are no annotations (.xml)", folder.display());
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let found = parse(&text, classes).with_context(|| file.display().to_string())?;
        let places =
            [images.join(found.folder), images.to_owned()].map(|p| p.join(subfolder).join(&found.file));
        let Some(path) = places.iter().find(|path| path.is_file()) else {
            bail!("{}: no such image: {}", file.display(), places[0].display())
        };
        Ok(Annotation { path: path.clone(), objects: found.objects })
    };
    files.iter().map(read).collect()
}

struct Parsed {
    folder: String,
    file: String,
    objects: Vec<Object>,
}

fn parse(text: &str, classes: &Classes) -> Result<Parsed> {
    let document = Document::parse(text)?;
    let root = document.root_element();
    let child = |node: Node<'_, '_>, name: &str| -> Option<String> {
        let found = node.children().find(|child| child.has_tag_name(name))?;
        Some(found.text().unwrap_or_default().trim().to_owned())
    };
    let at = |node: Node<'_, '_>| document.text_pos_at(node.range().start);
    let mut objects = Vec::new();
    for node in root.children().filter(|child| child.has_tag_name("object")) {
        let name = child(node, "name").with_context(|| format!("{}: an object without a name", at(node)))?;
        let class = *classes.get(&name).with_context(|| {
            format!("{}: the class `{name}` is not among those of -ODc; list it there", at(node))
        })?;
        // Parts of an object have boxes too: the object's own is its child.
        let bounds = node.children().find(|child| child.has_tag_name("bndbox"));
        let bounds = bounds.with_context(|| format!("{}: `{name}` has no bndbox", at(node)))?;
        let corner = |side: &str| {
            let text = child(bounds, side).unwrap_or_default();
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
            value.with_context(|| format!("{}: {side} is `{text}`, expected a number", at(bounds)))
        };
        let corners = [corner("xmin")?, corner("ymin")?, corner("xmax")?, corner("ymax")?];
        ensure!(
            corners[0] <= corners[2] && corners[1] <= corners[3],
            "{}: the box {corners:?} of `{name}` ends before it begins",
            at(bounds)
        );
        let difficult = child(node, "difficult").is_some_and(|text| text == "1");
        objects.push(Object { class, corners, difficult });
    }
    let file = child(root, "filename").filter(|name| !name.is_empty());
    let file = file.context("the annotation has no filename")?;
    Ok(Parsed { folder: child(root, "folder").unwrap_or_default(), file, objects })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Classes {
        [("dog".to_owned(), 12), ("person".to_owned(), 15)].into()
    }

    const DOG: &str = "<annotation><folder>VOC2007</folder><filename>1.jpg</filename><object><name>dog</name>\
        <difficult>1</difficult><part><bndbox><xmin>0</xmin></bndbox></part>\
        <bndbox><ymin>2</ymin><xmin>1</xmin><xmax>30.5</xmax><ymax>40</ymax></bndbox></object></annotation>";

    #[test]
    fn objects_have_classes_and_boxes() {
        let parsed = parse(DOG, &classes()).unwrap();
        assert_eq!((parsed.folder.as_str(), parsed.file.as_str()), ("VOC2007", "1.jpg"));
        assert_eq!(parsed.objects, [Object { class: 12, corners: [1.0, 2.0, 30.5, 40.0], difficult: true }]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (from, to, message) in [
            ("dog", "cat", "1:63: the class `cat` is not among those of -ODc"),
            ("<xmin>1<", "<xmin>x<", "xmin is `x`, expected a number"),
            ("<xmin>1<", "<xmin>31<", "ends before it begins"),
            ("<filename>1.jpg</filename>", "", "no filename"),
            ("</object>", "", "expected"),
        ] {
            let error = format!("{:#}", parse(&DOG.replace(from, to), &classes()).err().unwrap());
            assert!(error.contains(message), "{error}");
        }
    }
}
