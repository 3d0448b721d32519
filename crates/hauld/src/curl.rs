//! A command line of curl, as browsers copy it ("Copy as cURL"), as a job.
//!
//! It is read as bash would read it, but nothing is ever carried out: there are no variables and no commands in it. What
//! of it cannot be honoured is an error that names the option; what has no bearing on a download is passed over.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haul_api::{IpVersion, Method, Rate, RequestBody, SubmitJob};

/// Why a command line cannot be used. No text repeats a value: it may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CurlError {
    /// It is not UTF-8, or holds characters that no command line has.
    #[error("the command line of curl is not text")]
    NotText,
    /// It is not curl that is called.
    #[error("a command line of curl begins with `curl`")]
    NotCurl,
    /// A quote has no end, or the like.
    #[error("the command line of curl cannot be read: {0}")]
    Shell(&'static str),
    /// There is no URL.
    #[error("the command line of curl names no URL")]
    NoUrl,
    /// There is more than one.
    #[error("the command line of curl names more than one URL; submit them one by one")]
    ManyUrls,
    /// An option that is not known.
    #[error("the option `{0}` of curl cannot be honoured")]
    Option(String),
    /// An option without its value, or with one that is none.
    #[error("the option `{0}` of curl {1}")]
    Value(String, &'static str),
}

/// Command lines longer than this are mistakes. A guess: a cookie may be long, and a body longer.
const BYTES_MAX: usize = 1 << 20;

/// How much of an option's name is told.
const NAME_CHARS_MAX: usize = 40;

/// Reads a command line.
///
/// # Errors
///
/// [`CurlError`], which names the option that is to blame.
pub fn read(bytes: &[u8]) -> Result<SubmitJob, CurlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CurlError::NotText)?;
    if bytes.len() > BYTES_MAX || text.contains('\0') {
        return Err(CurlError::NotText);
    }
    let mut words = words(text)?.into_iter();
    let program = words.next().unwrap_or_default();
    if !matches!(program.rsplit('/').next(), Some("curl" | "curl.exe")) {
        return Err(CurlError::NotCurl);
    }
    let mut command = Command::default();
    let mut only_urls = false;
    while let Some(word) = words.next() {
        if only_urls || !word.starts_with('-') || word == "-" {
            command.url(word)?;
        } else if word == "--" {
            only_urls = true;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let known = LONG.iter().find(|(known, _)| *known == name).map(|(_, short)| *short);
            command.option(known.unwrap_or(name), &word_name("--", name), &mut || {
                value.clone().or_else(|| words.next())
            })?;
        } else {
            command.short(&word[1..], &mut words)?;
        }
    }
    command.into_job()
}

/// Long options that have a short one.
const LONG: [(&str, &str); 28] = [
    ("header", "H"),
    ("cookie", "b"),
    ("user-agent", "A"),
    ("referer", "e"),
    ("user", "u"),
    ("request", "X"),
    ("data", "d"),
    ("data-ascii", "d"),
    ("proxy", "x"),
    ("insecure", "k"),
    ("output", "o"),
    ("remote-name", "O"),
    ("remote-header-name", "J"),
    ("location", "L"),
    ("silent", "s"),
    ("show-error", "S"),
    ("verbose", "v"),
    ("include", "i"),
    ("fail", "f"),
    ("globoff", "g"),
    ("get", "G"),
    ("ipv4", "4"),
    ("ipv6", "6"),
    ("http1.1", "0"),
    ("no-buffer", "N"),
    ("progress-bar", "#"),
    ("continue-at", "C"),
    ("proxy-user", "U"),
];

/// What a command line has said so far.
#[derive(Default)]
struct Command {
    job: SubmitJob,
    headers: Vec<(String, String)>,
    method: Option<String>,
    data: Option<Vec<u8>>,
    /// The data belong into the URL (`-G`).
    data_in_url: bool,
    is_json: bool,
    user: Option<String>,
    proxy_user: Option<String>,
}

type Next<'a> = &'a mut dyn FnMut() -> Option<String>;

impl Command {
    fn url(&mut self, word: String) -> Result<(), CurlError> {
        if self.job.url.is_some() {
            return Err(CurlError::ManyUrls);
        }
        // As curl guesses it.
        let has_scheme = word.contains("://");
        self.job.url = Some(if has_scheme { word } else { format!("http://{word}") });
        Ok(())
    }

    /// Several short options in one word; one that wants a value takes what is left of it, else the next word.
    fn short(&mut self, word: &str, words: &mut std::vec::IntoIter<String>) -> Result<(), CurlError> {
        let mut rest = word.chars();
        while let Some(letter) = rest.next() {
            let mut buffer = [0; 4];
            let name: &str = letter.encode_utf8(&mut buffer);
            let left = rest.as_str();
            let mut has_taken = false;
            self.option(name, &word_name("-", name), &mut || {
                has_taken = true;
                if left.is_empty() { words.next() } else { Some(left.to_owned()) }
            })?;
            if has_taken {
                break;
            }
        }
        Ok(())
    }

    fn option(&mut self, name: &str, shown: &str, next: Next<'_>) -> Result<(), CurlError> {
        let mut value = || next().ok_or_else(|| CurlError::Value(shown.to_owned(), "has no value"));
        let wrong = |what| CurlError::Value(shown.to_owned(), what);
        match name {
            "H" => {
                let line = value()?;
                match line.split_once(':') {
                    Some((name, text)) if !text.trim().is_empty() => self.header(name.trim(), text.trim()),
                    // curl leaves a header away whose value is empty.
                    Some(_) => {}
                    None => return Err(wrong("must be a name, a colon and a value")),
                }
            }
            "b" => {
                let text = value()?;
                if !text.contains('=') {
                    return Err(wrong("names a file; only cookies themselves can be read"));
                }
                self.header("Cookie", &text);
            }
            "A" => self.job.user_agent = Some(value()?),
            "e" => {
                let text = value()?;
                let url = text.strip_suffix(";auto").unwrap_or(&text);
                self.job.referrer = (!url.is_empty()).then(|| url.to_owned());
            }
            "u" => self.user = Some(value()?),
            "U" => self.proxy_user = Some(value()?),
            "X" => self.method = Some(value()?.to_ascii_uppercase()),
            "d" | "data-binary" => {
                let text = value()?;
                if text.starts_with('@') {
                    return Err(wrong("names a file; only data themselves can be read"));
                }
                self.data(&text);
            }
            "data-raw" => self.data(&value()?),
            "json" => {
                let text = value()?;
                if text.starts_with('@') {
                    return Err(wrong("names a file; only data themselves can be read"));
                }
                self.is_json = true;
                self.data.get_or_insert_default().extend(text.into_bytes());
            }
            "data-urlencode" => {
                let text = value()?;
                let at = text.find(['=', '@']);
                match at.map(|at| (&text[..at], &text[at..=at], &text[at + 1..])) {
                    Some((_, "@", _)) => return Err(wrong("names a file; only data themselves can be read")),
                    Some(("", _, content)) => self.data(&url_encoded(content)),
                    Some((name, _, content)) => self.data(&format!("{name}={}", url_encoded(content))),
                    None => self.data(&url_encoded(&text)),
                }
            }
            "G" => self.data_in_url = true,
            "url" => self.url(value()?)?,
            "x" => {
                let text = value()?;
                self.job.proxy = Some(match text.as_str() {
                    "" => "none".to_owned(),
                    text if text.contains("://") => text.to_owned(),
                    text => format!("http://{text}"),
                });
            }
            "socks5" => self.job.proxy = Some(format!("socks5://{}", value()?)),
            "socks5-hostname" => self.job.proxy = Some(format!("socks5h://{}", value()?)),
            "noproxy" => self.job.no_proxy = Some(value()?),
            "k" => self.job.insecure = Some(true),
            "4" => self.job.ip_version = Some(IpVersion::V4),
            "6" => self.job.ip_version = Some(IpVersion::V6),
            "o" => {
                let path = value()?;
                let name = path.rsplit('/').next().unwrap_or_default();
                if name.is_empty() || path == "-" {
                    return Err(wrong("must name a file"));
                }
                self.job.filename = Some(name.to_owned());
                let dir = path[..path.len() - name.len()].trim_end_matches('/');
                if !dir.is_empty() {
                    self.job.dir = Some(dir.to_owned());
                }
            }
            "limit-rate" => {
                let rate = rate(&value()?).ok_or_else(|| wrong("must be a number of bytes, such as `500K`"))?;
                self.job.bandwidth_limit = Some(rate);
            }
            "interface" => {
                let address =
                    value()?.parse().map_err(|_| wrong("must be an address; names of devices are not known"))?;
                self.job.source_address = Some(address);
            }
            // What haul does anyhow, or what is of no account for a download.
            "L"
            | "s"
            | "S"
            | "v"
            | "i"
            | "f"
            | "g"
            | "O"
            | "J"
            | "N"
            | "#"
            | "0"
            | "compressed"
            | "http1.0"
            | "http2"
            | "http3"
            | "tlsv1.2"
            | "tlsv1.3"
            | "tcp-nodelay"
            | "fail-with-body"
            | "no-progress-meter"
            | "no-keepalive"
            | "http2-prior-knowledge"
            | "create-dirs" => {}
            // So, too, with a value.
            "C" | "retry" | "retry-delay" | "retry-max-time" | "connect-timeout" | "max-time" | "m" | "max-redirs"
            | "keepalive-time" | "speed-limit" | "speed-time" | "Y" | "y" => {
                value()?;
            }
            _ => return Err(CurlError::Option(shown.to_owned())),
        }
        Ok(())
    }

    /// The last of each name counts, but cookies add up.
    fn header(&mut self, name: &str, value: &str) {
        let known = self.headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match known {
            Some((_, known)) if name.eq_ignore_ascii_case("cookie") => *known = format!("{known}; {value}"),
            Some((_, known)) => value.clone_into(known),
            None => self.headers.push((name.to_owned(), value.to_owned())),
        }
    }

    fn data(&mut self, text: &str) {
        let data = self.data.get_or_insert_default();
        if !data.is_empty() {
            data.push(b'&');
        }
        data.extend(text.as_bytes());
    }

    fn into_job(mut self) -> Result<SubmitJob, CurlError> {
        let url = self.job.url.take().ok_or(CurlError::NoUrl)?;
        let data = self.data.take();
        let (url, data) = match data {
            Some(data) if self.data_in_url => {
                let separator = if url.contains('?') { '&' } else { '?' };
                (format!("{url}{separator}{}", String::from_utf8_lossy(&data)), None)
            }
            data => (url, data),
        };
        self.job.url = Some(url);
        match (self.method.as_deref(), data) {
            (None | Some("GET"), None) => {}
            (None | Some("POST"), data) => {
                self.job.method = Some(Method::Post);
                self.job.body = data.map(|data| match String::from_utf8(data) {
                    Ok(text) => RequestBody { text: Some(text), base64: None },
                    Err(error) => RequestBody { text: None, base64: Some(BASE64_STANDARD.encode(error.into_bytes())) },
                });
            }
            (Some("GET"), Some(_)) => {
                return Err(CurlError::Value("-X".to_owned(), "is GET, but there are data to send"));
            }
            (Some(_), _) => return Err(CurlError::Value("-X".to_owned(), "must be GET or POST")),
        }
        if self.is_json && !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            self.header("Content-Type", "application/json");
        }
        if let Some(user) = self.user.take() {
            // As curl does without asking for the password.
            let login = if user.contains(':') { user } else { format!("{user}:") };
            self.header("Authorization", &format!("Basic {}", BASE64_STANDARD.encode(login)));
        }
        if let Some(login) = self.proxy_user.take() {
            let wrong = || CurlError::Value("-U".to_owned(), "needs a proxy that is a URL");
            let proxy = self.job.proxy.as_deref().ok_or_else(wrong)?;
            let mut url = url::Url::parse(proxy).map_err(|_| wrong())?;
            let (user, password) = login.split_once(':').map_or((login.as_str(), None), |(u, p)| (u, Some(p)));
            url.set_username(user).and_then(|()| url.set_password(password)).map_err(|()| wrong())?;
            self.job.proxy = Some(url.into());
        }
        // These are haul's own to set, and what it sends says the same.
        let is_ours = |name: &str| {
            ["accept-encoding", "connection", "host", "content-length", "te", "range", "if-range", "priority"]
                .iter()
                .any(|ours| name.eq_ignore_ascii_case(ours))
        };
        let mut headers = BTreeMap::new();
        for (name, value) in self.headers {
            if name.eq_ignore_ascii_case("user-agent") {
                self.job.user_agent = Some(value);
            } else if name.eq_ignore_ascii_case("referer") {
                self.job.referrer = Some(value);
            } else if !is_ours(&name) {
                headers.insert(name, value);
            }
        }
        self.job.headers = (!headers.is_empty()).then_some(headers);
        Ok(self.job)
    }
}

/// An option as it is told, without a value that may stick to it.
fn word_name(dashes: &str, name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    format!("{dashes}{name}")
}

/// curl's K, M and G are powers of 1024.
fn rate(text: &str) -> Option<u64> {
    let (digits, factor) = match text.chars().last()?.to_ascii_lowercase() {
        'k' => (&text[..text.len() - 1], 1 << 10),
        'm' => (&text[..text.len() - 1], 1 << 20),
        'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let rate = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    Some(Rate(rate).0)
}

fn url_encoded(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, SET).to_string()
}

/// The words of a command line, as bash splits it, without anything being expanded.
fn words(text: &str) -> Result<Vec<String>, CurlError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => single_quoted(&mut chars, word.get_or_insert_default())?,
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '$' if chars.peek() == Some(&'\'') => {
                chars.next();
                ansi_quoted(&mut chars, word.get_or_insert_default())?;
            }
            // `$"…"` is a translated text, which is the text.
            '$' if chars.peek() == Some(&'"') => {}
            '\\' => match chars.next() {
                Some('\n') => {}
                Some('\r') if chars.peek() == Some(&'\n') => {
                    chars.next();
                }
                Some(c) => word.get_or_insert_default().push(c),
                None => {}
            },
            '\n' | ' ' | '\t' | '\r' => {
                words.extend(word.take());
                // Behind its end there may be nothing but blanks.
                if c == '\n' && !words.is_empty() && chars.clone().any(|c| !c.is_whitespace()) {
                    return Err(CurlError::Shell("there is more than one command"));
                }
            }
            ';' | '|' | '&' | '<' | '>' | '(' | ')' | '`' => {
                let rest = chars.clone().all(char::is_whitespace);
                if c == ';' && rest {
                    break;
                }
                return Err(CurlError::Shell("it is more than one command; quote what belongs to it"));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn single_quoted(chars: &mut Chars<'_>, word: &mut String) -> Result<(), CurlError> {
    loop {
        match chars.next() {
            Some('\'') => return Ok(()),
            Some(c) => word.push(c),
            None => return Err(CurlError::Shell("a quote has no end")),
        }
    }
}

fn double_quoted(chars: &mut Chars<'_>, word: &mut String) -> Result<(), CurlError> {
    loop {
        match chars.next() {
            Some('"') => return Ok(()),
            Some('\\') => match chars.next() {
                Some('\n') => {}
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err(CurlError::Shell("a quote has no end")),
            },
            Some('`') => return Err(CurlError::Shell("it holds another command")),
            Some('$') if matches!(chars.peek(), Some('(' | '{')) => {
                return Err(CurlError::Shell("it holds a variable, or another command"));
            }
            Some(c) => word.push(c),
            None => return Err(CurlError::Shell("a quote has no end")),
        }
    }
}

/// `$'…'`: escapes as in C. Bytes that are given by number must make up UTF-8.
fn ansi_quoted(chars: &mut Chars<'_>, word: &mut String) -> Result<(), CurlError> {
    const NO_CHARACTER: CurlError = CurlError::Shell("an escape is no character");
    let mut bytes = Vec::new();
    let push = |bytes: &mut Vec<u8>, c: char| bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
    loop {
        match chars.next() {
            Some('\'') => break,
            Some('\\') => match chars.next() {
                Some('n') => bytes.push(b'\n'),
                Some('t') => bytes.push(b'\t'),
                Some('r') => bytes.push(b'\r'),
                Some('a') => bytes.push(7),
                Some('b') => bytes.push(8),
                Some('e' | 'E') => bytes.push(27),
                Some('f') => bytes.push(12),
                Some('v') => bytes.push(11),
                Some('x') => {
                    bytes.push(u8::try_from(number(chars, 16, 2).ok_or(NO_CHARACTER)?).map_err(|_| NO_CHARACTER)?)
                }
                Some('u') => {
                    let first = number(chars, 16, 4).ok_or(NO_CHARACTER)?;
                    push(&mut bytes, utf16(chars, first).ok_or(NO_CHARACTER)?);
                }
                Some('U') => {
                    let number = number(chars, 16, 8).ok_or(NO_CHARACTER)?;
                    push(&mut bytes, char::from_u32(number).ok_or(NO_CHARACTER)?);
                }
                Some(c @ '0'..='7') => {
                    let mut code = c.to_digit(8).unwrap_or_default();
                    for _ in 0..2 {
                        let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
                        code = code * 8 + digit;
                        chars.next();
                    }
                    bytes.push(u8::try_from(code & 0xff).map_err(|_| NO_CHARACTER)?);
                }
                Some(c @ ('\\' | '\'' | '"' | '?')) => push(&mut bytes, c),
                Some(c) => {
                    bytes.push(b'\\');
                    push(&mut bytes, c);
                }
                None => return Err(CurlError::Shell("a quote has no end")),
            },
            Some(c) => push(&mut bytes, c),
            None => return Err(CurlError::Shell("a quote has no end")),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| NO_CHARACTER)?;
    if text.contains('\0') {
        return Err(NO_CHARACTER);
    }
    word.push_str(&text);
    Ok(())
}

/// Browsers write characters beyond the first plane as two halves, which bash does not know.
fn utf16(chars: &mut Chars<'_>, first: u32) -> Option<char> {
    if let Some(c) = char::from_u32(first) {
        return Some(c);
    }
    if chars.next() != Some('\\') || chars.next() != Some('u') {
        return None;
    }
    let halves = [u16::try_from(first).ok()?, u16::try_from(number(chars, 16, 4)?).ok()?];
    char::decode_utf16(halves).next()?.ok()
}

/// A number with so many digits at most, and one at least.
fn number(chars: &mut Chars<'_>, radix: u32, digits_max: usize) -> Option<u32> {
    let mut number: Option<u32> = None;
    for _ in 0..digits_max {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else { break };
        number = Some(number.unwrap_or_default().checked_mul(radix)?.checked_add(digit)?);
        chars.next();
    }
    number
}

#[cfg(test)]
mod tests;
