//! Messages as trees of named fields: what the text form and the binary form of a network both become.

use bytes::Bytes;
use std::{borrow::Cow, fmt};

/// Files that hold more fields than this are refused: a network of ten thousand layers has a fifth of it.
pub(crate) const MAX_FIELDS: usize = 1 << 20;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A number or the name of an enum's value, as a text has it.
    Word(String),
    /// A string.
    Text(String),
    /// An integer, a flag or an enum's value of a binary file.
    Integer(i64),
    /// A float of a binary file.
    Real(f64),
    /// Weights of a binary file, not looked at yet.
    Blob(Bytes),
    /// Fields.
    Message(Message),
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Word(word) => shorten(word),
            Self::Text(text) => format!("\"{}\"", shorten(text)),
            Self::Integer(value) => value.to_string(),
            Self::Real(value) => value.to_string(),
            Self::Blob(_) => "weights".to_owned(),
            Self::Message(_) => "a message".to_owned(),
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Word(word) => integer(word),
            _ => None,
        }
    }

    pub(crate) fn real(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            // Numbers were floats in Caffe: 0.1 is the float nearest to it.
            Self::Word(word) => real(word).map(|value| f64::from(value as f32)),
            _ => None,
        }
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        match self {
            Self::Integer(value) => Some(*value != 0),
            Self::Word(word) => match word.to_ascii_lowercase().as_str() {
                "true" | "t" | "1" => Some(true),
                "false" | "f" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A string; a bare word will do.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Word(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn message(&self) -> Option<&Message> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}

fn integer(word: &str) -> Option<i64> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let value = match hex {
        Some(hex) => i128::from(u64::from_str_radix(hex, 16).ok()?),
        None if digits.len() > 1 && digits.starts_with('0') && !digits.contains(['.', 'e', 'E']) => {
            i128::from(u64::from_str_radix(digits, 8).ok()?)
        }
        None => match digits.parse::<u64>() {
            Ok(value) => i128::from(value),
            // 2.0 where an integer should stand: only one value can be meant.
            Err(_) => {
                let value = real(digits).filter(|v| v.fract() == 0.0 && v.abs() < 9e15)?;
                value as i128
            }
        },
    };
    i64::try_from(sign * value).ok()
}

fn real(word: &str) -> Option<f64> {
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

/// One field; a field that repeats stands several times in its message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: Cow<'static, str>,
    pub(crate) value: Value,
    /// Where a text has it; nothing for binary files.
    pub(crate) at: Option<Position>,
}

impl Field {
    pub(crate) fn new(name: &'static str, value: Value, at: Option<Position>) -> Self {
        Self { name: Cow::Borrowed(name), value, at }
    }

    /// `line 3, column 5: ` in front of what is wrong with it.
    pub(crate) fn wrong(&self, expected: &str) -> String {
        let place = self.at.map(|at| format!("{at}: ")).unwrap_or_default();
        format!("{place}`{}` is {}, expected {expected}", self.name, self.value.shown())
    }
}

/// Fields in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Message {
    pub(crate) fields: Vec<Field>,
}

impl Message {
    /// Every field of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.name == name)
    }

    /// The field of a name: of several the last counts.
    pub(crate) fn last(&self, name: &str) -> Option<&Field> {
        self.fields.iter().rfind(|field| field.name == name)
    }

    /// The messages of a name.
    pub(crate) fn messages<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Message> {
        self.all(name).filter_map(|field| field.value.message())
    }

    /// The strings of a name; bare words count as strings.
    pub(crate) fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).filter_map(|field| field.value.text())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.last(name)?.value.text()
    }

    pub(crate) fn push(&mut self, name: &'static str, value: Value, at: Option<Position>) {
        self.fields.push(Field::new(name, value, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_what_is_asked_for() {
        let word = |text: &str| Value::Word(text.to_owned());
        for (text, value) in
            [("12", 12), ("-3", -3), ("0x1F", 31), ("010", 8), ("0", 0), ("2.0", 2), ("+4", 4)]
        {
            assert_eq!(word(text).integer(), Some(value), "{text}");
        }
        for text in ["1.5", "x", "", "99999999999999999999", "0x", "08", "nan"] {
            assert_eq!(word(text).integer(), None, "{text}");
        }
        for (text, value) in
            [(".25", 0.25), ("1e-2f", f64::from(0.01f32)), ("-inf", f64::NEG_INFINITY), ("3", 3.0)]
        {
            assert_eq!(word(text).real(), Some(value), "{text}");
        }
        assert_eq!(word("TRUE").flag(), Some(true));
        assert_eq!(word("f").flag(), Some(false));
        assert_eq!(word("maybe").flag(), None);
    }
}
