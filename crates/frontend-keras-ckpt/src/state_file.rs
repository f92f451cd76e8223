//! The `checkpoint` state file: a text proto that names the newest checkpoint of a folder.

/// The value of `model_checkpoint_path` in the text of a state file; `None` when the text is no state file.
pub(crate) fn model_checkpoint_path(text: &str) -> Option<String> {
    let mut rest = text;
    let mut path = None;
    loop {
        rest = skip_space(rest);
        if rest.is_empty() {
            return path;
        }
        let name_len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let (name, after) = rest.split_at(name_len);
        rest = skip_space(skip_space(after).strip_prefix(':')?);
        if rest.starts_with(['"', '\'']) {
            let value = take_string(&mut rest)?;
            if name == "model_checkpoint_path" {
                path = Some(value);
            }
        } else {
            // A number, such as the time stamps.
            let len = rest.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(rest.len());
            rest[..len].parse::<f64>().ok()?;
            rest = &rest[len..];
        }
    }
}

fn skip_space(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == ';');
        match text.strip_prefix('#') {
            Some(comment) => text = comment.split_once('\n').map_or("", |(_, after)| after),
            None => return text,
        }
    }
}

/// Takes a quoted string off the front, its C escapes resolved.
fn take_string(text: &mut &str) -> Option<String> {
    let bytes = text.as_bytes();
    let quote = bytes[0];
    let mut value = Vec::new();
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\n' => return None,
            byte if byte == quote => {
                *text = &text[at + 1..];
                return String::from_utf8(value).ok();
            }
            b'\\' => {
                let digits = |from: usize, most: usize, radix: u32| {
                    bytes[from..].iter().take(most).take_while(|b| char::from(**b).is_digit(radix)).count()
                };
                let code = |from: usize, len: usize, radix| {
                    std::str::from_utf8(&bytes[from..from + len])
                        .ok()
                        .and_then(|text| u8::from_str_radix(text, radix).ok())
                };
                let escape = *bytes.get(at + 1)?;
                let (byte, len) = match escape {
                    b'n' => (b'\n', 2),
                    b't' => (b'\t', 2),
                    b'r' => (b'\r', 2),
                    b'\\' | b'"' | b'\'' | b'?' => (escape, 2),
                    b'0'..=b'7' => {
                        let len = digits(at + 1, 3, 8);
                        (code(at + 1, len, 8)?, 1 + len)
                    }
                    b'x' => {
                        let len = digits(at + 2, 2, 16);
                        (code(at + 2, len, 16)?, 2 + len)
                    }
                    _ => return None,
                };
                value.push(byte);
                at += len;
            }
            byte => {
                value.push(byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_checkpoint_is_found_in_any_layout_of_the_text() {
        for (text, path) in [
            (
                "model_checkpoint_path: \"m.ckpt-9\"\nall_model_checkpoint_paths: \"m.ckpt-1\"\n\
                 all_model_checkpoint_timestamps: 1.5e9\nlast_preserved_timestamp: 1699.25\n",
                Some("m.ckpt-9"),
            ),
            ("# newest\nall_model_checkpoint_paths:'x' model_checkpoint_path : 'a b' # end", Some("a b")),
            (r#"model_checkpoint_path: "C:\\nets\\m\303\251.ckpt\x41""#, Some("C:\\nets\\mé.ckptA")),
            ("all_model_checkpoint_paths: \"x\"", None),
            ("", None),
            ("model_checkpoint_path: \"open", None),
            ("model_checkpoint_path: \"bad\\q\"", None),
            ("model_checkpoint_path \"x\"", None),
            ("model_checkpoint_path: \"\\777\"", None),
            ("\u{7f}ELF", None),
        ] {
            assert_eq!(model_checkpoint_path(text).as_deref(), path, "{text}");
        }
    }
}
