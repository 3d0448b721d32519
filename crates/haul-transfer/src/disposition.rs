//! The file name in a `Content-Disposition`, read from foreign bytes (RFC 6266, RFC 8187).
//!
//! `filename*` comes first, then `filename`; the disposition's type does not matter. Reading is lenient where the
//! field is sloppy (a missing type, an open quote, a quoted `filename*`) and never fails: at worst there is no name.

use percent_encoding::percent_decode;

/// The name that the header proposes, decoded but not yet safe to use: see [`repair`](crate::repair).
#[must_use]
pub fn file_name(header: &[u8]) -> Option<String> {
    let mut plain = None;
    let mut extended = None;
    let mut rest = header;
    while !rest.is_empty() {
        let (name, value, after) = parameter(rest);
        rest = after;
        if name.eq_ignore_ascii_case(b"filename*") && extended.is_none() {
            extended = extended_value(&value);
        } else if name.eq_ignore_ascii_case(b"filename") && plain.is_none() {
            plain = Some(text(&value));
        }
    }
    let not_blank = |name: &String| !name.trim().is_empty();
    extended.filter(not_blank).or(plain.filter(not_blank))
}

/// Bytes as text: UTF-8 where they are, else ISO-8859-1, the two that are seen in the field.
pub(crate) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => latin_1(bytes),
    }
}

/// Splits off one `name=value` (or a word without a value, such as the type) up to the next `;`.
fn parameter(input: &[u8]) -> (&[u8], Vec<u8>, &[u8]) {
    let stop = input.iter().position(|byte| matches!(byte, b'=' | b';'));
    let Some(stop) = stop else {
        return (input.trim_ascii(), Vec::new(), &[]);
    };
    let (name, rest) = (input[..stop].trim_ascii(), &input[stop + 1..]);
    if input[stop] == b';' {
        return (name, Vec::new(), rest);
    }
    let rest = rest.trim_ascii_start();
    match rest.split_first() {
        Some((b'"', quoted)) => {
            let (value, rest) = quoted_string(quoted);
            (name, value, after_semicolon(rest).1)
        }
        Some(_) | None => {
            let (value, rest) = after_semicolon(rest);
            (name, value.trim_ascii().to_vec(), rest)
        }
    }
}

fn after_semicolon(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|&byte| byte == b';') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}

/// Reads up to the closing quote, or to the end where there is none.
pub(crate) fn quoted_string(input: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::with_capacity(input.len());
    let mut bytes = input.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => value.extend(bytes.next()),
            byte => value.push(byte),
        }
    }
    (value, bytes.as_slice())
}

/// `charset'language'percent-encoded`, in one of the two charsets that RFC 8187 knows.
fn extended_value(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |&byte| byte == b'\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes: Vec<u8> = percent_decode(encoded).collect();
    if charset.eq_ignore_ascii_case(b"utf-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        Some(latin_1(&bytes))
    } else {
        None
    }
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_the_rfcs_and_the_field_write_them() {
        for (header, name) in [
            (&b"attachment; filename=plain.bin"[..], Some("plain.bin")),
            (b"attachment; filename=\"a b.txt\"", Some("a b.txt")),
            (br#"attachment; filename="a;b \"c\".txt"; size=3"#, Some("a;b \"c\".txt")),
            (b"inline; FileName = x.iso ; other", Some("x.iso")),
            (b"filename=bare.bin", Some("bare.bin")),
            (b"attachment; filename=\"open", Some("open")),
            (b"attachment; filename=\"caf\xc3\xa9\"", Some("café")),
            (b"attachment; filename=\"caf\xe9\"", Some("café")),
            (b"attachment; filename=a; filename=b", Some("a")),
            (b"attachment; filename=a.txt; filename*=UTF-8''%e2%82%ac.txt", Some("€.txt")),
            (b"attachment; filename*=iso-8859-1'en'%A3.txt; filename=a", Some("£.txt")),
            (b"attachment; filename*=\"utf-8''q.txt\"", Some("q.txt")),
            (b"attachment; filename*=koi8-r''%A3.txt; filename=a", Some("a")),
            (b"attachment; filename*=utf-8''%ff; filename=a", Some("a")),
            (b"attachment; filename*=nonsense; filename=a", Some("a")),
            (b"attachment; filename=\"\"; x=y", None),
            (b"attachment", None),
            (b"", None),
        ] {
            assert_eq!(file_name(header).as_deref(), name, "{}", text(header));
        }
    }

    proptest! {
        #[test]
        fn random_bytes_do_no_harm(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "(attachment)?[; ]{0,3}(filename\\*?)?[= ]{0,2}\"?[a-z\\\\;\"'%=]{0,30}".prop_map(String::into_bytes),
        ]) {
            let name = file_name(&bytes);
            prop_assert!(name.is_none_or(|name| !name.trim().is_empty()));
        }
    }
}
