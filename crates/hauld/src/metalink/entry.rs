//! From a file of a Metalink to the job that fetches it.

use haul_api::{Problem, ProblemCode, SubmitJob};
use haul_transfer::Checksum;
use url::Url;

use super::{MetalinkFile, MetalinkUrl, Pieces};
use crate::submit::{MIRRORS_MAX, URL_BYTES_MAX};

/// What is submitted for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The job, with every other wish left open.
    pub job: SubmitJob,
    /// URLs that are not used: haul cannot fetch from them, or there are better ones enough.
    pub urls_dropped: usize,
}

impl MetalinkFile {
    /// The job that fetches this file: under its name, with its size and its strongest digest, from its best URLs.
    ///
    /// # Errors
    ///
    /// When there is no URL that haul can fetch from.
    pub fn entry(&self) -> Result<Entry, Problem> {
        let usable: Vec<&Url> = self
            .urls
            .iter()
            .map(|url: &MetalinkUrl| &url.url)
            .filter(|url| url.as_str().len() <= URL_BYTES_MAX)
            .collect();
        let all = self.urls.len() + self.urls_dropped;
        let Some((best, others)) = usable.split_first() else { return Err(self.nowhere(all)) };
        let mirrors: Vec<String> = others.iter().take(MIRRORS_MAX - 1).map(|url| url.to_string()).collect();
        let urls_dropped = all - 1 - mirrors.len();
        let job = SubmitJob {
            filename: Some(self.name.clone()),
            size: self.size,
            checksum: self.checksums.first().map(ToString::to_string),
            pieces: self.pieces.as_ref().map(pieces),
            mirrors: (!mirrors.is_empty()).then_some(mirrors),
            ..SubmitJob::new(best.as_str())
        };
        Ok(Entry { job, urls_dropped })
    }

    fn nowhere(&self, dropped: usize) -> Problem {
        let why = match dropped {
            0 => "it names none".to_owned(),
            1 => "its only one is neither http nor https, or cannot be read".to_owned(),
            more => format!("all {more} are neither http nor https, or cannot be read"),
        };
        let detail = format!("the Metalink has no URL for `{}` that can be fetched: {why}", self.name);
        Problem::new(ProblemCode::InvalidUrl, detail).with_field("url")
    }
}

fn pieces(pieces: &Pieces) -> haul_api::Pieces {
    let hex = |checksum: &Checksum| checksum.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    haul_api::Pieces {
        kind: pieces.kind.to_string(),
        length: pieces.length,
        digests: pieces.checksums.iter().map(hex).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn file(inside: &str) -> MetalinkFile {
        let document = format!(
            r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a.iso">{inside}</file></metalink>"#
        );
        read(document.as_bytes()).expect("a good Metalink").remove(0)
    }

    #[test]
    fn a_file_becomes_a_job_with_its_best_urls_first() {
        let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let entry = file(&format!(
            r#"<size>3</size><hash type="sha-1">{sha1}</hash><hash type="sha-256">{sha256}</hash>
            <pieces type="SHA-1" length="8"><hash>{sha1}</hash></pieces>
            <url priority="2">https://b.example/a</url><url>ftp://c.example/a</url>
            <url priority="1">https://a.example/a</url>"#
        ));
        let expected = SubmitJob {
            filename: Some("a.iso".to_owned()),
            size: Some(3),
            checksum: Some(format!("sha-256:{sha256}")),
            pieces: Some(haul_api::Pieces { kind: "sha-1".to_owned(), length: 8, digests: vec![sha1.to_owned()] }),
            mirrors: Some(vec!["https://b.example/a".to_owned()]),
            ..SubmitJob::new("https://a.example/a")
        };
        assert_eq!(entry.entry(), Ok(Entry { job: expected, urls_dropped: 1 }));
    }

    #[test]
    fn the_worst_of_many_urls_are_left_out_and_counted() {
        let url = |n: u32| format!(r#"<url priority="{n}">https://m{n}.example/a</url>"#);
        let all: String = (1..=20).rev().map(url).collect();
        let entry = file(&format!("{all}<url>magnet:?xt=a</url>")).entry().expect("it has usable URLs");
        let urls: Vec<_> = entry.job.urls().map(|(_, url)| url.to_owned()).collect();
        let best: Vec<_> = (1..=16).map(|n| format!("https://m{n}.example/a")).collect();
        assert_eq!((urls, entry.urls_dropped), (best, 5));
        let single = file("<url>https://a.example/a</url>").entry().expect("it has a usable URL");
        assert_eq!((single.job.mirrors, single.urls_dropped), (None, 0));
    }

    #[test]
    fn a_file_that_is_nowhere_to_be_had_is_refused_with_the_reason() {
        let long = format!("<url>https://a.example/{}</url>", "a".repeat(URL_BYTES_MAX));
        for (inside, why) in [
            ("", "it names none"),
            ("<url>ftp://canary.example/a</url>", "its only one is neither http nor https, or cannot be read"),
            (long.as_str(), "its only one"),
            (
                "<url>ftp://canary.example/a</url><url>canary</url>",
                "all 2 are neither http nor https, or cannot be read",
            ),
        ] {
            let problem = file(inside).entry().expect_err("nothing to fetch from");
            assert_eq!((problem.status, problem.code.as_ref()), (422, "invalid-url"));
            assert!(problem.detail.contains("for `a.iso` that") && problem.detail.contains(why), "{problem}");
            assert!(!problem.detail.contains("canary"), "{problem}");
        }
    }
}
