//! Where a redirect may lead (FAILURES F-HTTP-06 to 10).

use haul_core::{Fault, FaultKind};
use http::StatusCode;
use url::Url;

use crate::disposition::text;
use crate::{Escaped, Masked};

/// The way from the first URL of a request to the current one.
#[derive(Debug)]
pub(crate) struct Route {
    /// Without userinfo and fragment; the last one is where we are.
    hops: Vec<Url>,
}

impl Route {
    pub(crate) fn new(start: &Url) -> Self {
        Self { hops: vec![bare(start.clone())] }
    }

    /// Where we are.
    pub(crate) fn url(&self) -> &Url {
        self.hops.last().expect("a route has a start")
    }

    /// Goes where the answer says.
    pub(crate) fn follow(&mut self, location: Option<&[u8]>) -> Result<(), Fault> {
        let here = self.url();
        let location = location.ok_or_else(|| {
            let detail = format!("{} redirects without saying where to", Masked(here));
            Fault::new(FaultKind::MalformedResponse, detail)
        })?;
        let next = here.join(&text(location)).map(bare).map_err(|_| {
            let detail = format!("{} redirects to something that is no URL", Masked(here));
            Fault::new(FaultKind::MalformedResponse, detail)
        })?;
        self.check(&next)?;
        self.hops.push(next);
        Ok(())
    }

    fn check(&self, next: &Url) -> Result<(), Fault> {
        let here = self.url();
        if !is_http(next) {
            let scheme = Escaped(next.scheme().as_bytes());
            let detail = format!("{} redirects to `{scheme}:`, which is not HTTP", Masked(here));
            return Err(Fault::new(FaultKind::RedirectScheme, detail));
        }
        if is_downgrade(here, next) {
            let detail = format!("{} redirects to {} without TLS", Masked(here), Masked(next));
            return Err(Fault::new(FaultKind::RedirectDowngrade, detail));
        }
        if self.hops.contains(next) {
            let detail = format!("redirects lead in a circle to {}", Masked(next));
            return Err(Fault::new(FaultKind::TooManyRedirects, detail));
        }
        if self.hops.len() > HOPS_MAX {
            let detail = format!("more than {HOPS_MAX} redirects, the last one to {}", Masked(next));
            return Err(Fault::new(FaultKind::TooManyRedirects, detail));
        }
        Ok(())
    }
}

/// Tells whether the status sends us elsewhere.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Tells whether a request that is no GET stays what it is when it is sent on like this (RFC 9110 section 15.4).
pub(crate) fn keeps_method(status: StatusCode) -> bool {
    matches!(status.as_u16(), 307 | 308)
}

/// Tells whether the URL is one that we transfer from.
pub(crate) fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// Tells whether the way leads from TLS to a connection without it.
pub(crate) fn is_downgrade(here: &Url, next: &Url) -> bool {
    here.scheme() == "https" && next.scheme() == "http"
}

/// The URL without userinfo, which is no part of the address, and fragment, which is not sent.
pub(crate) fn bare(mut url: Url) -> Url {
    url.set_fragment(None);
    if url.has_authority() {
        // Fails for URLs without a host only; those are refused by their scheme.
        let _kept: Result<(), ()> = url.set_username("").and_then(|()| url.set_password(None));
    }
    url
}

/// Redirects that are followed: what browsers and curl agree on is 20 and 30, of which nobody needs half.
const HOPS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn route(start: &str) -> Route {
        Route::new(&Url::parse(start).expect("a URL"))
    }

    fn kind(start: &str, location: &str) -> FaultKind {
        let fault = route(start).follow(Some(location.as_bytes()));
        fault.expect_err("is refused").kind
    }

    #[test]
    fn f_http_10_locations_are_resolved_and_lose_their_userinfo() {
        for (location, url) in [
            ("/b?c", "https://a/b?c"),
            ("../up", "https://a/up"),
            ("//other/x", "https://other/x"),
            ("https://u:p@b/x#frag", "https://b/x"),
        ] {
            let mut route = route("https://a/d/f");
            route.follow(Some(location.as_bytes())).expect("is followed");
            assert_eq!(route.url().as_str(), url);
        }
        let fault = route("https://a/").follow(None).expect_err("no location");
        assert_eq!(fault.kind, FaultKind::MalformedResponse);
        assert_eq!(kind("https://a/", "https://[::1"), FaultKind::MalformedResponse);
    }

    #[test]
    fn f_http_06_circles_and_long_ways_end() {
        assert_eq!(kind("http://a/x", "/x#again"), FaultKind::TooManyRedirects);
        let mut route = route("http://a/0");
        for hop in 1..=10 {
            route.follow(Some(format!("/{hop}").as_bytes())).expect("is followed");
        }
        let fault = route.follow(Some(b"/11")).expect_err("one too many");
        assert_eq!(fault.kind, FaultKind::TooManyRedirects);
    }

    #[test]
    fn f_http_07_08_only_http_and_never_back_from_tls() {
        assert_eq!(kind("http://a/", "file:///etc/passwd"), FaultKind::RedirectScheme);
        assert_eq!(kind("http://a/", "ftp://b/x"), FaultKind::RedirectScheme);
        assert_eq!(kind("https://a/", "data:text/plain,x"), FaultKind::RedirectScheme);
        assert_eq!(kind("https://a/", "http://a/x"), FaultKind::RedirectDowngrade);
    }

    #[test]
    fn f_inv_7_the_detail_holds_no_secret() {
        let mut route = route("http://u:canary@a/x?canary");
        let fault = route.follow(Some(b"/x?canary")).expect_err("a circle");
        assert!(!fault.detail.contains("canary"), "{}", fault.detail);
    }
}
