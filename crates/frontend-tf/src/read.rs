//! Files in: GraphDef and MetaGraphDef, binary or text.

use crate::{
    Error,
    proto::{GraphDef, MetaGraphDef, SaverDef},
    text,
};
use bytes::Bytes;
use prost::Message;
use std::path::Path;

/// How a graph is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    /// Look at the content.
    #[default]
    Detect,
    /// The text format, whatever the content looks like.
    Text,
}

/// A graph as a file holds it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct GraphFile {
    /// The graph. Large tensors are views of the file.
    pub graph: GraphDef,
    /// How a `.meta` file's variables are saved; `None` for a bare graph.
    pub saver: Option<SaverDef>,
}

/// Reads a graph: a GraphDef or a MetaGraphDef, found out by content. The file is mapped, not read.
///
/// See [`ir::map_file`] for what must not happen to the file meanwhile.
pub fn read_graph(path: impl AsRef<Path>, encoding: Encoding) -> Result<GraphFile, Error> {
    let path = path.as_ref();
    let bytes = ir::map_file(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    parse_graph(bytes, encoding)
        .map_err(|source| Error::InFile { path: path.to_owned(), source: Box::new(source) })
}

/// Decodes a GraphDef or a MetaGraphDef. Tensor contents share `bytes`.
pub fn parse_graph(bytes: Bytes, encoding: Encoding) -> Result<GraphFile, Error> {
    if encoding == Encoding::Text || looks_like_text(&bytes) {
        let message = if is_meta_text(&bytes) { "tensorflow.MetaGraphDef" } else { "tensorflow.GraphDef" };
        let wire = Bytes::from(text::to_wire(&bytes, message)?);
        drop(bytes);
        return decode(wire);
    }
    decode(bytes)
}

/// The bytes of a frozen graph, as TensorFlow reads them.
pub fn encode_graph(graph: &GraphDef) -> Result<Vec<u8>, Error> {
    let size = graph.encoded_len();
    if i32::try_from(size).is_err() {
        return Err(Error::TooLarge { size });
    }
    Ok(graph.encode_to_vec())
}

fn decode(bytes: Bytes) -> Result<GraphFile, Error> {
    // A MetaGraphDef read as a GraphDef fails, or yields what no graph holds: nodes without an op.
    let complete =
        |graph: &GraphDef| !graph.node.is_empty() && graph.node.iter().all(|node| !node.op.is_empty());
    let reason = match GraphDef::decode(bytes.clone()) {
        Ok(graph) if complete(&graph) => return Ok(GraphFile { graph, saver: None }),
        Ok(graph) if graph.node.is_empty() => "it holds no nodes".to_owned(),
        Ok(_) => "it holds nodes without an op".to_owned(),
        Err(error) => error.to_string(),
    };
    if let Ok(MetaGraphDef { graph_def: Some(inner), saver_def, .. }) = MetaGraphDef::decode(bytes)
        && complete(&inner)
    {
        return Ok(GraphFile { graph: inner, saver: saver_def });
    }
    Err(Error::Format { reason })
}

/// Text has no control bytes, and begins with a field's name or a comment. A binary graph has the tag of its first
/// node's op (0x12) near the start.
fn looks_like_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(4096)];
    let control = |c: &u8| c.is_ascii_control() && !matches!(c, b'\t' | b'\n' | b'\r' | 11 | 12);
    let first = head.trim_ascii_start().first();
    first.is_some_and(|c| c.is_ascii_alphabetic() || *c == b'#') && !head.iter().any(control)
}

/// True when a field that only a MetaGraphDef has opens the text.
fn is_meta_text(bytes: &[u8]) -> bool {
    let first = bytes
        .split(|c| *c == b'\n')
        .map(|line| line.trim_ascii_start())
        .find(|line| !line.is_empty() && line[0] != b'#')
        .unwrap_or_default();
    ["meta_info_def", "graph_def", "saver_def", "collection_def", "signature_def", "asset_file_def"]
        .iter()
        .any(|name| first.starts_with(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{AttrValue, NodeDef, TensorProto, attr_value::Value};
    use proptest::prelude::*;

    fn sample() -> GraphDef {
        let tensor = TensorProto { tensor_content: vec![7; 4096].into(), ..Default::default() };
        let attr = [("value".to_owned(), AttrValue { value: Some(Value::Tensor(tensor)) })].into();
        let konst = NodeDef { name: "c".into(), op: "Const".into(), attr, ..Default::default() };
        let identity = NodeDef {
            name: "i".into(),
            op: "Identity".into(),
            input: vec!["c".into()],
            ..Default::default()
        };
        GraphDef { node: vec![konst, identity], ..Default::default() }
    }

    #[test]
    fn large_tensors_are_views_of_the_file() {
        let bytes = Bytes::from(sample().encode_to_vec());
        let file = parse_graph(bytes.clone(), Encoding::Detect).unwrap();
        let Some(Value::Tensor(tensor)) = &file.graph.node[0].attr["value"].value else { panic!() };
        let (start, end) = (bytes.as_ptr() as usize, bytes.as_ptr() as usize + bytes.len());
        assert!((start..end).contains(&(tensor.tensor_content.as_ptr() as usize)));
    }

    #[test]
    fn graphs_and_meta_graphs_are_told_apart() {
        let saver = SaverDef { restore_op_name: "save/restore_all".into(), ..Default::default() };
        let info = crate::proto::meta_graph_def::MetaInfoDef {
            tags: vec!["serve".into()],
            tensorflow_version: "1.15.0".into(),
            ..Default::default()
        };
        let meta = MetaGraphDef {
            meta_info_def: Some(info),
            graph_def: Some(sample()),
            saver_def: Some(saver.clone()),
            ..Default::default()
        };
        let file = parse_graph(meta.encode_to_vec().into(), Encoding::Detect).unwrap();
        assert_eq!(file, GraphFile { graph: sample(), saver: Some(saver) });
        let file = parse_graph(sample().encode_to_vec().into(), Encoding::Detect).unwrap();
        assert_eq!(file, GraphFile { graph: sample(), saver: None });
    }

    #[test]
    fn text_is_recognised() {
        let graph = "# comment\nnode { name: 'a' op: 'NoOp' }";
        for (text, names) in [(graph, 1), (&format!("graph_def {{ {graph}\n }}"), 1)] {
            for encoding in [Encoding::Detect, Encoding::Text] {
                let file = parse_graph(Bytes::from(text.to_owned()), encoding).unwrap();
                assert_eq!(file.graph.node.len(), names);
            }
        }
    }

    #[test]
    fn what_is_no_graph_is_said_so() {
        for bytes in [&b""[..], b"\x08\x01", b"\x0a\x03\x0a\x01a", b"{}", b"<?xml version='1.0'?>"] {
            let err = parse_graph(Bytes::copy_from_slice(bytes), Encoding::Detect).unwrap_err();
            assert!(matches!(err, Error::Format { .. }), "{bytes:?}: {err}");
        }
        let err = parse_graph(Bytes::from_static(b"node { name: 3 }"), Encoding::Detect).unwrap_err();
        assert!(matches!(err, Error::Text(_)), "{err}");
        let err = read_graph("/nowhere/graph.pb", Encoding::Detect).unwrap_err();
        assert!(err.to_string().starts_with("/nowhere/graph.pb: "), "{err}");
    }

    proptest! {
        #[test]
        fn mutated_graphs_are_an_answer_or_an_error(
            flips in prop::collection::vec((0usize..4300, any::<u8>()), 0..8),
            cut in 0usize..4300,
        ) {
            let mut bytes = sample().encode_to_vec();
            for (at, value) in flips {
                let len = bytes.len();
                bytes[at % len] ^= value;
            }
            bytes.truncate(cut);
            let _ = parse_graph(bytes.into(), Encoding::Detect);
        }
    }
}
