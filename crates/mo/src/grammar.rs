//! The small languages of the flags: shapes, inputs, values by channel, layouts.
//!
//! They are OpenVINO's, old forms and new: round or square brackets, spaces or commas inside them, and a list's items
//! parted by commas. Each function here reads the value of one flag.

use ir::{
    ElementType, IrVersion, Layout, PartialShape,
    cut::{FrozenValue, InputSpec},
};
use thiserror::Error;

/// A text that does not follow the flag's grammar.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("`{text}`: {problem}")]
pub struct SyntaxError {
    text: String,
    problem: String,
}

/// Numbers for the channels of one input.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelValues {
    /// The input; `None` when the list goes by the order of the inputs.
    pub input: Option<String>,
    /// One number a channel, or one for all.
    pub values: Vec<f32>,
}

/// What a flag says about the layout of an input or an output.
#[derive(Debug, Clone, PartialEq)]
pub struct LayoutSpec {
    /// The input or output; `None` when the list goes by the order of the inputs.
    pub port: Option<String>,
    /// The layout that the network has.
    pub source: Layout,
    /// The layout that the IR shall have, if another.
    pub target: Option<Layout>,
}

fn error<T>(text: &str, problem: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError { text: text.trim().to_owned(), problem: problem.into() })
}

/// Splits at the commas that stand outside of brackets.
fn items(text: &str) -> Result<Vec<&str>, SyntaxError> {
    let (mut open, mut start, mut found) = (Vec::new(), 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '[' => open.push(']'),
            '(' => open.push(')'),
            '{' => open.push('}'),
            ']' | ')' | '}' => {
                let expected = open.pop();
                if expected != Some(c) {
                    return error(text, format!("`{c}` closes nothing"));
                }
            }
            ',' if open.is_empty() => {
                found.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if let Some(c) = open.pop() {
        return error(text, format!("`{c}` is missing"));
    }
    if text.trim().is_empty() {
        return Ok(found);
    }
    found.push(text[start..].trim());
    if found.iter().any(|item| item.is_empty()) {
        return error(text, "nothing stands beside one of its commas");
    }
    Ok(found)
}

/// What stands between square or round brackets.
fn bracketed(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    inner.or_else(|| text.strip_prefix('(').and_then(|t| t.strip_suffix(')')))
}

/// Words parted by commas or, where there are none, by spaces.
fn words(text: &str) -> Vec<&str> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    if text.contains(',') {
        text.split(',').map(str::trim).collect()
    } else {
        text.split_whitespace().collect()
    }
}

fn shape(text: &str) -> Result<PartialShape, SyntaxError> {
    text.parse().or_else(|e: ir::ShapeSyntaxError| error(text, e.to_string()))
}

/// `--input_shape`: `[1,224,224,3]`, `(1,3),[?,1..10]`, `1,224,224,3`.
pub fn shapes(text: &str) -> Result<Vec<PartialShape>, SyntaxError> {
    match items(text)? {
        found if found.iter().all(|item| bracketed(item).is_some()) => found.into_iter().map(shape).collect(),
        found if found.iter().all(|item| !item.contains(['[', '('])) => Ok(vec![shape(text)?]),
        _ => error(text, "expected shapes in brackets: `[1,224,224,3]` or `[1,3],[2]`"),
    }
}

/// `--output`, lists of names: `a,b:1`.
pub fn names(text: &str) -> Result<Vec<String>, SyntaxError> {
    Ok(items(text)?.into_iter().map(str::to_owned).collect())
}

/// `--input`: `node:0[1 3 224 224]{f32},flag->False,0:node[?,10]->[1 2]`.
pub fn inputs(text: &str) -> Result<Vec<InputSpec>, SyntaxError> {
    items(text)?.into_iter().map(input).collect()
}

fn input(text: &str) -> Result<InputSpec, SyntaxError> {
    let (mut place, value) = match text.split_once("->") {
        Some((place, value)) => (place.trim(), Some(frozen(value)?)),
        None => (text, None),
    };
    let mut element_type = None;
    if let Some((rest, ty)) = place.strip_suffix('}').and_then(|t| t.rsplit_once('{')) {
        let known = ElementType::parse(ty.trim()).filter(|ty| *ty != ElementType::Dynamic);
        let Some(known) = known else {
            return error(
                text,
                format!("`{ty}` is no element type: f32, f16, f64, i32, i64, u8, boolean, ..."),
            );
        };
        (place, element_type) = (rest.trim(), Some(known));
    }
    let mut dims = None;
    if let Some(at) = place.find(['[', '(']) {
        dims = Some(shape(&place[at..])?);
        place = place[..at].trim();
    }
    if place.is_empty() || place.contains(['[', ']', '(', ')', '{', '}']) {
        return error(text, "expected `name`, then `[shape]`, `{type}` and `->value` as needed");
    }
    if value.is_some() && dims.as_ref().is_some_and(|dims| !dims.is_fixed()) {
        return error(text, "a value needs a shape without open dimensions");
    }
    Ok(InputSpec { place: place.to_owned(), shape: dims, element_type, value })
}

fn frozen(text: &str) -> Result<FrozenValue, SyntaxError> {
    let text = text.trim();
    let value = match bracketed(text) {
        Some(inner) => FrozenValue::List(words(inner).into_iter().map(str::to_owned).collect()),
        None => FrozenValue::Scalar(text.to_owned()),
    };
    let words = match &value {
        FrozenValue::Scalar(word) => std::slice::from_ref(word),
        FrozenValue::List(words) => words,
    };
    let is_value = |word: &String| {
        word.parse::<f64>().is_ok() || ["true", "false"].iter().any(|b| word.eq_ignore_ascii_case(b))
    };
    match words.iter().find(|word| !is_value(word)) {
        None => Ok(value),
        Some(word) => error(text, format!("`{word}` is neither a number nor True or False")),
    }
}

/// `--freeze_placeholder_with_value`: `flag->True,sizes->[1 2]`.
pub fn frozen_inputs(text: &str) -> Result<Vec<InputSpec>, SyntaxError> {
    let found = inputs(text)?;
    match found.iter().find(|input| input.value.is_none()) {
        Some(input) => error(text, format!("`{}` has no value: expected `{0}->value`", input.place)),
        None => Ok(found),
    }
}

/// `--mean_values`, `--scale_values`: `(123.68,116.78,103.94)`, `[1],[2]`, `data[255,255,255],info[1]`.
pub fn channel_values(text: &str) -> Result<Vec<ChannelValues>, SyntaxError> {
    if bracketed(text.trim()).is_some_and(|inner| inner.trim().is_empty()) {
        return Ok(Vec::new()); // `()` is how the original spells "none"
    }
    let found: Vec<_> = items(text)?.into_iter().map(channel_value).collect::<Result<_, _>>()?;
    if found.iter().any(|v| v.input.is_some()) && found.iter().any(|v| v.input.is_none()) {
        return error(text, "name either all inputs or none");
    }
    Ok(found)
}

fn channel_value(text: &str) -> Result<ChannelValues, SyntaxError> {
    const EXPECTED: &str =
        "expected numbers in brackets, `[127.5,127.5,127.5]`, an input's name before them if needed";
    let Some(at) = text.find(['[', '(']) else { return error(text, EXPECTED) };
    let (name, list) = (text[..at].trim(), text[at..].trim());
    let Some(inner) = bracketed(list) else { return error(text, EXPECTED) };
    let number = |word: &str| word.parse().ok().filter(|v: &f32| v.is_finite());
    match words(inner).into_iter().map(number).collect::<Option<Vec<_>>>() {
        Some(values) if !values.is_empty() => {
            Ok(ChannelValues { input: (!name.is_empty()).then(|| name.to_owned()), values })
        }
        _ => error(text, EXPECTED),
    }
}

/// `--layout`: `nhwc`, `nhwc->nchw`, `[n,h,w,c]->[n,c,h,w]`, `image(nhwc->nchw),info(nc)`.
pub fn layouts(text: &str) -> Result<Vec<LayoutSpec>, SyntaxError> {
    let found: Vec<_> = items(text)?.into_iter().map(layout_spec).collect::<Result<_, _>>()?;
    if found.iter().any(|l| l.port.is_some()) && found.iter().any(|l| l.port.is_none()) {
        return error(text, "name either all inputs and outputs or none");
    }
    Ok(found)
}

/// `--source_layout`, `--target_layout`: as [`layouts`], without arrows.
pub fn plain_layouts(text: &str) -> Result<Vec<LayoutSpec>, SyntaxError> {
    let found = layouts(text)?;
    if found.iter().any(|l| l.target.is_some()) {
        return error(text, "`->` belongs to --layout");
    }
    Ok(found)
}

fn layout_spec(text: &str) -> Result<LayoutSpec, SyntaxError> {
    let (port, change) = match text.split_once('(') {
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(inner) if !name.trim().is_empty() => (Some(name.trim().to_owned()), inner),
            _ => return error(text, "expected `name(layout)` or `name(layout->layout)`"),
        },
        None => (None, text),
    };
    let layout = |text: &str| match text.parse::<Layout>() {
        Ok(layout) if !layout.is_empty() => Ok(layout),
        Ok(_) => error(text, "a layout is missing"),
        Err(e) => error(text, e.to_string()),
    };
    let (source, target) = match change.split_once("->") {
        Some((source, target)) => (layout(source)?, Some(layout(target)?)),
        None => (layout(change)?, None),
    };
    Ok(LayoutSpec { port, source, target })
}

/// A switch with a value: `True`, `false`, `1`, `no`.
pub fn boolean(text: &str) -> Result<bool, SyntaxError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => error(text, "expected True or False"),
    }
}

/// `--mean_file_offsets`: `(x,y)`.
pub fn offsets(text: &str) -> Result<(usize, usize), SyntaxError> {
    let inner = bracketed(text.trim()).unwrap_or(text);
    match words(inner).iter().map(|word| word.parse().ok()).collect::<Option<Vec<usize>>>().as_deref() {
        Some(&[x, y]) => Ok((x, y)),
        _ => error(text, "expected two numbers, `(x,y)`"),
    }
}

/// `--finegrain_fusing`: regular expressions parted by commas.
pub fn regexes(text: &str) -> Result<Vec<String>, SyntaxError> {
    let found: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in &found {
        if let Err(problem) = regex_lite::Regex::new(part) {
            return error(part, problem.to_string());
        }
    }
    Ok(found.into_iter().map(str::to_owned).collect())
}

/// A transformation that `--transform` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transform {
    /// Loops over time become steps that keep their state.
    LowLatency2,
    /// Pairs of an input and an output become state.
    MakeStateful(Vec<(String, String)>),
    /// Channels that are zero throughout go.
    Pruning,
}

/// `--transform`: `LowLatency2[use_const_initializer=False],MakeStateful[param_res_names={'in':'out'}],Pruning`.
pub fn transforms(text: &str) -> Result<Vec<Transform>, SyntaxError> {
    let transform = |item: &str| match item.split(['[', '(']).next().unwrap_or_default().trim() {
        "LowLatency2" => Ok(Transform::LowLatency2),
        "MakeStateful" => Ok(Transform::MakeStateful(state_pairs(item)?)),
        "Pruning" => Ok(Transform::Pruning),
        _ => error(item, "expected LowLatency2, MakeStateful[..] or Pruning"),
    };
    items(text)?.into_iter().map(transform).collect()
}

/// The pairs of `MakeStateful[param_res_names={'in1':'out1','in2':'out2'}]`.
fn state_pairs(item: &str) -> Result<Vec<(String, String)>, SyntaxError> {
    let expected = "expected MakeStateful[param_res_names={'input':'output',..}]";
    let inner = item.split_once(['[', '(']).and_then(|(_, rest)| rest.trim_end().strip_suffix([']', ')']));
    let list =
        inner.and_then(|inner| inner.trim().strip_prefix("param_res_names")?.trim_start().strip_prefix('='));
    let list = list.and_then(|list| list.trim().strip_prefix('{')?.strip_suffix('}'));
    let Some(list) = list else { return error(item, expected) };
    let pair = |text: &str| {
        // Names may hold colons themselves, as `input:0` does: quotes part them.
        let names: Vec<&str> = text.split(['\'', '"']).collect();
        match names[..] {
            [before, input, between, output, after]
                if before.trim().is_empty() && between.trim() == ":" && after.trim().is_empty() =>
            {
                Ok((input.to_owned(), output.to_owned()))
            }
            _ => error(text, expected),
        }
    };
    let pairs: Vec<(String, String)> = items(list)?.into_iter().map(pair).collect::<Result<_, _>>()?;
    if pairs.is_empty() { error(item, expected) } else { Ok(pairs) }
}

/// `--ir_version`: 10 or 11.
pub fn ir_version(text: &str) -> Result<IrVersion, SyntaxError> {
    match text.trim() {
        "10" => Ok(IrVersion::V10),
        "11" => Ok(IrVersion::V11),
        _ => error(text, "expected 10 or 11"),
    }
}

/// `--target_device`: a device whose ops are known.
pub fn device(text: &str) -> Result<String, SyntaxError> {
    let name = text.trim().to_ascii_uppercase();
    let of_list = |name: &str| ["CPU", "FPGA"].contains(&name);
    let known = match name.split_once(':') {
        Some(("HETERO", list)) => list.split(',').all(of_list),
        Some(_) => false,
        None => of_list(&name),
    };
    if known { Ok(name) } else { error(text, "expected CPU, FPGA or HETERO:FPGA,CPU") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes_come_in_many_brackets() {
        for (text, want) in [
            ("[1,224,224,3]", "[1,224,224,3]"),
            ("(1,224,224,3)", "[1,224,224,3]"),
            ("[1 224 224 3]", "[1,224,224,3]"),
            ("1,224,224,3", "[1,224,224,3]"),
            (" [ 1 , 3 ] ", "[1,3]"),
            ("[1,3],[2]", "[1,3] [2]"),
            ("(1,3), [2 2]", "[1,3] [2,2]"),
            ("[?,-1,1..10,..100,5..]", "[?,?,1..10,0..100,5..]"),
            ("[]", "[]"),
            ("[],[1]", "[] [1]"),
        ] {
            let found: Vec<_> = shapes(text).unwrap().iter().map(PartialShape::to_string).collect();
            let want: Vec<_> =
                want.split(' ').map(|s| s.parse::<PartialShape>().unwrap().to_string()).collect();
            assert_eq!(found, want, "{text}");
        }
        for bad in
            ["[1,2", "1]", "[1,a]", "[1],2", "[1]]", "[1,,2]", "[1],", "[1)", "[-2]", "[1.5]", "[3..2]"]
        {
            assert!(shapes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn inputs_carry_ports_shapes_types_and_values() {
        let scalar = |text: &str| Some(FrozenValue::Scalar(text.into()));
        let list = |words: &[&str]| Some(FrozenValue::List(words.iter().map(|w| (*w).into()).collect()));
        let spec = |place: &str, shape: Option<&str>, element_type, value| InputSpec {
            place: place.into(),
            shape: shape.map(|s| s.parse().unwrap()),
            element_type,
            value,
        };
        let f32 = Some(ElementType::F32);
        for (text, want) in [
            ("data", vec![spec("data", None, None, None)]),
            ("a/b,c:1", vec![spec("a/b", None, None, None), spec("c:1", None, None, None)]),
            (
                "node:0[1 3 224 224]{f32},flag->False",
                vec![
                    spec("node:0", Some("[1,3,224,224]"), f32, None),
                    spec("flag", None, None, scalar("False")),
                ],
            ),
            ("0:node[3 4]", vec![spec("0:node", Some("[3,4]"), None, None)]),
            (
                "node:1[2]{i32}->[20 15]",
                vec![spec("node:1", Some("[2]"), Some(ElementType::I32), list(&["20", "15"]))],
            ),
            (
                "x[1 100], keep->1.0",
                vec![spec("x", Some("[1,100]"), None, None), spec("keep", None, None, scalar("1.0"))],
            ),
            ("x(1,100)", vec![spec("x", Some("[1,100]"), None, None)]),
            ("x[?,1..3]", vec![spec("x", Some("[?,1..3]"), None, None)]),
            ("x[]{boolean}->True", vec![spec("x", Some("[]"), Some(ElementType::Boolean), scalar("True"))]),
            (
                "x->[1,-2.5e1]",
                vec![spec("x", None, None, list(&["1", "-25"]))]
                    .into_iter()
                    .map(|mut s| {
                        s.value = list(&["1", "-2.5e1"]);
                        s
                    })
                    .collect(),
            ),
            ("x->[]", vec![spec("x", None, None, list(&[]))]),
            ("x{FP16}", vec![spec("x", None, Some(ElementType::F16), None)]),
        ] {
            assert_eq!(inputs(text).unwrap(), want, "{text}");
        }
        for bad in [
            "x[1",
            "x{f99}",
            "x->",
            "x->maybe",
            "[1,2]",
            "x[1]y",
            "x,,y",
            "x[?]->1",
            "x{f32}{i32}",
            "x]",
            "->1",
            "x->[1 a]",
            "x{dynamic}",
        ] {
            assert!(inputs(bad).is_err(), "{bad}");
        }
        assert!(frozen_inputs("a->True,b").unwrap_err().to_string().contains("`b` has no value"));
        assert_eq!(frozen_inputs("a->True").unwrap(), [spec("a", None, None, scalar("True"))]);
    }

    #[test]
    fn channel_values_go_by_order_or_by_name() {
        let values = |input: Option<&str>, values: &[f32]| ChannelValues {
            input: input.map(str::to_owned),
            values: values.to_vec(),
        };
        for (text, want) in [
            ("(123.68,116.779,103.939)", vec![values(None, &[123.68, 116.779, 103.939])]),
            ("[1 2 3]", vec![values(None, &[1.0, 2.0, 3.0])]),
            ("[1],(2,-3)", vec![values(None, &[1.0]), values(None, &[2.0, -3.0])]),
            (
                "data[255,255,255],info(1)",
                vec![values(Some("data"), &[255.0; 3]), values(Some("info"), &[1.0])],
            ),
            ("()", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(channel_values(text).unwrap(), want, "{text}");
        }
        for bad in ["1,2,3", "(1,a)", "data[1],[2]", "(1,2", "[nan]", "data[]", "(1,,2)", "x[1]y"] {
            assert!(channel_values(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn layouts_have_a_source_and_maybe_a_target() {
        for (text, want) in [
            ("nhwc", " [N,H,W,C]"),
            ("nhwc->nchw", " [N,H,W,C]>[N,C,H,W]"),
            ("[n,h,w,c]->[n,c,h,w]", " [N,H,W,C]>[N,C,H,W]"),
            ("in(nhwc->nchw),out(nc)", "in [N,H,W,C]>[N,C,H,W] out [N,C]"),
            ("in1([n,h,w,c]),in2(n...c)", "in1 [N,H,W,C] in2 [N,...,C]"),
            ("?c??", " [?,C,?,?]"),
            ("nhwc,nc", " [N,H,W,C]  [N,C]"),
        ] {
            let show = |l: LayoutSpec| {
                let target = l.target.map(|t| format!(">{t}")).unwrap_or_default();
                format!("{} {}{target}", l.port.unwrap_or_default(), l.source)
            };
            let found: Vec<_> = layouts(text).unwrap().into_iter().map(show).collect();
            assert_eq!(found.join(" "), want, "{text}");
        }
        for bad in ["in(nhwc", "(nhwc)", "nhwc->", "nn", "in(nhwc),nc", "in(n h)", "in()x"] {
            assert!(layouts(bad).is_err(), "{bad}");
        }
        assert!(plain_layouts("in(nhwc->nchw)").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error(text in "[a-c0-9:.,?{}()\\[\\] >-]{0,24}") {
            let _ = (shapes(&text), inputs(&text), channel_values(&text), layouts(&text), names(&text));
        }
    }
}
