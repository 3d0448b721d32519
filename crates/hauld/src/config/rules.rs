//! The settings `rules` and `watch`: where files go whose jobs do not say so, and the directory that jobs are dropped into.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Config, ConfigError};

/// Rules that there may be. A guess: each job is compared with all of them.
const RULES_MAX: usize = 1000;

/// What holds for jobs of some kind that do not say otherwise themselves. Every condition that is there must be met; it is by
/// one of what it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Hosts: a name, or `*.` and a domain for every name below it. Empty: any.
    pub hosts: Vec<String>,
    /// What the file's name ends with, without the dot. Empty: anything.
    pub extensions: Vec<String>,
    /// Media types that servers say the file is of: `video/mp4`, or `video/*`. Empty: any, and it is not waited for.
    pub types: Vec<String>,
    /// Labels that jobs were given. Empty: any, or none.
    pub labels: Vec<String>,
    /// Where the files go. Empty: to where they would go without it.
    pub dir: PathBuf,
    /// The label that jobs without one are given. Empty: none.
    pub label: String,
}

/// Where the file of one job goes if its server says that it is of such a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirByType {
    pub(crate) types: Vec<String>,
    /// In its one real spelling.
    pub(crate) dir: String,
}

impl DirByType {
    /// Whether it holds for a file with this `Content-Type`.
    pub(crate) fn fits(&self, content_type: &str) -> bool {
        let found = content_type.split(';').next().unwrap_or_default().trim();
        let kind = found.split_once('/').map(|(kind, _)| kind);
        self.types.iter().any(|known| match known.strip_suffix("/*") {
            Some(known) => kind.is_some_and(|kind| kind.eq_ignore_ascii_case(known)),
            None => found.eq_ignore_ascii_case(known),
        })
    }
}

impl Rule {
    /// Whether it holds for a job with this URL, name and label, of whatever type its file is.
    pub(crate) fn fits(&self, url: &Url, filename: Option<&str>, label: Option<&str>) -> bool {
        let from_url = || url.path_segments().and_then(Iterator::last).unwrap_or_default();
        let name = filename.unwrap_or_else(from_url).to_ascii_lowercase();
        let host = url.host_str().unwrap_or_default();
        let ends_with = |extension: &String| {
            let stem = name.strip_suffix(&extension.to_ascii_lowercase());
            stem.is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'))
        };
        (self.hosts.is_empty() || self.hosts.iter().any(|known| is_host(known, host)))
            && (self.extensions.is_empty() || self.extensions.iter().any(ends_with))
            && (self.labels.is_empty() || self.labels.iter().any(|known| Some(known.as_str()) == label))
    }

    /// Where the files go, as a job would say it.
    pub(crate) fn dir(&self) -> Option<&str> {
        self.dir.to_str().filter(|dir| !dir.is_empty())
    }

    /// The label that jobs without one are given.
    pub(crate) fn label(&self) -> Option<&str> {
        Some(self.label.as_str()).filter(|label| !label.is_empty())
    }

    fn check(&self) -> Result<(), String> {
        if self.dir.as_os_str().is_empty() && self.label.is_empty() {
            return Err("sets neither `dir` nor `label`".to_owned());
        }
        if !self.dir.as_os_str().is_empty() && !self.dir.is_absolute() {
            return Err(format!("has the `dir` `{}`, which must be an absolute path", self.dir.display()));
        }
        if !self.types.is_empty() && (self.dir.as_os_str().is_empty() || !self.label.is_empty()) {
            return Err(
                "has `types`, so it can set a `dir` and no `label`: a label counts before a server is asked".to_owned()
            );
        }
        let is_token =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c));
        let is_type =
            |it: &String| it.split_once('/').is_some_and(|(kind, own)| is_token(kind) && (own == "*" || is_token(own)));
        if let Some(wrong) = self.types.iter().find(|it| !is_type(it)) {
            return Err(format!("has the type `{wrong}`; write \"application/pdf\", or \"video/*\" for all videos"));
        }
        if self.dir.to_str().is_none() {
            return Err("has a `dir` that is not UTF-8".to_owned());
        }
        for label in self.labels.iter().chain(Some(&self.label).filter(|label| !label.is_empty())) {
            crate::submit::label(label).map_err(|problem| format!("is wrong: {problem}"))?;
        }
        let is_name = |host: &String| {
            let name = host.strip_prefix("*.").unwrap_or(host);
            !name.is_empty() && !name.contains(['*', '/', '@']) && (!name.contains(':') || name.starts_with('['))
        };
        if let Some(host) = self.hosts.iter().find(|host| !is_name(host)) {
            return Err(format!("has the host `{host}`, which is neither a name nor `*.` and a domain"));
        }
        if let Some(extension) = self.extensions.iter().find(|it| it.is_empty() || it.starts_with(['.', '*'])) {
            return Err(format!("has the extension `{extension}`; write it without the dot, like \"iso\""));
        }
        Ok(())
    }
}

fn is_host(known: &str, host: &str) -> bool {
    match known.strip_prefix("*.") {
        Some(domain) => {
            let (Some(at), false) = (host.len().checked_sub(domain.len()), domain.is_empty()) else { return false };
            host.is_char_boundary(at) && host[at..].eq_ignore_ascii_case(domain) && host[..at].ends_with('.')
        }
        None => known.eq_ignore_ascii_case(host),
    }
}

impl Config {
    /// Checks what can be found wrong by looking at the settings alone.
    pub(super) fn check_rules(&self) -> Result<(), ConfigError> {
        if self.rules.len() > RULES_MAX {
            return Err(ConfigError::value("rules", format!("are {}; there may be {RULES_MAX}", self.rules.len())));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let wrong =
                |message| ConfigError::value("rules", format!("have a mistake: number {} {message}", index + 1));
            rule.check().map_err(wrong)?;
        }
        let Some(watch) = self.watched() else { return Ok(()) };
        if !watch.is_absolute() {
            return Err(ConfigError::value("watch", format!("is `{}`; it must be an absolute path", watch.display())));
        }
        match [&self.download_dir].into_iter().chain(&self.roots()).find(|root| watch.starts_with(root)) {
            Some(root) => Err(watch_in_root(watch, root)),
            None => Ok(()),
        }
    }

    /// The directory that jobs are dropped into, if there is one.
    pub(crate) fn watched(&self) -> Option<&Path> {
        Some(self.watch.as_path()).filter(|dir| !dir.as_os_str().is_empty())
    }

    /// The directories of rules.
    pub(super) fn dirs_of_rules(&self) -> impl Iterator<Item = PathBuf> {
        self.rules.iter().map(|rule| rule.dir.clone()).filter(|dir| !dir.as_os_str().is_empty())
    }
}

/// A file that a server sends would be read as if its owner had dropped it there.
pub(crate) fn watch_in_root(watch: &Path, root: &Path) -> ConfigError {
    let (watch, root) = (watch.display(), root.display());
    ConfigError::value("watch", format!("is `{watch}`, which lies in `{root}`, where downloads go; name one elsewhere"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        toml::from_str(text).expect("good TOML")
    }

    #[test]
    fn every_condition_must_be_met_by_one_of_what_it_names() {
        for (text, fitting, others) in [
            (
                "hosts = [\"a.example\", \"*.b.example\", \"[::1]\"]",
                &["http://A.example/x", "http://x.B.example/", "http://x.y.b.example/", "http://[::1]:8/"][..],
                &["http://b.example/", "http://xb.example/", "http://a.example.org/", "http://xa.example/"][..],
            ),
            (
                "extensions = [\"ISO\", \"tar.gz\"]",
                &["http://a/x.iso?y=1", "http://a/b/X.Iso", "http://a/x.tar.gz"],
                &["http://a/iso", "http://a/.iso", "http://a/x.iso/", "http://a/xiso", "http://a/x.gz", "http://iso/"],
            ),
            ("hosts = [\"a\"]\nextensions = [\"iso\"]", &["http://a/x.iso"], &["http://a/x", "http://b/x.iso"]),
            ("", &["http://a/"], &[]),
        ] {
            let fits = |url: &&&str| rule(text).fits(&Url::parse(url).expect("a URL"), None, None);
            assert_eq!(fitting.iter().filter(fits).count(), fitting.len(), "{text}");
            assert_eq!(others.iter().filter(fits).collect::<Vec<_>>(), Vec::<&&str>::new(), "{text}");
        }
        let url = Url::parse("http://a/x.iso").expect("a URL");
        assert!(!rule("extensions = [\"iso\"]").fits(&url, Some("y.txt"), None), "the name counts that it will have");
        let labeled = rule("labels = [\"x\"]");
        assert!(labeled.fits(&url, None, Some("x")) && !labeled.fits(&url, None, Some("y")));
        assert!(!labeled.fits(&url, None, None));
    }

    #[test]
    fn a_type_is_the_one_that_a_server_names_or_one_of_its_kind() {
        let by_type =
            |types: &[&str]| DirByType { types: types.iter().map(|&it| it.to_owned()).collect(), dir: String::new() };
        let films = by_type(&["application/PDF", "video/*"]);
        for fitting in ["application/pdf", "Application/Pdf; charset=x", " video/mp4", "VIDEO/x-matroska;codecs=\"a\""]
        {
            assert!(films.fits(fitting), "{fitting}");
        }
        for other in ["", "video", "videos/mp4", "application/pdfx", "application/x; a=video/mp4", "*/*"] {
            assert!(!films.fits(other), "{other}");
        }
    }

    #[test]
    fn mistakes_are_named_with_the_number_of_the_rule() {
        let check = |text: &str| {
            let mut config = Config::defaults().expect("a home directory");
            config.overlay(toml::from_str(text).expect("good TOML"));
            config.check()
        };
        check("rules = [{ extensions = [\"iso\"], dir = \"/srv/iso\", label = \"iso\" }]").expect("a good rule");
        for (rule, part) in [
            ("{ hosts = [\"a\"] }", "neither `dir` nor `label`"),
            ("{ dir = \"here\" }", "absolute"),
            ("{ label = \"\\n\" }", "label"),
            ("{ hosts = [\"http://a\"], label = \"x\" }", "`http://a`"),
            ("{ hosts = [\"*\"], label = \"x\" }", "`*`"),
            ("{ extensions = [\".iso\"], label = \"x\" }", "without the dot"),
            ("{ types = [\"video/*\"], label = \"x\" }", "can set a `dir`"),
            ("{ types = [\"video/*\"], dir = \"/srv\", label = \"x\" }", "no `label`"),
            ("{ types = [\"video\"], dir = \"/srv\" }", "`video`"),
            ("{ types = [\"*/*\"], dir = \"/srv\" }", "`*/*`"),
            ("{ types = [\"video/mp4; x=y\"], dir = \"/srv\" }", "`video/mp4; x=y`"),
        ] {
            let error = check(&format!("rules = [{{ label = \"fine\" }}, {rule}]")).expect_err(rule).to_string();
            assert!(error.contains("`rules`") && error.contains("number 2") && error.contains(part), "{rule}: {error}");
        }
        for (text, part) in [
            ("watch = \"here\"", "absolute"),
            ("download_dir = \"/srv\"\nwatch = \"/srv/watch\"", "`/srv`, where downloads go"),
            ("watch = \"/data\"\nrules = [{ dir = \"/data\" }]", "`/data`, where downloads go"),
        ] {
            let error = check(text).expect_err(text).to_string();
            assert!(error.contains("`watch`") && error.contains(part), "{text}: {error}");
        }
    }
}
