//! The web page: its files as they lie in `crates/hauld/page`, and how browsers may use them.
//!
//! The files tell nothing of this daemon, and a browser that opens a page cannot send a token; so they want none. The page
//! asks the API with a token of its own, which it gets for a one-time code in the fragment of its URL (`haul open`).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::LazyLock;

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use haul_api::{ProblemCode, paths};
use sha2::{Digest as _, Sha256};

use super::document;
use super::problem::Refused;

/// The page itself.
const INDEX: &str = "index.html";

macro_rules! files {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!(concat!("../../page/", $name)))),+] };
}

/// All files of the page.
const FILES: &[(&str, &str)] = files![
    "index.html",
    "style.css",
    "icon.svg",
    "add.js",
    "api.js",
    "app.js",
    "chunks.js",
    "dialog.js",
    "dom.js",
    "drawer.js",
    "fix.js",
    "format.js",
    "graph.js",
    "hosts.js",
    "icons.js",
    "jobs.js",
    "keys.js",
    "limits.js",
    "list.js",
    "menu.js",
    "notify.js",
    "options.js",
    "schedule.js",
    "selection.js",
    "space.js",
    "stream.js",
    "toast.js",
    "top.js",
    "words.js",
];

/// What the page may load and do: its own files and the API, and no text that becomes code or markup. Nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// A file as it is sent.
struct File {
    media_type: &'static str,
    plain: Bytes,
    gzip: Bytes,
    /// Of both: the coding is no other version.
    etag: String,
}

impl File {
    fn new(name: &str, text: &'static str) -> Self {
        let media_type = match name.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            Some(_) | None => "text/javascript; charset=utf-8",
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
        let digest: String = Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self {
            media_type,
            plain: Bytes::from_static(text.as_bytes()),
            gzip: gzip.expect("a vector takes everything").into(),
            etag: format!("W/\"{digest}\""),
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let shared = [
            (header::ETAG, self.etag.clone()),
            // Asked for anew each time, and mostly answered with 304: a new version is seen at once.
            (header::CACHE_CONTROL, "no-cache".to_owned()),
            (header::VARY, "accept-encoding".to_owned()),
            (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
            (header::X_FRAME_OPTIONS, "DENY".to_owned()),
            // Whoever has opened the page gets no hold of its window.
            (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin".to_owned()),
        ];
        if says(headers, &header::IF_NONE_MATCH, &self.etag) {
            return (StatusCode::NOT_MODIFIED, shared).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.media_type)];
        if says(headers, &header::ACCEPT_ENCODING, "gzip") {
            return (shared, content_type, [(header::CONTENT_ENCODING, "gzip")], self.gzip.clone()).into_response();
        }
        (shared, content_type, self.plain.clone()).into_response()
    }
}

/// Whether one of the words of a header is this one. Weights are not looked at: no browser refuses what it names.
fn says(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|said| said.split(';').next().is_some_and(|said| said.trim() == word))
}

/// Compressed once, when the page is first asked for.
static PREPARED: LazyLock<BTreeMap<&str, File>> =
    LazyLock::new(|| FILES.iter().map(|(name, text)| (*name, File::new(name, text))).collect());

/// The web page.
#[utoipa::path(get, path = paths::PAGE, tag = "daemon", security(()), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 304, description = "It is as it was"), document::Open))]
pub(super) async fn page(headers: HeaderMap) -> Response {
    PREPARED[INDEX].answer(&headers)
}

/// A file that the web page is made of.
#[utoipa::path(get, path = paths::PAGE_ASSET, tag = "daemon", security(()),
    params(("file" = String, Path, description = "The file's name")), responses(
    (status = 200, description = "The file", content((String = "text/javascript"), (String = "text/css"),
        (String = "text/html"), (String = "image/svg+xml"))),
    (status = 304, description = "It is as it was"), document::Asset))]
pub(super) async fn asset(uri: Uri, headers: HeaderMap) -> Result<Response, Refused> {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let file = PREPARED.get(name);
    let file = file.ok_or_else(|| Refused::new(ProblemCode::NotFound, "the web page has no such file"))?;
    Ok(file.answer(&headers))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_directory_is_served_and_none_holds_what_the_policy_forbids() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let entries = std::fs::read_dir(dir).expect("the directory is part of the source");
        let names: BTreeSet<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        let known: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).into()).collect();
        assert_eq!(names, known);
        for (name, text) in FILES {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=\""] {
                assert!(!text.contains(forbidden), "{name} has `{forbidden}`");
            }
        }
    }

    #[test]
    fn the_whole_page_is_below_150_kb_on_the_wire() {
        let bytes: usize = PREPARED.values().map(|file| file.gzip.len()).sum();
        assert!(bytes < 150_000, "{bytes} bytes");
    }

    #[test]
    fn a_browser_that_has_the_file_or_takes_gzip_gets_less() {
        let file = &PREPARED["app.js"];
        let with = |name: header::HeaderName, value: &str| {
            file.answer(&HeaderMap::from_iter([(name, value.parse().expect("a value"))]))
        };
        assert_eq!(with(header::IF_NONE_MATCH, &format!("\"a\", {}", file.etag)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(with(header::IF_NONE_MATCH, "\"a\"").status(), StatusCode::OK);
        let packed = with(header::ACCEPT_ENCODING, "br;q=1, gzip;q=0.5");
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(!with(header::ACCEPT_ENCODING, "br").headers().contains_key(header::CONTENT_ENCODING));
    }
}
