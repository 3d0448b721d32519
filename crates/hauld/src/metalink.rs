//! What a Metalink says about files: their names, sizes, digests and URLs (RFC 5854).
//!
//! Metalinks come from anywhere. Names are repaired as those of servers are, what is not understood is passed over,
//! and what is understood and wrong is an error that names the line.

mod entry;
mod xml;

use haul_transfer::{Checksum, ChecksumKind, try_repair};
use url::Url;

pub use entry::Entry;

use xml::{Tag, Xml};

/// A file that a Metalink describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetalinkFile {
    /// Its name: one safe path component.
    pub name: String,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its digests of the kinds that haul can verify, the strongest first.
    pub checksums: Vec<Checksum>,
    /// The digests of its pieces, of the strongest kind that there is.
    pub pieces: Option<Pieces>,
    /// Where it can be fetched from, the best first, each URL once.
    pub urls: Vec<MetalinkUrl>,
    /// URLs that haul cannot fetch from: FTP, magnet links, and what is no URL.
    pub urls_dropped: usize,
}

/// The digests of a file's pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Their kind.
    pub kind: ChecksumKind,
    /// Bytes of each piece but the last.
    pub length: u64,
    /// The digests, in the order of the file.
    pub checksums: Vec<Checksum>,
}

/// Where a file can be fetched from.
#[derive(Clone, PartialEq, Eq)]
pub struct MetalinkUrl {
    /// HTTP or HTTPS.
    pub url: Url,
    /// 1 is the best, 999,999 the worst and what counts where nothing is said.
    pub priority: u32,
    /// The two letters of the server's country, in lower case.
    pub location: Option<String>,
}

/// Why a Metalink cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct MetalinkError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: MetalinkProblem,
}

/// What is wrong with a Metalink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetalinkProblem {
    /// It is larger than any of use.
    #[error("a Metalink can have {} MiB at most", METALINK_BYTES_MAX >> 20)]
    TooLarge,
    /// It is not in the one encoding that is read.
    #[error("a Metalink must be UTF-8")]
    NotUtf8,
    /// It is no XML.
    #[error("this is not well-formed XML")]
    Malformed,
    /// It ends too early.
    #[error("the Metalink is cut off: something that begins here does not end")]
    CutOff,
    /// Tags do not come in pairs.
    #[error("a closing tag does not fit the one that was opened")]
    Tags,
    /// An entity that is not one of the five, a character that there is not, or a lone `&`.
    #[error("`&` must be written `&amp;`, and no entities are known but the five of XML itself")]
    Reference,
    /// It brings a grammar of its own, with which entities could be declared.
    #[error("a Metalink cannot have a DOCTYPE")]
    Doctype,
    /// Elements lie too deep in one another.
    #[error("elements are nested too deeply")]
    TooDeep,
    /// A text is longer than any of use.
    #[error("the text of an element is too long")]
    TextTooLong,
    /// It is XML, but something else.
    #[error("this is no Metalink: the outermost element must be `metalink` of `urn:ietf:params:xml:ns:metalink`")]
    NotMetalink,
    /// It is of the version before RFC 5854.
    #[error("this is a Metalink of version 3, and only version 4 (RFC 5854, `.meta4`) is read")]
    Version3,
    /// There is nothing in it.
    #[error("the Metalink describes no file")]
    NoFile,
    /// There is more in it than anybody uses.
    #[error("the Metalink has more than {max} of `{element}`")]
    TooMany {
        /// The element.
        element: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A file without a usable name.
    #[error("`file` needs a `name` that a file can have")]
    Name,
    /// A size that is none.
    #[error("`size` must be a whole number of bytes")]
    Size,
    /// A digest that is none of its kind.
    #[error("`hash` must have {} hexadecimal digits for {kind}", kind.bytes() * 2)]
    Hash {
        /// The kind that it says it has.
        kind: ChecksumKind,
    },
    /// Pieces without a usable length, or of another number than the size asks for.
    #[error("`pieces` needs a `length`, and a `hash` for each so many bytes of `size`")]
    Pieces,
}

/// Reads a Metalink.
///
/// # Errors
///
/// When it is no Metalink 4, or what it says about a file cannot be right. The error repeats nothing of it.
pub fn read(bytes: &[u8]) -> Result<Vec<MetalinkFile>, MetalinkError> {
    if bytes.len() > METALINK_BYTES_MAX {
        return Err(MetalinkError { line: 1, problem: MetalinkProblem::TooLarge });
    }
    let document = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        MetalinkError { line, problem: MetalinkProblem::NotUtf8 }
    })?;
    let mut xml = Xml::new(document.strip_prefix('\u{feff}').unwrap_or(document));
    xml.root()?;
    let mut files = Vec::new();
    while let Some(tag) = xml.child()? {
        if !tag.is("file") {
            xml.skip()?;
            continue;
        }
        if files.len() == FILES_MAX {
            return Err(xml.error_at(&tag, MetalinkProblem::TooMany { element: "file", max: FILES_MAX }));
        }
        files.push(file(&mut xml, &tag)?);
    }
    xml.end()?;
    if files.is_empty() { Err(xml.error(MetalinkProblem::NoFile)) } else { Ok(files) }
}

fn file(xml: &mut Xml<'_>, tag: &Tag<'_>) -> Result<MetalinkFile, MetalinkError> {
    let name =
        tag.attribute("name", xml)?.and_then(try_repair).ok_or_else(|| xml.error_at(tag, MetalinkProblem::Name))?;
    let (mut size, mut checksums, mut pieces) = (None, Vec::new(), None::<(Tag<'_>, Pieces)>);
    let mut urls = Urls::default();
    while let Some(child) = xml.child()? {
        match child.name() {
            "size" => size = Some(number(xml, &child)?),
            "hash" => checksums.extend(hash(xml, &child)?),
            "pieces" => {
                let read =
                    pieces_of(xml, &child)?.filter(|new| pieces.as_ref().is_none_or(|(_, old)| new.kind > old.kind));
                pieces = read.map(|read| (child, read)).or(pieces);
            }
            "url" => urls.read(xml, &child)?,
            _ => xml.skip()?,
        }
    }
    if let Some((tag, pieces)) = &pieces
        && size.is_some_and(|size| pieces.checksums.len() as u64 != size.div_ceil(pieces.length))
    {
        return Err(xml.error_at(tag, MetalinkProblem::Pieces));
    }
    checksums.sort_by_key(|checksum: &Checksum| std::cmp::Reverse(checksum.kind()));
    let (urls, urls_dropped) = urls.sorted();
    Ok(MetalinkFile { name, size, checksums, pieces: pieces.map(|(_, pieces)| pieces), urls, urls_dropped })
}

/// A size that SQLite can store.
fn number(xml: &mut Xml<'_>, tag: &Tag<'_>) -> Result<u64, MetalinkError> {
    let number = xml.text()?.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| xml.error_at(tag, MetalinkProblem::Size))
}

/// The digest of a whole file, if it is of a kind that haul can verify.
fn hash(xml: &mut Xml<'_>, tag: &Tag<'_>) -> Result<Option<Checksum>, MetalinkError> {
    let kind = tag.attribute("type", xml)?.and_then(|name| ChecksumKind::named(&name));
    match kind {
        Some(kind) => digest(xml, tag, kind).map(Some),
        None => xml.skip().map(|()| None),
    }
}

fn digest(xml: &mut Xml<'_>, tag: &Tag<'_>, kind: ChecksumKind) -> Result<Checksum, MetalinkError> {
    let text = xml.text()?;
    Checksum::from_hex(kind, &text).ok_or_else(|| xml.error_at(tag, MetalinkProblem::Hash { kind }))
}

fn pieces_of(xml: &mut Xml<'_>, tag: &Tag<'_>) -> Result<Option<Pieces>, MetalinkError> {
    let kind = tag.attribute("type", xml)?.and_then(|name| ChecksumKind::named(&name));
    let Some(kind) = kind else { return xml.skip().map(|()| None) };
    let length = tag.attribute("length", xml)?.and_then(|length| length.parse().ok()).filter(|length| *length > 0);
    let length = length.ok_or_else(|| xml.error_at(tag, MetalinkProblem::Pieces))?;
    let mut checksums = Vec::new();
    while let Some(child) = xml.child()? {
        if child.is("hash") { checksums.push(digest(xml, &child, kind)?) } else { xml.skip()? }
    }
    Ok(Some(Pieces { kind, length, checksums }))
}

/// The URLs of one file.
#[derive(Default)]
struct Urls {
    usable: Vec<MetalinkUrl>,
    dropped: usize,
}

impl Urls {
    fn read(&mut self, xml: &mut Xml<'_>, tag: &Tag<'_>) -> Result<(), MetalinkError> {
        if self.usable.len() + self.dropped == URLS_MAX {
            return Err(xml.error_at(tag, MetalinkProblem::TooMany { element: "url", max: URLS_MAX }));
        }
        let priority = tag.attribute("priority", xml)?.and_then(|digits| digits.parse().ok());
        let location = tag.attribute("location", xml)?.map(|letters| letters.to_ascii_lowercase());
        let Some(url) = usable(&xml.text()?) else {
            self.dropped += 1;
            return Ok(());
        };
        self.usable.push(MetalinkUrl {
            url,
            priority: priority.filter(|number| (1..=PRIORITY_WORST).contains(number)).unwrap_or(PRIORITY_WORST),
            location: location.filter(|text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_lowercase())),
        });
        Ok(())
    }

    /// The usable ones in order, and how many are not.
    fn sorted(mut self) -> (Vec<MetalinkUrl>, usize) {
        self.usable.sort_by_key(|url| url.priority);
        let mut known = std::collections::BTreeSet::new();
        self.usable.retain(|url| known.insert(url.url.clone()));
        (self.usable, self.dropped)
    }
}

fn usable(text: &str) -> Option<Url> {
    // The parser would silently drop some of these (FAILURES.md, F-SEC-17).
    let mut url =
        Some(text).filter(|text| !text.chars().any(char::is_control)).and_then(|text| Url::parse(text).ok())?;
    url.set_fragment(None);
    (matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty())).then_some(url)
}

/// Without userinfo and query, which hold secrets.
impl std::fmt::Debug for MetalinkUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}", haul_transfer::Masked(&self.url), self.priority)?;
        self.location.iter().try_for_each(|location| write!(f, ", {location}"))?;
        f.write_str(")")
    }
}

/// The most that is read: what `POST /v1/jobs` takes.
const METALINK_BYTES_MAX: usize = 16 << 20;

/// Files of one Metalink; a guess at more than one person downloads.
const FILES_MAX: usize = 10_000;

/// URLs of one file; the largest distributions have some hundreds of mirrors.
const URLS_MAX: usize = 1_000;

/// The number for the worst mirrors (RFC 5854 section 4.2.16.1).
const PRIORITY_WORST: u32 = 999_999;

#[cfg(test)]
mod tests;
