//! The protobuf text format (`.pbtxt`): text to wire format by the schemas' own descriptors.
//!
//! One pass, an explicit stack, no tree in between: the wire bytes then go through the same decoder as a binary
//! file. Fields that the schemas do not know are skipped, as a binary decoder would.

use prost::{Message, encoding};
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
use std::{collections::HashMap, sync::OnceLock};
use thiserror::Error;

/// Messages deeper than this are refused; the binary decoder stops at the same depth.
const MAX_DEPTH: usize = 100;

/// Where a text ceased to be what its schema asks for.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("line {line}, column {column}: {message}")]
pub struct TextError {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
}

/// Encodes `text`, which describes a message of type `message` (`tensorflow.GraphDef`), in wire format.
pub(crate) fn to_wire(text: &[u8], message: &str) -> Result<Vec<u8>, TextError> {
    let schema = schema();
    let root = *schema.by_name.get(message).expect("a message of our own schemas");
    Parser { text, at: 0, schema }.document(root).map_err(|(at, message)| {
        let before = &text[..at.min(text.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        TextError { line, column: 1 + before.len() - line_start, message }
    })
}

struct Schema {
    messages: Vec<HashMap<String, Field>>,
    by_name: HashMap<String, usize>,
    enums: HashMap<String, HashMap<String, i32>>,
}

#[derive(Clone)]
struct Field {
    number: u32,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Message(usize),
    Enum(String),
    Float,
    Double,
    /// Name, least and greatest value.
    Integer(&'static str, i128, i128),
    Bool,
    String,
    Bytes,
    /// A field that the schemas do not hold.
    Unknown,
}

fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let bytes: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
        Schema::new(FileDescriptorSet::decode(bytes).expect("written by the build script"))
    })
}

impl Schema {
    fn new(files: FileDescriptorSet) -> Self {
        let mut named: Vec<(String, DescriptorProto)> = Vec::new();
        let mut enums = HashMap::new();
        for file in files.file {
            let package = format!(".{}", file.package());
            for message in file.message_type {
                named.push((format!("{package}.{}", message.name()), message));
            }
            for item in file.enum_type {
                enums.insert(format!("{package}.{}", item.name()), enum_values(&item));
            }
        }
        // Nested types are appended while the list is walked.
        let mut next = 0;
        while next < named.len() {
            let (name, message) = named[next].clone();
            for nested in message.nested_type {
                named.push((format!("{name}.{}", nested.name()), nested));
            }
            for item in message.enum_type {
                enums.insert(format!("{name}.{}", item.name()), enum_values(&item));
            }
            next += 1;
        }
        let by_full_name: HashMap<&str, usize> =
            named.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect();
        let fields = |message: &DescriptorProto| {
            let field = |f: &prost_types::FieldDescriptorProto| {
                let kind = match f.r#type() {
                    Type::Message | Type::Group => Kind::Message(by_full_name[f.type_name()]),
                    Type::Enum => Kind::Enum(f.type_name().to_owned()),
                    Type::Float => Kind::Float,
                    Type::Double => Kind::Double,
                    Type::Int32 => Kind::Integer("int32", i32::MIN.into(), i32::MAX.into()),
                    Type::Int64 => Kind::Integer("int64", i64::MIN.into(), i64::MAX.into()),
                    Type::Uint32 => Kind::Integer("uint32", 0, u32::MAX.into()),
                    Type::Uint64 => Kind::Integer("uint64", 0, u64::MAX.into()),
                    Type::Bool => Kind::Bool,
                    Type::String => Kind::String,
                    Type::Bytes => Kind::Bytes,
                    other => panic!("the schemas use no {other:?} fields"),
                };
                let number = u32::try_from(f.number()).expect("field numbers are positive");
                (f.name().to_owned(), Field { number, kind })
            };
            message.field.iter().map(field).collect()
        };
        let messages = named.iter().map(|(_, message)| fields(message)).collect();
        let by_name = named.iter().enumerate().map(|(i, (n, _))| (n[1..].to_owned(), i)).collect();
        Self { messages, by_name, enums }
    }
}

fn enum_values(item: &prost_types::EnumDescriptorProto) -> HashMap<String, i32> {
    item.value.iter().map(|value| (value.name().to_owned(), value.number())).collect()
}

/// A message under construction.
struct Frame {
    /// Index into [`Schema::messages`]; `None` inside an unknown field.
    message: Option<usize>,
    /// The field of the parent that this message becomes.
    field: Field,
    /// One of several in `[ {..}, {..} ]`.
    in_list: bool,
    /// What ends it; the root ends with the text.
    close: Option<u8>,
    opened_at: usize,
    wire: Vec<u8>,
}

type Failure = (usize, String);

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    schema: &'static Schema,
}

impl Parser<'_> {
    fn document(mut self, root: usize) -> Result<Vec<u8>, Failure> {
        let no_field = Field { number: 0, kind: Kind::Unknown };
        let mut stack = vec![Frame {
            message: Some(root),
            field: no_field,
            in_list: false,
            close: None,
            opened_at: 0,
            wire: Vec::new(),
        }];
        loop {
            let top = stack.last().expect("the root stays until the end");
            match self.peek() {
                None if stack.len() == 1 => return Ok(stack.swap_remove(0).wire),
                None => {
                    return Err((top.opened_at, "this message is never closed".to_owned()));
                }
                Some(c) if Some(c) == top.close => {
                    self.at += 1;
                    self.close(&mut stack)?;
                }
                Some(b';' | b',') => self.at += 1,
                Some(_) => self.field(&mut stack)?,
            }
        }
    }

    /// One field, up to its value or to the opening of its message.
    fn field(&mut self, stack: &mut Vec<Frame>) -> Result<(), Failure> {
        let top = stack.last_mut().expect("never empty while parsing");
        let field = if self.eat(b'[') {
            // An extension or an Any: nothing that a graph needs.
            while self.peek().is_some_and(|c| c != b']') {
                self.at += 1;
            }
            self.expect(b']')?;
            None
        } else {
            let schema = self.schema;
            let name = self.word("a field name")?;
            top.message.and_then(|m| schema.messages[m].get(name)).cloned()
        };
        let field = field.unwrap_or(Field { number: 0, kind: Kind::Unknown });
        let colon = self.eat(b':');
        match self.peek() {
            Some(b'{' | b'<') => self.open(stack, field, false),
            _ if !colon => self.fail("expected ':' or '{' after the field name"),
            Some(b'[') => {
                self.at += 1;
                if self.eat(b']') { Ok(()) } else { self.list_item(stack, field) }
            }
            Some(_) => self.scalar(&field, &mut top.wire),
            None => self.fail("the text ends where a value should stand"),
        }
    }

    /// The items of a list, up to its end or to the opening of a message in it.
    fn list_item(&mut self, stack: &mut Vec<Frame>, field: Field) -> Result<(), Failure> {
        loop {
            if let Some(b'{' | b'<') = self.peek() {
                return self.open(stack, field, true);
            }
            self.scalar(&field, &mut stack.last_mut().expect("never empty while parsing").wire)?;
            if self.eat(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn open(&mut self, stack: &mut Vec<Frame>, field: Field, in_list: bool) -> Result<(), Failure> {
        let message = match field.kind {
            Kind::Message(message) => Some(message),
            Kind::Unknown => None,
            _ => return self.fail("this field holds a plain value, not a message"),
        };
        if stack.len() >= MAX_DEPTH {
            return self.fail(format!("messages nest deeper than {MAX_DEPTH}"));
        }
        let close = Some(if self.text[self.at] == b'{' { b'}' } else { b'>' });
        let opened_at = self.at;
        self.at += 1;
        stack.push(Frame { message, field, in_list, close, opened_at, wire: Vec::new() });
        Ok(())
    }

    fn close(&mut self, stack: &mut Vec<Frame>) -> Result<(), Failure> {
        let done = stack.pop().expect("the root has no closing character");
        let parent = stack.last_mut().expect("the root is never popped");
        if done.message.is_some() {
            bytes_field(done.field.number, &done.wire, &mut parent.wire);
        }
        if done.in_list && !self.eat(b']') {
            self.expect(b',')?;
            return self.list_item(stack, done.field);
        }
        Ok(())
    }

    fn scalar(&mut self, field: &Field, wire: &mut Vec<u8>) -> Result<(), Failure> {
        let start = self.skip_blank();
        let wrong = |expected: &str, found: &str| {
            Err((start, format!("expected {expected}, found {}", shorten(found))))
        };
        if let Some(b'"' | b'\'') = self.peek() {
            let bytes = self.string()?;
            return match field.kind {
                Kind::String if std::str::from_utf8(&bytes).is_err() => wrong("UTF-8", "other bytes"),
                Kind::String | Kind::Bytes => {
                    bytes_field(field.number, &bytes, wire);
                    Ok(())
                }
                Kind::Unknown => Ok(()),
                Kind::Message(_) => wrong("a message", "a string"),
                _ => wrong("a number or a word", "a string"),
            };
        }
        let word = self.number_or_word()?;
        let number = field.number;
        match &field.kind {
            Kind::Unknown => {}
            Kind::Message(_) => return wrong("a message", &word),
            Kind::String | Kind::Bytes => return wrong("a quoted string", &word),
            Kind::Bool => match word.as_str() {
                "true" | "True" | "t" | "1" => encoding::bool::encode(number, &true, wire),
                "false" | "False" | "f" | "0" => encoding::bool::encode(number, &false, wire),
                _ => return wrong("true or false", &word),
            },
            Kind::Float | Kind::Double => {
                let Some(value) = float(&word) else { return wrong("a number", &word) };
                match field.kind {
                    Kind::Float => encoding::float::encode(number, &(value as f32), wire),
                    _ => encoding::double::encode(number, &value, wire),
                }
            }
            Kind::Integer(name, least, greatest) => match integer(&word) {
                Some(value) if (*least..=*greatest).contains(&value) => {
                    // Negative values take ten bytes, sign extended.
                    encoding::uint64::encode(number, &(value as u64), wire);
                }
                _ => return wrong(name, &word),
            },
            Kind::Enum(name) => {
                let by_number = || integer(&word).and_then(|v| i32::try_from(v).ok());
                let Some(value) = self.schema.enums[name].get(&word).copied().or_else(by_number) else {
                    return wrong(&format!("a value of {}", &name[1..]), &word);
                };
                encoding::int32::encode(number, &value, wire);
            }
        }
        Ok(())
    }

    /// Adjacent quoted strings, joined and unescaped.
    fn string(&mut self) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        while let Some(quote @ (b'"' | b'\'')) = self.peek() {
            let start = self.at;
            self.at += 1;
            loop {
                // Runs without anything special are copied at once: tensors arrive as long strings.
                let rest = &self.text[self.at..];
                let run = rest.iter().position(|c| *c == quote || *c == b'\\' || *c == b'\n');
                let Some(run) = run else { return Err((start, "this string is never closed".to_owned())) };
                out.extend_from_slice(&rest[..run]);
                self.at += run + 1;
                match rest[run] {
                    b'\\' => self.escape(&mut out)?,
                    b'\n' => return Err((start, "this string is not closed on its line".to_owned())),
                    _ => break,
                }
            }
        }
        Ok(out)
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        let start = self.at - 1;
        let Some(&c) = self.text.get(self.at) else { return self.fail("the text ends in an escape") };
        self.at += 1;
        let plain = match c {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            b'\\' | b'\'' | b'"' | b'?' => c,
            b'0'..=b'7' => {
                self.at -= 1;
                let value = self.digits(8, 3).unwrap_or(0);
                match u8::try_from(value) {
                    Ok(value) => value,
                    Err(_) => return Err((start, "an octal escape above \\377".to_owned())),
                }
            }
            b'x' | b'X' => match self.digits(16, 2) {
                Some(value) => value as u8,
                None => return Err((start, "\\x without hexadecimal digits".to_owned())),
            },
            b'u' | b'U' => {
                let digits = if c == b'u' { 4 } else { 8 };
                let Some(c) = self.digits(16, digits).and_then(char::from_u32) else {
                    return Err((start, "an escape that names no Unicode character".to_owned()));
                };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err((start, format!("unknown escape \\{}", c.escape_ascii()))),
        };
        out.push(plain);
        Ok(())
    }

    fn digits(&mut self, radix: u32, most: usize) -> Option<u32> {
        let mut value = None;
        for _ in 0..most {
            let Some(digit) = self.text.get(self.at).and_then(|c| char::from(*c).to_digit(radix)) else {
                break;
            };
            value = Some(value.unwrap_or(0u32).wrapping_mul(radix) | digit);
            self.at += 1;
        }
        value
    }

    fn word(&mut self, expected: &str) -> Result<&str, Failure> {
        let start = self.skip_blank();
        let rest = &self.text[start..];
        let part = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_';
        let len = rest.iter().position(|c| !part(c)).unwrap_or(rest.len());
        if len == 0 {
            let found = rest.first().map_or("the end".to_owned(), |c| format!("'{}'", c.escape_ascii()));
            return Err((start, format!("expected {expected}, found {found}")));
        }
        self.at = start + len;
        Ok(std::str::from_utf8(&rest[..len]).expect("ASCII"))
    }

    fn number_or_word(&mut self) -> Result<String, Failure> {
        let negative = self.eat(b'-');
        let start = self.skip_blank();
        let mut word = String::from(if negative { "-" } else { "" });
        while let Some(&c) = self.text.get(self.at) {
            let exponent = matches!(word.as_bytes().last(), Some(b'e' | b'E')) && !word.contains(['x', 'X']);
            if !(c.is_ascii_alphanumeric()
                || matches!(c, b'_' | b'.')
                || exponent && matches!(c, b'+' | b'-'))
            {
                break;
            }
            word.push(char::from(c));
            self.at += 1;
        }
        if self.at == start {
            return self.fail("expected a value");
        }
        Ok(word)
    }

    /// Skips blanks and comments; the offset of what follows.
    fn skip_blank(&mut self) -> usize {
        while let Some(&c) = self.text.get(self.at) {
            if c == b'#' {
                let rest = &self.text[self.at..];
                self.at += rest.iter().position(|c| *c == b'\n').unwrap_or(rest.len());
            } else if c.is_ascii_whitespace() || c == 11 {
                self.at += 1;
            } else {
                break;
            }
        }
        self.at
    }

    fn peek(&mut self) -> Option<u8> {
        let at = self.skip_blank();
        self.text.get(at).copied()
    }

    fn eat(&mut self, c: u8) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, c: u8) -> Result<(), Failure> {
        if self.eat(c) { Ok(()) } else { self.fail(format!("expected '{}'", char::from(c))) }
    }

    fn fail<T>(&mut self, message: impl Into<String>) -> Result<T, Failure> {
        Err((self.skip_blank(), message.into()))
    }
}

fn bytes_field(number: u32, bytes: &[u8], wire: &mut Vec<u8>) {
    encoding::encode_key(number, encoding::WireType::LengthDelimited, wire);
    encoding::encode_varint(bytes.len() as u64, wire);
    wire.extend_from_slice(bytes);
}

fn integer(word: &str) -> Option<i128> {
    let (sign, digits) = word.strip_prefix('-').map_or((1, word), |rest| (-1, rest));
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let value = match hex {
        Some(hex) => u64::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(digits, 8),
        None => digits.parse::<u64>(),
    };
    Some(sign * i128::from(value.ok()?))
}

fn float(word: &str) -> Option<f64> {
    let plain =
        word.strip_suffix(['f', 'F']).filter(|w| w.ends_with(|c: char| c.is_ascii_digit() || c == '.'));
    // Rust reads "inf", "infinity" and "nan" in any letter case too.
    plain.unwrap_or(word).parse().ok()
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{AttrValue, DataType, GraphDef, MetaGraphDef, TensorProto, attr_value::Value};

    fn graph(text: &str) -> Result<GraphDef, TextError> {
        to_wire(text.as_bytes(), "tensorflow.GraphDef").map(|wire| GraphDef::decode(&wire[..]).unwrap())
    }

    fn attr<'a>(graph: &'a GraphDef, name: &str) -> &'a Value {
        graph.node[0].attr[name].value.as_ref().unwrap()
    }

    #[test]
    fn reads_nodes_attributes_and_comments() {
        let text = r#"
            # written by hand
            node {
              name: "a" 'b'   # joined
              op: "Const";
              input: ["x", "^y"]
              attr { key: "dtype" value { type: DT_FLOAT } }
              attr: < key: "n" value: { list { i: [1, -2, 0x10] i: 010 } } >
              attr { key: "f" value { f: -1.5e-3 } }
              attr { key: "inf" value { f: -inf } }
              attr { key: "b" value { b: true } }
              attr { key: "value" value { tensor { dtype: DT_INT32
                  tensor_shape { dim { size: 2 } dim { size: -1 } } tensor_content: "\001\x02\n\377\\" } } }
              from_the_future { a: 1 b { c: "}" } d: [ { e: 1 }, { } ] [x.y/z]: { f: 1 } }
              experimental: [1, "two", three]
            }
            versions { producer: 27 }
        "#;
        let graph = graph(text).unwrap();
        let node = &graph.node[0];
        assert_eq!((node.name.as_str(), node.op.as_str()), ("ab", "Const"));
        assert_eq!(node.input, ["x", "^y"]);
        assert_eq!(attr(&graph, "dtype"), &Value::Type(DataType::DtFloat.into()));
        let Value::List(list) = attr(&graph, "n") else { panic!() };
        assert_eq!(list.i, [1, -2, 16, 8]);
        assert_eq!(attr(&graph, "f"), &Value::F(-1.5e-3));
        assert_eq!(attr(&graph, "inf"), &Value::F(f32::NEG_INFINITY));
        assert_eq!(attr(&graph, "b"), &Value::B(true));
        let Value::Tensor(TensorProto { tensor_content, tensor_shape, .. }) = attr(&graph, "value") else {
            panic!()
        };
        assert_eq!(&tensor_content[..], b"\x01\x02\n\xff\\");
        assert_eq!(tensor_shape.as_ref().unwrap().dim[1].size, -1);
        assert_eq!(graph.versions.unwrap().producer, 27);
    }

    #[test]
    fn lists_of_messages_and_nested_enums() {
        let wire = to_wire(
            b"graph_def { node: [ { name: 'a' }, < name: 'b' > ] node { name: 'c' } } saver_def { version: V2 }",
            "tensorflow.MetaGraphDef",
        );
        let meta = MetaGraphDef::decode(&wire.unwrap()[..]).unwrap();
        let names: Vec<_> = meta.graph_def.unwrap().node.into_iter().map(|n| n.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(meta.saver_def.unwrap().version, 2);
    }

    #[test]
    fn errors_point_at_the_place() {
        let cases = [
            ("node {\n  name: \"a\"\n", "line 1, column 6: this message is never closed"),
            ("node {\n  name: 5\n}", "line 2, column 9: expected a quoted string, found 5"),
            ("node { name \"a\" }", "line 1, column 13: expected ':' or '{' after the field name"),
            ("node: 3", "line 1, column 7: expected a message, found 3"),
            ("version: 4294967296", "line 1, column 10: expected int32, found 4294967296"),
            ("node { name: 'a\n' }", "line 1, column 14: this string is not closed on its line"),
            ("node { name: 'a", "line 1, column 14: this string is never closed"),
            ("node { name: '\\q' }", "line 1, column 15: unknown escape \\q"),
            ("node { name: '\\400' }", "line 1, column 15: an octal escape above \\377"),
            ("node { name: '\\xff' }", "line 1, column 14: expected UTF-8, found other bytes"),
            (
                "node { attr { value { type: DT_FLAOT } } }",
                "line 1, column 29: expected a value of tensorflow.DataType, found DT_FLAOT",
            ),
            ("}", "line 1, column 1: expected a field name, found '}'"),
            ("node >", "line 1, column 6: expected ':' or '{' after the field name"),
            ("node { > }", "line 1, column 8: expected a field name, found '>'"),
            ("\0", "line 1, column 1: expected a field name, found '\\x00'"),
            ("version:", "line 1, column 9: the text ends where a value should stand"),
            ("version { }", "line 1, column 9: this field holds a plain value, not a message"),
        ];
        for (text, expected) in cases {
            assert_eq!(graph(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for open in ["a {", "a: [ {", "a <"] {
            let message = graph(&open.repeat(100_000)).unwrap_err().message;
            assert_eq!(message, "messages nest deeper than 100", "{open}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes: Vec<u8>) {
            let _ = to_wire(&bytes, "tensorflow.GraphDef");
        }

        #[test]
        fn any_attribute_bytes_survive(bytes: Vec<u8>) {
            let escaped: String = bytes.iter().map(|b| format!("\\{b:03o}")).collect();
            let text = format!("node {{ attr {{ key: 'k' value {{ s: \"{escaped}\" }} }} }}");
            let graph = graph(&text).unwrap();
            let expected = AttrValue { value: Some(Value::S(bytes.into())) };
            proptest::prop_assert_eq!(&graph.node[0].attr["k"], &expected);
        }
    }
}
