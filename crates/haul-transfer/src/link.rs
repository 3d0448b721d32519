//! The links of a `Link` header, read from foreign bytes (RFC 8288 section 3 and appendix B.2).
//!
//! Reading is lenient where the field is sloppy and never fails: what is no link is passed over.

use crate::disposition::quoted_string;

/// One link: where it leads, and what it says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    /// The reference between `<` and `>`, which may be relative.
    pub(crate) target: &'a [u8],
    parameters: Vec<Parameter<'a>>,
}

/// A name and its value.
type Parameter<'a> = (&'a [u8], Vec<u8>);

impl Link<'_> {
    /// The value of a parameter, empty where it has none. Of several of one name the first counts.
    pub(crate) fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().find(|(given, _)| given.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }

    /// Tells whether this is one of its relation types.
    pub(crate) fn is(&self, relation: &str) -> bool {
        let relations = self.parameter("rel").unwrap_or_default().split(u8::is_ascii_whitespace);
        relations.into_iter().any(|given| given.eq_ignore_ascii_case(relation.as_bytes()))
    }
}

/// The links of one field value, in order.
pub(crate) fn links(header: &[u8]) -> impl Iterator<Item = Link<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|&byte| byte == b'<')? + 1;
        let length = rest[start..].iter().position(|&byte| byte == b'>')?;
        let (parameters, after) = parameters(&rest[start + length + 1..]);
        let target = &rest[start..start + length];
        rest = after;
        Some(Link { target, parameters })
    })
}

/// Reads `;name=value` up to the comma that ends the link, which may also stand in a quoted value.
fn parameters(input: &[u8]) -> (Vec<Parameter<'_>>, &[u8]) {
    let mut parameters = Vec::new();
    let mut rest = input;
    loop {
        let Some(at) = rest.iter().position(|byte| matches!(byte, b';' | b',')) else {
            return (parameters, &[]);
        };
        let is_last = rest[at] == b',';
        rest = &rest[at + 1..];
        if is_last {
            return (parameters, rest);
        }
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b';' | b',')).unwrap_or(rest.len());
        let name = rest[..end].trim_ascii();
        rest = &rest[end..];
        let mut value = Vec::new();
        if let Some(after) = rest.strip_prefix(b"=") {
            (value, rest) = parameter_value(after.trim_ascii_start());
        }
        parameters.push((name, value));
    }
}

fn parameter_value(input: &[u8]) -> (Vec<u8>, &[u8]) {
    if let Some(quoted) = input.strip_prefix(b"\"") {
        return quoted_string(quoted);
    }
    let end = input.iter().position(|byte| matches!(byte, b';' | b',')).unwrap_or(input.len());
    (input[..end].trim_ascii().to_vec(), &input[end..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(header: &str) -> Vec<(String, String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let of = |link: Link<'_>| {
            (text(link.target), text(link.parameter("rel").unwrap_or_default()), link.parameter("pri").map(text))
        };
        links(header.as_bytes()).map(of).collect()
    }

    #[test]
    fn links_are_read_as_the_rfc_and_the_field_write_them() {
        let link =
            |target: &str, rel: &str, pri: Option<&str>| (target.to_owned(), rel.to_owned(), pri.map(str::to_owned));
        for (header, found) in [
            ("<http://a/x>; rel=duplicate", vec![link("http://a/x", "duplicate", None)]),
            ("<a> ; REL = \"duplicate next\" ;pri= 2", vec![link("a", "duplicate next", Some("2"))]),
            ("<a,b;c>;rel=x,<d>;rel=y;pri=1", vec![link("a,b;c", "x", None), link("d", "y", Some("1"))]),
            ("<a>; title=\"q, <b>; \\\"rel=no\"; rel=x, <c>", vec![link("a", "x", None), link("c", "", None)]),
            ("<a>; rel=x; rel=y", vec![link("a", "x", None)]),
            ("<a>; pref; pri", vec![link("a", "", Some(""))]),
            ("<a>;;rel=x,", vec![link("a", "x", None)]),
            (",, <a>; rel=\"x\"junk; pri=3", vec![link("a", "x", Some("3"))]),
            ("<>; rel=x", vec![link("", "x", None)]),
            ("no link at all; rel=duplicate, <open; rel=duplicate", vec![]),
            ("<a>; title=\"open, <b>; rel=x", vec![link("a", "", None)]),
            ("", vec![]),
        ] {
            assert_eq!(read(header), found, "{header}");
        }
    }

    #[test]
    fn a_relation_is_one_of_several_words_in_any_case() {
        let is = |rel: &str| links(format!("<a>; rel={rel}").as_bytes()).all(|link| link.is("duplicate"));
        assert!(is("duplicate") && is("\"next Duplicate\""));
        assert!(!is("duplicates") && !is("\"\"") && !is("\"next\""));
    }

    proptest! {
        #[test]
        fn hostile_headers_do_no_harm(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "(<|>|;|,|\"|\\\\|=| |rel|duplicate|é){0,80}".prop_map(String::into_bytes),
            ],
        ) {
            for link in links(&bytes) {
                prop_assert!(!link.target.contains(&b'>'));
                prop_assert!(link.parameters.iter().all(|(name, _)| !name.contains(&b';')));
            }
        }
    }
}
