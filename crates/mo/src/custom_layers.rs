//! `CustomLayersMapping.xml`: layers that no frontend knows and that are to be kept.

use crate::Error;
use std::{fs, path::Path};

/// One entry of the mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomLayer {
    /// The framework's type of the layer; the op is called the same.
    pub native_type: String,
    /// Whether a message of its own holds the layer's parameters.
    pub has_param: bool,
    /// That message's field in the layer, `proposal_param`. Empty when there is none.
    pub proto_param_name: String,
}

/// Reads a mapping: `<CustomLayer NativeType="T" hasParam="true" protoParamName="t_param"/>` in any root element.
pub fn read(path: &Path) -> Result<Vec<CustomLayer>, Error> {
    let fail = |line: u32, problem: String| Error::CustomLayers { path: path.to_owned(), line, problem };
    let text = fs::read_to_string(path).map_err(|e| fail(0, e.to_string()))?;
    let document = roxmltree::Document::parse(&text)
        .map_err(|e| fail(e.pos().row, format!("no acceptable XML: {e}")))?;
    let mut layers = Vec::new();
    for element in document.root_element().children().filter(roxmltree::Node::is_element) {
        let line = document.text_pos_at(element.range().start).row;
        let fail = |problem: String| fail(line, problem);
        if element.tag_name().name() != "CustomLayer" {
            return Err(fail(format!("<{}>, expected <CustomLayer>", element.tag_name().name())));
        }
        let native_type = element.attribute("NativeType").filter(|text| !text.is_empty());
        let native_type =
            native_type.ok_or_else(|| fail("<CustomLayer> has no attribute NativeType".to_owned()))?;
        let has_param = match element.attribute("hasParam") {
            None => false,
            Some(text) => crate::grammar::boolean(text)
                .map_err(|_| fail(format!("hasParam is `{text}`, expected true or false")))?,
        };
        let proto_param_name = element.attribute("protoParamName").unwrap_or_default().to_owned();
        if has_param && proto_param_name.is_empty() {
            return Err(fail(format!(
                "'{native_type}' has parameters, but protoParamName does not say which field holds them"
            )));
        }
        layers.push(CustomLayer { native_type: native_type.to_owned(), has_param, proto_param_name });
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<CustomLayer>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.xml");
        fs::write(&path, text).unwrap();
        read(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn mappings_are_read_and_checked() {
        let text = "<CustomLayers>\n<CustomLayer NativeType=\"A\" hasParam=\"True\" protoParamName=\"a_param\"/>\
                    <CustomLayer NativeType=\"B\" hasParam=\"false\"/>\n</CustomLayers>";
        let [a, b] = &parse(text).unwrap()[..] else { panic!() };
        assert_eq!((&a.native_type[..], a.has_param, &a.proto_param_name[..]), ("A", true, "a_param"));
        assert_eq!((&b.native_type[..], b.has_param, &b.proto_param_name[..]), ("B", false, ""));
        for (text, part) in [
            ("<CustomLayers>\n<Layer/></CustomLayers>", ":2: <Layer>"),
            ("<CustomLayers><CustomLayer hasParam=\"true\"/></CustomLayers>", "NativeType"),
            ("<CustomLayers><CustomLayer NativeType=\"A\" hasParam=\"maybe\"/></CustomLayers>", "`maybe`"),
            ("<CustomLayers><CustomLayer NativeType=\"A\" hasParam=\"1\"/></CustomLayers>", "protoParamName"),
            ("<CustomLayers>", "no acceptable XML"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
