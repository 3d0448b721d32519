//! XML as Metalinks need it: elements of one namespace, their text and attributes, and the line where something is.
//!
//! Nothing is expanded but the five entities of XML itself and character references, nothing is fetched, and nesting
//! and texts have bounds. Errors hold nothing of the document, which may have secrets in its URLs.

use std::borrow::Cow;

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;
use quick_xml::{Error, XmlVersion};

use super::{MetalinkError, MetalinkProblem};

/// A document, read from the front.
pub(super) struct Xml<'a> {
    reader: NsReader<&'a [u8]>,
    document: &'a str,
    depth: usize,
}

/// An element that has just begun.
pub(super) struct Tag<'a> {
    start: BytesStart<'a>,
    is_ours: bool,
    at: u64,
}

enum Token<'a> {
    Open(Tag<'a>),
    Close,
    Text(Cow<'a, str>),
    End,
}

impl<'a> Xml<'a> {
    pub(super) fn new(document: &'a str) -> Self {
        let mut reader = NsReader::from_str(document);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, document, depth: 0 }
    }

    /// The outermost element, which must be the `metalink` of version 4.
    pub(super) fn root(&mut self) -> Result<(), MetalinkError> {
        loop {
            match self.next()? {
                Token::Open(tag) if tag.is("metalink") => return Ok(()),
                Token::Open(tag) => {
                    let problem = if tag.is_old() { MetalinkProblem::Version3 } else { MetalinkProblem::NotMetalink };
                    return Err(self.error_at(&tag, problem));
                }
                Token::Text(text) if text.trim().is_empty() => {}
                Token::Text(_) | Token::Close | Token::End => return Err(self.error(MetalinkProblem::NotMetalink)),
            }
        }
    }

    /// What follows the outermost element must be nothing.
    pub(super) fn end(&mut self) -> Result<(), MetalinkError> {
        loop {
            match self.next()? {
                Token::End => return Ok(()),
                Token::Text(text) if text.trim().is_empty() => {}
                Token::Text(_) | Token::Open(_) | Token::Close => return Err(self.error(MetalinkProblem::Malformed)),
            }
        }
    }

    /// The next child of the element that is open, unless it ends. What is not Metalink is passed over.
    pub(super) fn child(&mut self) -> Result<Option<Tag<'a>>, MetalinkError> {
        loop {
            match self.next()? {
                Token::Open(tag) if tag.is_ours => return Ok(Some(tag)),
                Token::Open(_) => self.skip()?,
                Token::Close => return Ok(None),
                Token::Text(_) => {}
                Token::End => return Err(self.error(MetalinkProblem::CutOff)),
            }
        }
    }

    /// Passes over the rest of the element that is open.
    pub(super) fn skip(&mut self) -> Result<(), MetalinkError> {
        let outside = self.depth - 1;
        while self.depth > outside {
            if matches!(self.next()?, Token::End) {
                return Err(self.error(MetalinkProblem::CutOff));
            }
        }
        Ok(())
    }

    /// The text of the element that is open, up to its end, trimmed.
    pub(super) fn text(&mut self) -> Result<String, MetalinkError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Token::Text(more) if text.len() + more.len() > TEXT_BYTES_MAX => {
                    return Err(self.error(MetalinkProblem::TextTooLong));
                }
                Token::Text(more) => text.push_str(&more),
                Token::Open(_) => self.skip()?,
                Token::Close => return Ok(text.trim().to_owned()),
                Token::End => return Err(self.error(MetalinkProblem::CutOff)),
            }
        }
    }

    /// An error at the line where the reader is.
    pub(super) fn error(&self, problem: MetalinkProblem) -> MetalinkError {
        self.error_on_line_of(self.reader.buffer_position(), problem)
    }

    /// An error at the line where an element begins.
    pub(super) fn error_at(&self, tag: &Tag<'_>, problem: MetalinkProblem) -> MetalinkError {
        self.error_on_line_of(tag.at, problem)
    }

    fn error_on_line_of(&self, position: u64, problem: MetalinkProblem) -> MetalinkError {
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(self.document.len());
        let line = 1 + self.document.as_bytes()[..position].iter().filter(|&&byte| byte == b'\n').count();
        MetalinkError { line, problem }
    }

    fn next(&mut self) -> Result<Token<'a>, MetalinkError> {
        loop {
            let at = self.reader.buffer_position();
            let (namespace, event) = match self.reader.read_resolved_event() {
                Ok((namespace, event)) => (is_metalink(&namespace), event),
                Err(error) => {
                    // Not every error has a position of its own.
                    let position = self.reader.error_position().max(at);
                    return Err(self.error_on_line_of(position, problem(&error)));
                }
            };
            match event {
                Event::Start(start) | Event::Empty(start) => {
                    self.depth += 1;
                    if self.depth > DEPTH_MAX {
                        return Err(self.error(MetalinkProblem::TooDeep));
                    }
                    return Ok(Token::Open(Tag { start, is_ours: namespace, at }));
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Token::Close);
                }
                Event::Text(text) => return Ok(Token::Text(text.xml10_content())),
                Event::CData(text) => return Ok(Token::Text(text.xml10_content())),
                Event::GeneralRef(reference) => return self.resolved(&reference).map(Token::Text),
                Event::DocType(_) => return Err(self.error(MetalinkProblem::Doctype)),
                Event::Eof => return Ok(Token::End),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    fn resolved(&self, reference: &BytesRef<'_>) -> Result<Cow<'a, str>, MetalinkError> {
        let character = reference.resolve_char_ref().map_err(|_| self.error(MetalinkProblem::Reference))?;
        if let Some(character) = character {
            return Ok(Cow::Owned(character.to_string()));
        }
        let text = quick_xml::escape::resolve_xml_entity(reference);
        text.map(Cow::Borrowed).ok_or_else(|| self.error(MetalinkProblem::Reference))
    }
}

impl Tag<'_> {
    /// Tells whether it is this element of Metalink 4.
    pub(super) fn is(&self, name: &str) -> bool {
        self.is_ours && self.name() == name
    }

    /// Its name without a prefix.
    pub(super) fn name(&self) -> &str {
        self.start.name().0.rsplit(':').next().unwrap_or_default()
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str, xml: &Xml<'_>) -> Result<Option<String>, MetalinkError> {
        // Looking for doubles would take quadratic time.
        for attribute in self.start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|_| xml.error_at(self, MetalinkProblem::Malformed))?;
            if attribute.key.0 == name {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0);
                let value = value.map_err(|_| xml.error_at(self, MetalinkProblem::Reference))?;
                return Ok(Some(value.trim().to_owned()));
            }
        }
        Ok(None)
    }

    /// Tells whether it belongs to Metalink 3, by the namespace that it or its parents declare.
    fn is_old(&self) -> bool {
        let declares = |attribute: &quick_xml::events::attributes::Attribute<'_>| {
            attribute.key.0.starts_with("xmlns") && attribute.value.trim_end_matches('/') == VERSION_3
        };
        self.name() == "metalink" && self.start.attributes().with_checks(false).flatten().any(|a| declares(&a))
    }
}

fn is_metalink(namespace: &ResolveResult<'_>) -> bool {
    matches!(namespace, ResolveResult::Bound(Namespace(uri)) if *uri == VERSION_4)
}

/// The crate's own texts repeat what is in the document.
fn problem(error: &Error) -> MetalinkProblem {
    match error {
        Error::IllFormed(quick_xml::errors::IllFormedError::UnclosedReference) => MetalinkProblem::Reference,
        Error::IllFormed(quick_xml::errors::IllFormedError::MismatchedEndTag { .. }) => MetalinkProblem::Tags,
        Error::Syntax(_) => MetalinkProblem::CutOff,
        Error::Io(_)
        | Error::IllFormed(_)
        | Error::InvalidAttr(_)
        | Error::Encoding(_)
        | Error::Escape(_)
        | Error::Namespace(_) => MetalinkProblem::Malformed,
    }
}

/// The namespace of RFC 5854.
const VERSION_4: &str = "urn:ietf:params:xml:ns:metalink";

/// The namespace of the version before it, without the slash at its end.
const VERSION_3: &str = "http://www.metalinker.org";

/// Elements in one another; Metalinks have 4, and extensions hardly more.
const DEPTH_MAX: usize = 64;

/// Bytes of one text: the longest URL that is accepted has half of that.
const TEXT_BYTES_MAX: usize = 64 << 10;
