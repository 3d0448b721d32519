//! A `.netrc`: users and passwords by host.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use haul_transfer::Login;

/// What a file says of each host. `default` says something of all hosts, and is not used: a job may name any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Netrc(BTreeMap<String, Login>);

/// A file larger than this is none of these. A guess.
const BYTES_MAX: u64 = 1 << 20;

impl Netrc {
    /// Reads a file. Blocks.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what helps.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let metadata = std::fs::metadata(path).map_err(|error| format!("names a file that cannot be read: {error}"))?;
        if metadata.mode() & 0o077 != 0 {
            let path = path.display();
            return Err(format!("names a file with passwords that others may read: `chmod 600 {path}` changes that"));
        }
        if metadata.len() > BYTES_MAX {
            return Err("names a file that is too large".to_owned());
        }
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("names a file that cannot be read: {error}"))?;
        Ok(Self::parse(&text))
    }

    /// The user and the password for a host.
    pub(crate) fn login(&self, host: &str) -> Option<Login> {
        self.0.get(&host.to_ascii_lowercase()).cloned()
    }

    fn parse(text: &str) -> Self {
        let mut logins = BTreeMap::new();
        // The host that the words are about; of two entries the first counts.
        let mut about: Option<(String, Login)> = None;
        let mut keep = |about: Option<(String, Login)>| {
            if let Some((host, login)) = about.filter(|(_, login)| !login.user.is_empty() || login.password.is_some()) {
                logins.entry(host).or_insert(login);
            }
        };
        let mut rest = text;
        while let Some((word, behind)) = word(rest) {
            rest = behind;
            match word.as_str() {
                "machine" | "default" => {
                    keep(about.take());
                    if word == "machine" {
                        let Some((host, behind)) = self::word(rest) else { break };
                        rest = behind;
                        about = Some((host.to_ascii_lowercase(), Login { user: String::new(), password: None }));
                    }
                }
                "login" | "password" | "account" => {
                    let Some((value, behind)) = self::word(rest) else { break };
                    rest = behind;
                    match (&mut about, word.as_str()) {
                        (Some((_, login)), "login") => login.user = value,
                        (Some((_, login)), "password") => login.password = Some(value),
                        (Some(_) | None, _) => {}
                    }
                }
                // A macro ends with an empty line.
                "macdef" => rest = rest.split_once("\n\n").map_or("", |(_, behind)| behind),
                _ => {}
            }
        }
        keep(about);
        Self(logins)
    }
}

/// The next word, which may be in quotes, and what is behind it. From `#` to the end of a line is nothing.
fn word(text: &str) -> Option<(String, &str)> {
    let mut text = text.trim_start();
    while text.starts_with('#') {
        text = text.split_once('\n')?.1.trim_start();
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let mut word = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Some((word, &quoted[at + 1..])),
                '\\' => word.push(chars.next()?.1),
                _ => word.push(c),
            }
        }
        return None;
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn login(text: &str, host: &str) -> Option<(String, Option<String>)> {
        Netrc::parse(text).login(host).map(|login| (login.user, login.password))
    }

    fn some(user: &str, password: Option<&str>) -> Option<(String, Option<String>)> {
        Some((user.to_owned(), password.map(str::to_owned)))
    }

    #[test]
    fn each_host_has_its_user_and_password() {
        let text = "# mine\nmachine A.example login ann password s3cret\nmachine b.example\n\tlogin bob\n\tpassword \
                    \"a \\\"b\\\" c\" account x\nmachine a.example login eve password x\ndefault login all password x";
        assert_eq!(login(text, "a.EXAMPLE"), some("ann", Some("s3cret")));
        assert_eq!(login(text, "b.example"), some("bob", Some("a \"b\" c")));
        assert_eq!(login(text, "c.example"), None, "`default` is for nobody");
        assert_eq!(login("machine a login", "a"), None);
        assert_eq!(login("machine a password p#1", "a"), some("", Some("p#1")));
    }

    #[test]
    fn macros_are_passed_over() {
        let text = "machine a login ann\nmacdef init\nmachine b login eve\nlogin eve\n\nmachine c login bob";
        assert_eq!(login(text, "a"), some("ann", None));
        assert_eq!(login(text, "b"), None);
        assert_eq!(login(text, "c"), some("bob", None));
        assert_eq!(login("macdef x\nmachine a login b", "a"), None);
    }

    #[test]
    fn whatever_stands_there_is_read_to_its_end() {
        for text in ["", "\"", "\"\\", "machine", "machine \"", "#", "machine a login \"x", "\u{0}ä machine ä login ö"]
        {
            Netrc::parse(text);
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "machine a login ann password s3cret").expect("written");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).expect("its owner may");
        let error = Netrc::read(file.path()).expect_err("the group may read it");
        assert!(error.contains("chmod 600") && !error.contains("s3cret"), "{error}");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).expect("its owner may");
        assert!(Netrc::read(file.path()).expect("only its owner may").login("a").is_some());
    }
}
