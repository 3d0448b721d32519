//! Foreign text and URLs in a form that may be shown: no secret, no control character, not without end.

use std::fmt::{self, Write as _};

use url::Url;

/// Shows a URL without what may be secret: no userinfo, `?…` instead of the query, no fragment.
#[derive(Clone, Copy)]
pub struct Masked<'a>(pub &'a Url);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.0;
        write!(f, "{}://", url.scheme())?;
        if let Some(host) = url.host_str() {
            Escaped(host.as_bytes()).fmt(f)?;
        }
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        Escaped(url.path().as_bytes()).fmt(f)?;
        if url.query().is_some() {
            f.write_str("?…")?;
        }
        Ok(())
    }
}

/// The same: a derived one would show everything.
impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shows foreign bytes on one line: what is not plain printable text is escaped, and after 200 characters it ends.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = SHOWN_CHARS;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if left == 0 {
                    return f.write_char('…');
                }
                left -= 1;
                if character.is_control() || crate::name::is_invisible(character) {
                    write!(f, "{}", character.escape_unicode())?;
                } else {
                    f.write_char(character)?;
                }
            }
            for byte in chunk.invalid() {
                if left == 0 {
                    return f.write_char('…');
                }
                left -= 1;
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters of a foreign text that are shown; a guess at what still helps.
const SHOWN_CHARS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_userinfo_query_or_fragment() {
        let url = Url::parse("https://ann:canary@host:8443/a%20b?token=canary#canary").expect("a URL");
        assert_eq!(Masked(&url).to_string(), "https://host:8443/a%20b?…");
        assert_eq!(format!("{:?}", Masked(&url)), "https://host:8443/a%20b?…");
    }

    #[test]
    fn f_sec_18_control_and_bidi_characters_are_escaped() {
        let shown = Escaped(b"a\r\n\x1b[31m\xe2\x80\xae\xff").to_string();
        assert_eq!(shown, "a\\u{d}\\u{a}\\u{1b}[31m\\u{202e}\\xff");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(Escaped(&[b'a'; 1000]).to_string().chars().count(), 201);
        let long = "a".repeat(1000);
        let url = Url::parse(&format!("http://{long}/{long}")).expect("a URL");
        assert_eq!(Masked(&url).to_string().chars().count(), "http://".len() + 201 + 201);
    }
}
