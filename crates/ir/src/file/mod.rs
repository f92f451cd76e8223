//! IR files: the graph as text (`.xml`), the constants as raw bytes beside it (`.bin`).
//!
//! Versions 10 and 11 are read as any tool wrote them; version 11 is written, as OpenVINO 2026 and Netron open it,
//! and version 10 for runtimes up to 2021.4.

mod bodies;
mod error;
mod read;
mod weights;
mod write;

pub use error::{ReadError, ReadErrorKind, WriteError};
pub use read::{read_ir, read_ir_from};
pub use weights::Weights;
pub use write::{IrVersion, Written, to_ir, to_ir_as, write_ir, write_ir_as};

/// The attribute of `rt_info` that holds the layout of an input or an output.
const LAYOUT: &str = "layout";

/// The names of one tensor from the text of a `names` attribute: commas part them, `\,` stands for a comma.
fn split_names(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let name = names.last_mut().expect("there is always one");
        match c {
            '\\' if rest.next_if_eq(&',').is_some() => name.push(','),
            ',' => names.push(String::new()),
            c => name.push(c),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The text of a `names` attribute.
fn join_names(names: &[String]) -> String {
    let escaped: Vec<_> = names.iter().map(|name| name.replace(',', "\\,")).collect();
    escaped.join(",")
}

/// One step of a path through the model's `rt_info` as a key holds it: `/` parts the steps, `\/` stands for a slash.
fn escape_step(step: &str) -> String {
    step.replace('/', "\\/")
}

/// The steps of such a path.
fn split_path(path: &str) -> Vec<String> {
    let mut steps = vec![String::new()];
    let mut rest = path.chars().peekable();
    while let Some(c) = rest.next() {
        let step = steps.last_mut().expect("there is always one");
        match c {
            '\\' if rest.next_if_eq(&'/').is_some() => step.push('/'),
            '/' => steps.push(String::new()),
            c => step.push(c),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_keep_their_separators() {
        assert_eq!(split_names("a,b\\,c,d\\e"), ["a", "b,c", "d\\e"]);
        assert_eq!(join_names(&["b,c".into(), "x".into()]), "b\\,c,x");
        assert_eq!(split_names(""), Vec::<String>::new());
        let path = format!("{}/{}", escape_step("a/b"), escape_step("c"));
        assert_eq!(split_path(&path), ["a/b", "c"]);
    }
}
