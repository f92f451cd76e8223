//! The text form (prototxt), as people wrote it: no schema, separators and colons where they please.
//!
//! One pass with an explicit stack. A text becomes a tree of fields that know where they stand; what they mean is
//! found out later, so that fields of forks survive until somebody asks.

use crate::message::{Field, MAX_FIELDS, Message, Position, Value};
use std::borrow::Cow;
use thiserror::Error;

/// Messages deeper than this are refused, as protobuf does.
const MAX_DEPTH: usize = 100;

/// Where a text ceased to be one.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{at}: {message}")]
pub struct TextError {
    /// The place.
    pub at: Position,
    /// What was found and what was expected.
    pub message: String,
}

/// Reads a text.
pub(crate) fn parse(bytes: &[u8]) -> Result<Message, TextError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut parser = Parser { text: bytes, at: 0, line: 1, line_start: 0, fields: 0 };
    if let Err(error) = std::str::from_utf8(bytes) {
        let before = &bytes[..error.valid_up_to()];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let at = Position { line, column: 1 + before.len() - line_start };
        let byte = bytes[error.valid_up_to()];
        return Err(TextError {
            at,
            message: format!("the byte \\x{byte:02x} is not UTF-8; is this the text form of a network?"),
        });
    }
    parser.document()
}

/// A message that is not closed yet.
struct Frame {
    message: Message,
    /// The field of the parent that it becomes.
    name: Cow<'static, str>,
    /// One of several in `[ {..}, {..} ]`.
    in_list: bool,
    /// What ends it; the root ends with the text.
    close: Option<u8>,
    opened: Position,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    line_start: usize,
    fields: usize,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<Message, TextError> {
        let root = |opened| Frame {
            message: Message::default(),
            name: "".into(),
            in_list: false,
            close: None,
            opened,
        };
        let mut stack = vec![root(self.position())];
        loop {
            let next = self.peek();
            let top = stack.last().expect("the root stays until the end");
            match next {
                None if stack.len() == 1 => return Ok(stack.swap_remove(0).message),
                None => {
                    return Err(TextError {
                        at: top.opened,
                        message: "this message is never closed".to_owned(),
                    });
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
    fn field(&mut self, stack: &mut Vec<Frame>) -> Result<(), TextError> {
        let name = self.name()?;
        self.eat(b':');
        match self.peek() {
            Some(b'{' | b'<') => self.open(stack, name, false),
            Some(b'[') => {
                self.at += 1;
                if self.eat(b']') { Ok(()) } else { self.list_item(stack, name) }
            }
            Some(_) => self.scalar(stack, name),
            None => self.fail("the text ends where a value should stand"),
        }
    }

    fn name(&mut self) -> Result<Cow<'static, str>, TextError> {
        if self.eat(b'[') {
            // An extension or an Any, which Caffe has none of: kept under its own name.
            let start = self.at;
            while self.text.get(self.at).is_some_and(|c| !matches!(c, b']' | b'\n')) {
                self.at += 1;
            }
            let name = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
            self.expect(b']')?;
            return Ok(name.into());
        }
        self.peek();
        let rest = &self.text[self.at..];
        let part = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_';
        let len = rest.iter().position(|c| !part(c)).unwrap_or(rest.len());
        if len == 0 {
            let found = rest.first().map_or("the end".to_owned(), |c| format!("'{}'", c.escape_ascii()));
            return self.fail(format!("expected the name of a field, found {found}"));
        }
        self.at += len;
        Ok(String::from_utf8_lossy(&rest[..len]).into_owned().into())
    }

    /// The items of a list, up to its end or to the opening of a message in it.
    fn list_item(&mut self, stack: &mut Vec<Frame>, name: Cow<'static, str>) -> Result<(), TextError> {
        loop {
            if let Some(b'{' | b'<') = self.peek() {
                return self.open(stack, name, true);
            }
            self.scalar(stack, name.clone())?;
            if self.end_of_item()? {
                return Ok(());
            }
        }
    }

    /// True at the end of the list. Commas between items may be missing or doubled.
    fn end_of_item(&mut self) -> Result<bool, TextError> {
        while self.eat(b',') || self.eat(b';') {}
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                Ok(true)
            }
            None | Some(b'}' | b'>') => self.fail("expected ']' or another item of the list"),
            Some(_) => Ok(false),
        }
    }

    fn open(
        &mut self,
        stack: &mut Vec<Frame>,
        name: Cow<'static, str>,
        in_list: bool,
    ) -> Result<(), TextError> {
        if stack.len() >= MAX_DEPTH {
            return self.fail(format!("messages nest deeper than {MAX_DEPTH}"));
        }
        let opened = self.position();
        let close = Some(if self.text[self.at] == b'{' { b'}' } else { b'>' });
        self.at += 1;
        stack.push(Frame { message: Message::default(), name, in_list, close, opened });
        Ok(())
    }

    fn close(&mut self, stack: &mut Vec<Frame>) -> Result<(), TextError> {
        let done = stack.pop().expect("the root has no closing character");
        let name = done.name.clone();
        self.push(stack, done.name, Value::Message(done.message), done.opened)?;
        if done.in_list && !self.end_of_item()? {
            return self.list_item(stack, name);
        }
        Ok(())
    }

    fn push(
        &mut self,
        stack: &mut [Frame],
        name: Cow<'static, str>,
        value: Value,
        at: Position,
    ) -> Result<(), TextError> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(TextError { at, message: format!("the text holds more than {MAX_FIELDS} fields") });
        }
        let top = stack.last_mut().expect("the root is never popped");
        top.message.fields.push(Field { name, value, at: Some(at) });
        Ok(())
    }

    fn scalar(&mut self, stack: &mut [Frame], name: Cow<'static, str>) -> Result<(), TextError> {
        let first = self.peek();
        let at = self.position();
        let value = match first {
            Some(b'"' | b'\'') => {
                let bytes = self.string()?;
                match String::from_utf8(bytes) {
                    Ok(text) => Value::Text(text),
                    Err(_) => {
                        return Err(TextError {
                            at,
                            message: "the escapes of this string make no UTF-8".to_owned(),
                        });
                    }
                }
            }
            _ => Value::Word(self.word()?),
        };
        self.push(stack, name, value, at)
    }

    /// Adjacent quoted strings, joined and unescaped.
    fn string(&mut self) -> Result<Vec<u8>, TextError> {
        let mut out = Vec::new();
        while let Some(quote @ (b'"' | b'\'')) = self.peek() {
            let start = self.position();
            self.at += 1;
            loop {
                let Some(&c) = self.text.get(self.at) else {
                    return Err(TextError { at: start, message: "this string is never closed".to_owned() });
                };
                self.at += 1;
                match c {
                    b'\\' => self.escape(&mut out)?,
                    b'\n' => {
                        let message = "this string is not closed on its line".to_owned();
                        return Err(TextError { at: start, message });
                    }
                    _ if c == quote => break,
                    _ => out.push(c),
                }
            }
        }
        Ok(out)
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), TextError> {
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
            b'0'..=b'7' => {
                self.at -= 1;
                match u8::try_from(self.digits(8, 3)) {
                    Ok(value) => value,
                    Err(_) => return self.fail("an octal escape above \\377"),
                }
            }
            b'x' | b'X' if self.text.get(self.at).is_some_and(u8::is_ascii_hexdigit) => {
                self.digits(16, 2) as u8
            }
            b'\\' | b'\'' | b'"' | b'?' => c,
            // Paths of Windows: `C:\data` is meant as it stands.
            _ => {
                out.push(b'\\');
                c
            }
        };
        out.push(plain);
        Ok(())
    }

    fn digits(&mut self, radix: u32, most: usize) -> u32 {
        let mut value = 0;
        for _ in 0..most {
            let Some(digit) = self.text.get(self.at).and_then(|c| char::from(*c).to_digit(radix)) else {
                break;
            };
            value = value * radix + digit;
            self.at += 1;
        }
        value
    }

    /// A number or a bare word.
    fn word(&mut self) -> Result<String, TextError> {
        let mut word = String::new();
        if let Some(sign @ (b'-' | b'+')) = self.peek() {
            self.at += 1;
            word.push(char::from(sign));
            self.peek();
        }
        let start = self.at;
        while let Some(&c) = self.text.get(self.at) {
            let exponent = matches!(word.as_bytes().last(), Some(b'e' | b'E')) && !word.contains(['x', 'X']);
            let belongs = c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.');
            if !(belongs || exponent && matches!(c, b'+' | b'-')) {
                break;
            }
            word.push(char::from(c));
            self.at += 1;
        }
        if self.at == start {
            let found =
                self.text.get(start).map_or("the end".to_owned(), |c| format!("'{}'", c.escape_ascii()));
            return self.fail(format!("expected a value, found {found}"));
        }
        Ok(word)
    }

    /// What comes after blanks and comments.
    fn peek(&mut self) -> Option<u8> {
        while let Some(&c) = self.text.get(self.at) {
            if c == b'#' {
                let rest = &self.text[self.at..];
                self.at += rest.iter().position(|c| *c == b'\n').unwrap_or(rest.len());
            } else if c == b'\n' {
                self.at += 1;
                (self.line, self.line_start) = (self.line + 1, self.at);
            } else if c.is_ascii_whitespace() || c == 11 {
                self.at += 1;
            } else {
                return Some(c);
            }
        }
        None
    }

    fn eat(&mut self, c: u8) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, c: u8) -> Result<(), TextError> {
        if self.eat(c) { Ok(()) } else { self.fail(format!("expected '{}'", char::from(c))) }
    }

    fn position(&self) -> Position {
        Position { line: self.line, column: 1 + self.at - self.line_start }
    }

    fn fail<T>(&mut self, message: impl Into<String>) -> Result<T, TextError> {
        self.peek();
        Err(TextError { at: self.position(), message: message.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_people_write_them() {
        let text = "\u{feff}# a comment\nname : 'odd' \"_text\"  # joined\n\
            input:\"data\" ; input_shape < dim: 1, dim: 0x3, >;;\n\
            layer: { name \"a\\x41\\060\\n\" pad: [1, 2 3,] flag true v: - 1 w:1e-2f k:[] }\n\
            many: [ { a: 1 }, < b: .5 > ] [x.y/z]: { c: 'd:\\data' }";
        let root = parse(text.as_bytes()).unwrap();
        let names: Vec<&str> = root.fields.iter().map(|f| &*f.name).collect();
        assert_eq!(names, ["name", "input", "input_shape", "layer", "many", "many", "x.y/z"]);
        assert_eq!(root.text("name"), Some("odd_text"));
        let layer = root.messages("layer").next().unwrap();
        assert_eq!(layer.text("name"), Some("aA0\n"));
        assert_eq!(layer.all("pad").filter_map(|f| f.value.integer()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(layer.last("flag").unwrap().value.flag(), Some(true));
        assert_eq!(layer.last("v").unwrap().value.integer(), Some(-1));
        assert_eq!(layer.last("w").unwrap().value.real(), Some(f64::from(0.01f32)));
        assert_eq!(layer.last("k"), None);
        assert_eq!(layer.fields[0].at, Some(Position { line: 4, column: 15 }));
        assert_eq!(root.messages("x.y/z").next().unwrap().text("c"), Some("d:\\data"));
    }

    #[test]
    fn errors_point_at_the_place() {
        for (text, expected) in [
            ("layer {\n  name: \"a\"\n", "line 1, column 7: this message is never closed"),
            ("layer { name: 'a\n' }", "line 1, column 15: this string is not closed on its line"),
            ("layer { name: 'a", "line 1, column 15: this string is never closed"),
            ("a: '\\400'", "line 1, column 9: an octal escape above \\377"),
            ("a: '\\377'", "line 1, column 4: the escapes of this string make no UTF-8"),
            ("\n}", "line 2, column 1: expected the name of a field, found '}'"),
            ("layer >", "line 1, column 7: expected a value, found '>'"),
            ("layer { >", "line 1, column 9: expected the name of a field, found '>'"),
            ("a: [1, 2", "line 1, column 9: expected ']' or another item of the list"),
            ("a: [{}", "line 1, column 7: expected ']' or another item of the list"),
            ("a:", "line 1, column 3: the text ends where a value should stand"),
            ("a: -", "line 1, column 5: expected a value, found the end"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
        }
        let error = parse(b"name: 'x'\n  input: '\xff'").unwrap_err().to_string();
        assert!(error.starts_with("line 2, column 11: the byte \\xff is not UTF-8"), "{error}");
    }

    #[test]
    fn bombs_are_refused() {
        for open in ["a {", "a: [ {", "a <"] {
            let message = parse(open.repeat(100_000).as_bytes()).unwrap_err().message;
            assert_eq!(message, "messages nest deeper than 100", "{open}");
        }
        let message = parse("a:1 ".repeat(MAX_FIELDS + 1).as_bytes()).unwrap_err().message;
        assert_eq!(message, "the text holds more than 1048576 fields");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_text_is_an_answer_or_an_error(text in "[a-c:;,{}<>\\[\\]\"'\\\\ \n#0-9.+-]*") {
            let _ = parse(text.as_bytes());
        }
    }
}
