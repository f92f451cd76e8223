//! Attributes: the text forms of what op structs hold, and the visitor that reads and writes them.

use crate::{ElementType, Layout, PartialShape};
use std::fmt::Display;

/// A value that can stand in an op's attribute.
pub trait Attribute {
    /// The text that goes into the file.
    fn to_text(&self) -> String;
    /// Replaces the value by what `text` says; on failure, what was expected.
    fn parse(&mut self, text: &str) -> Result<(), &'static str>;
}

/// Walks over the attributes of an op. One implementation reads, one writes: see [`read`] and [`write()`].
pub trait Visitor {
    /// An attribute that must be present in a file.
    fn required(&mut self, name: &'static str, value: &mut dyn Attribute);
    /// An attribute that may be absent; the value then stays as it is.
    fn optional(&mut self, name: &'static str, value: &mut dyn Attribute);
}

/// A missing or malformed attribute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// A required attribute is not there.
    #[error("attribute `{name}` is missing")]
    Missing {
        /// The attribute.
        name: &'static str,
    },
    /// The text is not of the attribute's form.
    #[error("attribute `{name}` is `{text}`, expected {expected}")]
    Malformed {
        /// The attribute.
        name: &'static str,
        /// What the file says.
        text: String,
        /// What could stand there.
        expected: &'static str,
    },
}

/// Something with attributes.
pub trait Visit {
    /// Shows every attribute to the visitor, in the order in which files hold them.
    fn visit(&mut self, visitor: &mut dyn Visitor);
}

/// Fills `target` from name-value pairs; returns those that nobody asked for.
pub fn read(
    target: &mut dyn FnMut(&mut dyn Visitor),
    pairs: &[(String, String)],
) -> Result<Vec<(String, String)>, AttributeError> {
    struct Reader<'a> {
        pairs: &'a [(String, String)],
        taken: Vec<bool>,
        error: Option<AttributeError>,
    }
    impl Reader<'_> {
        fn take(&mut self, name: &'static str, value: &mut dyn Attribute) -> bool {
            let Some(i) = self.pairs.iter().position(|(key, _)| key == name) else { return false };
            self.taken[i] = true;
            let text = &self.pairs[i].1;
            if let Err(expected) = value.parse(text) {
                let error = AttributeError::Malformed { name, text: text.clone(), expected };
                self.error.get_or_insert(error);
            }
            true
        }
    }
    impl Visitor for Reader<'_> {
        fn required(&mut self, name: &'static str, value: &mut dyn Attribute) {
            if !self.take(name, value) {
                self.error.get_or_insert(AttributeError::Missing { name });
            }
        }
        fn optional(&mut self, name: &'static str, value: &mut dyn Attribute) {
            self.take(name, value);
        }
    }
    let mut reader = Reader { pairs, taken: vec![false; pairs.len()], error: None };
    target(&mut reader);
    match reader.error {
        Some(error) => Err(error),
        None => {
            Ok(pairs.iter().zip(reader.taken).filter(|(_, taken)| !taken).map(|(p, _)| p.clone()).collect())
        }
    }
}

/// The name-value pairs of `target`, in visiting order.
pub fn write(target: &mut dyn FnMut(&mut dyn Visitor)) -> Vec<(&'static str, String)> {
    struct Writer(Vec<(&'static str, String)>);
    impl Visitor for Writer {
        fn required(&mut self, name: &'static str, value: &mut dyn Attribute) {
            self.0.push((name, value.to_text()));
        }
        fn optional(&mut self, name: &'static str, value: &mut dyn Attribute) {
            self.required(name, value);
        }
    }
    let mut writer = Writer(Vec::new());
    target(&mut writer);
    writer.0
}

macro_rules! numbers {
    ($($ty:ty, $expected:literal);*) => { $(
        impl Attribute for $ty {
            fn to_text(&self) -> String {
                self.to_string()
            }
            fn parse(&mut self, text: &str) -> Result<(), &'static str> {
                *self = text.trim().parse().map_err(|_| $expected)?;
                Ok(())
            }
        }
        impl Attribute for Vec<$ty> {
            fn to_text(&self) -> String {
                join(self)
            }
            fn parse(&mut self, text: &str) -> Result<(), &'static str> {
                let text = text.trim();
                let parts = text.split(',').filter(|_| !text.is_empty());
                *self = parts.map(|p| p.trim().parse().map_err(|_| concat!("a list: ", $expected))).collect::<Result<_, _>>()?;
                Ok(())
            }
        }
    )* };
}
numbers!(i64, "an integer"; usize, "an integer of at least 0"; f32, "a number"; f64, "a number");

fn join<T: Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

impl Attribute for bool {
    fn to_text(&self) -> String {
        self.to_string()
    }
    fn parse(&mut self, text: &str) -> Result<(), &'static str> {
        *self = match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err("true or false"),
        };
        Ok(())
    }
}

impl Attribute for String {
    fn to_text(&self) -> String {
        self.clone()
    }
    fn parse(&mut self, text: &str) -> Result<(), &'static str> {
        *self = text.to_owned();
        Ok(())
    }
}

impl Attribute for ElementType {
    fn to_text(&self) -> String {
        self.name().to_owned()
    }
    fn parse(&mut self, text: &str) -> Result<(), &'static str> {
        *self = Self::parse(text.trim()).ok_or("an element type such as f32, f16, i64, boolean")?;
        Ok(())
    }
}

/// Without brackets, as files hold it: `1,3,?,8..16`; a scalar is empty.
impl Attribute for PartialShape {
    fn to_text(&self) -> String {
        self.to_string().trim_matches(['[', ']']).to_owned()
    }
    fn parse(&mut self, text: &str) -> Result<(), &'static str> {
        *self = text.parse().map_err(|_| "a shape such as `1,3,?,8..16`")?;
        Ok(())
    }
}

impl Attribute for Layout {
    fn to_text(&self) -> String {
        self.to_string()
    }
    fn parse(&mut self, text: &str) -> Result<(), &'static str> {
        *self = text.parse().map_err(|_| "a layout such as `[N,C,H,W]`")?;
        Ok(())
    }
}

/// Declares an enum whose variants have a text form in attributes.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal $(| $alias:literal)*),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $crate::attribute::Attribute for $name {
            fn to_text(&self) -> String {
                match self { $(Self::$variant => $text),* }.to_owned()
            }
            fn parse(&mut self, text: &str) -> Result<(), &'static str> {
                *self = match text.trim() {
                    $($text $(| $alias)* => Self::$variant,)*
                    _ => return Err(concat!("one of" $(, " ", $text)*)),
                };
                Ok(())
            }
        }
    };
}
pub(crate) use text_enum;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_reports_what_is_missing_malformed_and_left_over() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
        };
        let (mut axis, mut keep, mut list) = (0i64, false, Vec::<usize>::new());
        let mut visit = |v: &mut dyn Visitor| {
            v.required("axis", &mut axis);
            v.optional("keep_dims", &mut keep);
            v.optional("kernel", &mut list);
        };
        let left = read(&mut visit, &pairs(&[("axis", "-1"), ("new", "x"), ("kernel", "2, 3")])).unwrap();
        assert_eq!(left, pairs(&[("new", "x")]));
        let missing = read(&mut visit, &[]).unwrap_err();
        assert_eq!(missing.to_string(), "attribute `axis` is missing");
        let bad = read(&mut visit, &pairs(&[("axis", "1"), ("kernel", "2,x")])).unwrap_err();
        assert_eq!(bad.to_string(), "attribute `kernel` is `2,x`, expected a list: an integer of at least 0");
        assert_eq!(
            write(&mut visit),
            [("axis", "1".into()), ("keep_dims", "false".into()), ("kernel", "2,3".into())]
        );
    }
}
