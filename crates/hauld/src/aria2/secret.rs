//! What stands for secrets where they would be shown (DESIGN.md ruling 18).
//!
//! Front ends start a failed job again by submitting what they were shown of it. So each secret is shown as a placeholder that
//! names the job, and means that job's secret where it comes back: to whoever sees the job, and for the server that the
//! secret was for. Once the job has ended for good its secrets are gone, and what stood for them means nothing.

use std::collections::BTreeMap;

use haul_api::Cookie;
use haul_store::{JobRow, Store};
use url::Url;

use super::fault::Fault;
use super::gid;
use crate::options;
use crate::submit::{Credentials, origin, without_userinfo};

/// What a placeholder begins with; the gid of its job follows.
const MARK: &str = "haul-secret:";

/// Jobs that the placeholders of one call may name. A guess: they come from one job.
const JOBS_MAX: usize = 4;

/// Headers that are shown: what browsers send of themselves to everybody.
const HARMLESS: [&str; 14] = [
    "accept",
    "accept-language",
    "cache-control",
    "dnt",
    "origin",
    "pragma",
    "priority",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-gpc",
    "upgrade-insecure-requests",
    "user-agent",
];

/// What stands for a secret of a job.
pub(super) fn placeholder(gid: &str) -> String {
    format!("{MARK}{gid}")
}

/// Whether a text stands for a secret.
pub(super) fn is_placeholder(text: &str) -> bool {
    text.starts_with(MARK)
}

/// The value of a header as it is shown.
pub(super) fn shown_header(name: &str, value: &str, gid: &str) -> String {
    if HARMLESS.contains(&name) { value.to_owned() } else { placeholder(gid) }
}

/// A URL as it is shown: without userinfo, and its query to those only who see queries.
pub(super) fn shown_url(text: &str, gid: &str, sees_queries: bool) -> String {
    let Ok(url) = Url::parse(text) else { return String::new() };
    let url = without_userinfo(url);
    match url.query() {
        Some(_) if !sees_queries => with_query(url, &placeholder(gid)),
        Some(_) | None => url.into(),
    }
}

fn with_query(mut url: Url, query: &str) -> String {
    url.set_query(Some(query));
    url.into()
}

/// The jobs that placeholders name.
#[derive(Default)]
pub(super) struct Secrets(BTreeMap<String, JobRow>);

impl Secrets {
    /// Finds the jobs that are named in these texts.
    pub(super) async fn named_in(store: &Store, texts: impl Iterator<Item = &str>) -> Result<Self, Fault> {
        let mut named: Vec<String> = texts.flat_map(gids).collect();
        named.sort_unstable();
        named.dedup();
        if named.len() > JOBS_MAX {
            return Err(Fault::new(format!("there are secrets of more than {JOBS_MAX} jobs in this call")));
        }
        let mut rows = BTreeMap::new();
        for gid in named {
            // One that is gone has no secrets any more.
            if let Ok((name, row)) = gid::find(store, &gid).await {
                rows.insert(name, row);
            }
        }
        Ok(Self(rows))
    }

    fn row(&self, text: &str) -> Option<&JobRow> {
        self.0.get(text.strip_prefix(MARK)?)
    }

    /// The same, where the secret is for the server of this URL.
    fn row_for(&self, text: &str, url: &Url) -> Option<&JobRow> {
        self.row(text).filter(|row| row.wish.host == origin(url))
    }

    /// A URL whose query may be a placeholder.
    pub(super) fn url(&self, text: &str) -> String {
        let known = || {
            let url = Url::parse(text).ok()?;
            let row = self.row(url.query()?)?;
            let mut urls = std::iter::once(&row.wish.url).chain(row.wish.mirrors.iter().map(|mirror| &mirror.url));
            let is_it = |known: &&haul_store::Private| {
                Url::parse(known)
                    .is_ok_and(|known| without_userinfo(without_query(known)) == without_query(url.clone()))
            };
            urls.find(is_it).map(|url| url.0.clone())
        };
        known().unwrap_or_else(|| text.to_owned())
    }

    /// The value of a header to this URL; `None` where it stands for what is gone.
    pub(super) fn header(&self, name: &str, text: &str, url: &Url) -> Option<String> {
        if !is_placeholder(text) {
            return Some(text.to_owned());
        }
        let row = self.row_for(text, url)?;
        let stored = row.wish.headers.as_deref();
        let stored: BTreeMap<String, String> = stored.and_then(|json| serde_json::from_str(json).ok())?;
        stored.get(name).cloned()
    }

    /// The login that stood in the URL of a job, for this URL.
    pub(super) fn login(&self, text: &str, url: &Url) -> Option<String> {
        let row = self.row_for(text, url)?;
        let known = Credentials::read(row.wish.credentials.as_ref()).header(&Url::parse(&row.wish.url).ok()?)?;
        known.to_str().ok().map(str::to_owned)
    }

    /// The cookies that a job was given in structure.
    pub(super) fn cookies(&self, text: &str, url: &Url) -> Option<Vec<Cookie>> {
        let row = self.row_for(text, url)?;
        Some(options::cookies_of(&row.wish)).filter(|cookies| !cookies.is_empty())
    }

    /// The referrer.
    pub(super) fn referrer(&self, text: &str, url: &Url) -> Option<String> {
        if !is_placeholder(text) {
            return Some(text.to_owned());
        }
        self.row_for(text, url)?.wish.referrer.as_deref().map(str::to_owned)
    }

    /// The proxy with its login, which is for nobody but the proxy.
    pub(super) fn proxy(&self, text: &str) -> Option<String> {
        if !is_placeholder(text) {
            return Some(text.to_owned());
        }
        options::proxy_of(&self.row(text)?.wish)
    }
}

fn without_query(mut url: Url) -> Url {
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The gids that placeholders in a text name.
fn gids(text: &str) -> Vec<String> {
    let named = text.split(MARK).skip(1);
    named.map(|rest| rest.chars().take_while(char::is_ascii_hexdigit).take(16).collect()).collect()
}

/// A referrer as it is shown: where it may hold a secret, what stands for it.
pub(super) fn shown_referrer(text: &str, gid: &str) -> String {
    if text.contains(['?', '@']) { placeholder(gid) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use haul_core::JobId;
    use haul_store::Wish;

    use super::*;

    const GID: &str = "00000000deadbeef";

    fn secrets(wish: Wish) -> Secrets {
        let mut row = row();
        row.wish = wish;
        Secrets(BTreeMap::from([(GID.to_owned(), row)]))
    }

    fn row() -> JobRow {
        let new = haul_store::NewJob {
            wish: Wish::default(),
            intent: haul_core::Intent::Run,
            part_token: String::new(),
            pieces: None,
            maker: None,
            gid: None,
        };
        crate::driver::accepted(JobId(7), new, 0).row
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn inv_7_a_secret_is_shown_as_what_stands_for_it_and_goes_where_it_was_for() {
        let wish = Wish {
            url: "https://a.example/f?sig=canary".into(),
            host: "https://a.example".to_owned(),
            headers: Some(r#"{"cookie":"canary"}"#.into()),
            referrer: Some("https://a.example/?canary".into()),
            ..Wish::default()
        };
        let shown = shown_url(&wish.url, GID, false);
        assert_eq!(shown, format!("https://a.example/f?haul-secret:{GID}"));
        assert_eq!(shown_url("https://ann:canary@a.example/f?q", GID, true), "https://a.example/f?q");
        assert_eq!(shown_header("cookie", "canary", GID), placeholder(GID));
        assert_eq!(shown_header("user-agent", "M/5", GID), "M/5");
        assert_eq!(shown_referrer("https://a.example/?canary", GID), placeholder(GID));
        assert_eq!(shown_referrer("https://a.example/x", GID), "https://a.example/x");

        let secrets = secrets(wish.clone());
        assert_eq!(secrets.url(&shown), &*wish.url);
        assert_eq!(
            secrets.url("https://b.example/f?haul-secret:00000000deadbeef"),
            "https://b.example/f?haul-secret:00000000deadbeef"
        );
        let own = url("https://a.example/other");
        assert_eq!(secrets.header("cookie", &placeholder(GID), &own).as_deref(), Some("canary"));
        assert_eq!(secrets.referrer(&placeholder(GID), &own).as_deref(), Some("https://a.example/?canary"));
        for foreign in ["https://b.example/f", "http://a.example/f", "https://a.example:444/f"] {
            assert_eq!(secrets.header("cookie", &placeholder(GID), &url(foreign)), None, "{foreign}");
            assert_eq!(secrets.referrer(&placeholder(GID), &url(foreign)), None, "{foreign}");
        }
        assert_eq!(secrets.header("cookie", "haul-secret:0000000000000001", &own), None, "another job's");
        assert_eq!(secrets.header("x-key", &placeholder(GID), &own), None, "it had none");
        assert_eq!(secrets.header("cookie", "a=b", &url("https://b.example/")).as_deref(), Some("a=b"));
    }

    #[test]
    fn placeholders_are_found_wherever_they_stand() {
        let text = format!("Cookie: {}\nX: {}1\nhaul-secret:", placeholder(GID), placeholder("ABC"));
        assert_eq!(gids(&text), [GID, "ABC1", ""]);
    }
}
