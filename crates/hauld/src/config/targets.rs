//! The settings about who is told of events: webhooks and hooks. Only the configuration can name them (F-SEC-21).

use std::fmt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haul_api::HumanDuration;
use haul_store::EventKind;
use secrecy::SecretSlice;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::{Config, ConfigError};
use crate::notify::{Hook, Target, Teller, Webhook};

/// Webhooks or hooks that there may be. A guess: more than anybody wants, and each costs a task.
const TARGETS_MAX: usize = 32;

/// The longest that a hook may take. A guess: it holds up those behind it.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Bytes of a webhook's secret (Standard Webhooks, "Signature scheme").
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What a webhook's secret begins with (the same).
const SECRET_PREFIX: &str = "whsec_";

/// Where a webhook's events go. The path may be as secret as a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct WebhookUrl(pub Url);

impl WebhookUrl {
    /// The server alone.
    fn shown(&self) -> String {
        format!("{}/…", self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().fmt(f)
    }
}

impl Serialize for WebhookUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

/// Somebody who is told of events by a signed POST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSetting {
    /// Where they go.
    pub url: WebhookUrl,
    /// A file with the secret that they are signed with.
    pub secret_file: PathBuf,
    /// The kinds of events.
    #[serde(default = "ends")]
    pub events: Vec<String>,
    /// Only those of jobs with one of these labels; none means all jobs.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// A program that is run for events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSetting {
    /// The program and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// How long it may take.
    #[serde(default = "timeout")]
    pub timeout: HumanDuration,
    /// The kinds of events.
    #[serde(default = "ends")]
    pub events: Vec<String>,
    /// Only those of jobs with one of these labels; none means all jobs.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// What most want to be told of: that a job has ended.
fn ends() -> Vec<String> {
    ["completed", "failed"].map(str::to_owned).to_vec()
}

fn timeout() -> HumanDuration {
    HumanDuration(Duration::from_secs(60))
}

impl Config {
    /// Checks what can be found wrong by looking at the settings alone.
    pub(super) fn check_targets(&self) -> Result<(), ConfigError> {
        let webhooks = self.webhooks.iter().map(|(name, webhook)| ("webhooks", name, &webhook.events));
        let hooks = self.hooks.iter().map(|(name, hook)| ("hooks", name, &hook.events));
        for (key, name, events) in webhooks.chain(hooks) {
            let wrong = |message: String| ConfigError::value(key, format!("is wrong: `{name}` {message}"));
            crate::submit::label(name)
                .map_err(|_| wrong("must have 1 to 64 characters, no control characters".to_owned()))?;
            if events.is_empty() {
                return Err(wrong("has no `events`; leave them out for `completed` and `failed`".to_owned()));
            }
            if let Some(unknown) = events.iter().find(|kind| !EventKind::WORDS.contains(&kind.as_str())) {
                let known = EventKind::WORDS.join("`, `");
                return Err(wrong(format!("has `events` that do not exist: `{unknown}`; there are `{known}`")));
            }
        }
        for (key, number) in [("webhooks", self.webhooks.len()), ("hooks", self.hooks.len())] {
            if number > TARGETS_MAX {
                return Err(ConfigError::value(key, format!("are {number}; there may be {TARGETS_MAX}")));
            }
        }
        self.webhooks.iter().try_for_each(|(name, webhook)| check_webhook(name, webhook))?;
        self.hooks.iter().try_for_each(|(name, hook)| check_hook(name, hook))
    }

    /// Who is told of events. Reads their secrets, and looks whether programs are there; blocks.
    pub(crate) fn targets(&self) -> Result<Vec<Target>, ConfigError> {
        let mut targets = Vec::new();
        for (name, setting) in &self.webhooks {
            let wrong = |message| ConfigError::value("webhooks", format!("is wrong: `{name}` {message}"));
            let secret = read_secret(&setting.secret_file).map_err(wrong)?;
            let webhook = Webhook { url: setting.url.0.clone(), secret: Arc::new(secret) };
            targets.push(Target {
                name: name.clone(),
                teller: Teller::Webhook(webhook),
                kinds: setting.events.clone(),
                labels: setting.labels.clone(),
            });
        }
        for (name, setting) in &self.hooks {
            let wrong = |message| ConfigError::value("hooks", format!("is wrong: `{name}` {message}"));
            check_program(setting.command[0].as_ref()).map_err(wrong)?;
            let hook = Hook { command: setting.command.clone(), timeout: setting.timeout.0 };
            targets.push(Target {
                name: name.clone(),
                teller: Teller::Hook(hook),
                kinds: setting.events.clone(),
                labels: setting.labels.clone(),
            });
        }
        Ok(targets)
    }
}

fn check_webhook(name: &str, webhook: &WebhookSetting) -> Result<(), ConfigError> {
    let wrong = |message: &str| Err(ConfigError::value("webhooks", format!("is wrong: `{name}` {message}")));
    let url = &webhook.url.0;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return wrong("must have a `url` with `http` or `https`");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("has a user or a password in its `url`; receivers know haul by the signature");
    }
    if !webhook.secret_file.is_absolute() {
        return wrong("must have a `secret_file` with an absolute path");
    }
    Ok(())
}

fn check_hook(name: &str, hook: &HookSetting) -> Result<(), ConfigError> {
    let wrong = |message: &str| Err(ConfigError::value("hooks", format!("is wrong: `{name}` {message}")));
    if !hook.command.first().is_some_and(|program| Path::new(program).is_absolute()) {
        return wrong("must have a `command` that begins with the absolute path of a program");
    }
    if hook.command.iter().any(|word| word.contains('\0')) {
        return wrong("has a NUL in its `command`");
    }
    if hook.timeout.0.is_zero() || hook.timeout.0 > TIMEOUT_MAX {
        return wrong("must have a `timeout` of more than 0 and at most \"1h\"");
    }
    Ok(())
}

fn check_program(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| format!("names the program `{}`, which cannot be used: {error}", path.display()))?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("names `{}`, which is no program that can be run", path.display()));
    }
    Ok(())
}

/// Reads a secret. No text repeats it.
fn read_secret(path: &Path) -> Result<SecretSlice<u8>, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("names the `secret_file` `{shown}`, which cannot be read: {error}");
    if std::fs::metadata(path).map_err(cannot)?.mode() & 0o077 != 0 {
        return Err(format!("names a `secret_file` that others may read: `chmod 600 {shown}` changes that"));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    let text = text.trim();
    let bytes = BASE64_STANDARD.decode(text.strip_prefix(SECRET_PREFIX).unwrap_or(text)).ok();
    let fits = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
    fits.map(SecretSlice::from).ok_or_else(|| {
        format!(
            "names the `secret_file` `{shown}`, which must hold `{SECRET_PREFIX}` and 24 to 64 bytes in base64: \
             `echo {SECRET_PREFIX}$(openssl rand -base64 32)` makes one"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, ConfigError> {
        let mut config = Config::defaults().expect("a home directory");
        let layer: super::super::Layer = toml::from_str(text).expect("good TOML");
        config.overlay(layer);
        config.check().map(|()| config)
    }

    #[test]
    fn what_is_wrong_with_a_webhook_or_a_hook_is_named() {
        let webhook = |rest: &str| format!("[webhooks.chat]\nsecret_file = \"/s\"\n{rest}");
        let hook = |rest: &str| format!("[hooks.move]\n{rest}");
        for (text, part) in [
            (webhook("url = \"ftp://h/s3cret\""), "`http`"),
            (webhook("url = \"https://u:s3cret@h/\""), "a user or a password"),
            (webhook("url = \"https://h/s3cret\"\nevents = [\"done\"]"), "`done`"),
            (webhook("url = \"https://h/s3cret\"\nevents = []"), "no `events`"),
            ("[webhooks.chat]\nurl = \"https://h/s3cret\"\nsecret_file = \"s\"".to_owned(), "`secret_file`"),
            (hook("command = []"), "`command`"),
            (hook("command = [\"sh\"]"), "absolute path"),
            (hook("command = [\"/bin/sh\"]\ntimeout = \"2h\""), "`timeout`"),
            (hook("command = [\"/bin/sh\"]\ntimeout = \"0s\""), "`timeout`"),
        ] {
            let error = config(&text).expect_err(&text).to_string();
            let name = if text.contains("hooks.move") { "`move`" } else { "`chat`" };
            assert!(error.contains(part) && error.contains(name), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn f_sec_20_the_path_of_a_webhook_is_not_shown() {
        let config =
            config("[webhooks.chat]\nsecret_file = \"/s\"\nurl = \"https://h:8/s3cret?s3cret\"").expect("right");
        let shown = format!("{config:?} {}", toml::Value::try_from(&config.webhooks).expect("TOML"));
        assert!(shown.contains("https://h:8/…") && !shown.contains("s3cret"), "{shown}");
        assert_eq!(config.webhooks["chat"].events, ["completed", "failed"]);
    }

    #[test]
    fn f_sec_20_a_secret_that_is_exposed_or_none_is_refused_and_not_repeated() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("secret");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).expect("a writable file");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("its owner");
            read_secret(&path)
        };
        let good = format!("whsec_{}\n", BASE64_STANDARD.encode([7; 32]));
        write(&good, 0o600).expect("a good one");
        assert!(write(&good, 0o640).expect_err("exposed").contains("chmod 600"));
        for text in ["", "whsec_", "whsec_s3cret", &BASE64_STANDARD.encode([7; 23]), &BASE64_STANDARD.encode([7; 65])] {
            let error = write(text, 0o600).expect_err(text);
            assert!(error.contains("openssl") && !error.contains("s3cret"), "{error}");
        }
        std::fs::remove_file(&path).expect("it is there");
        assert!(read_secret(&path).expect_err("gone").contains("cannot be read"));
        assert!(check_program(dir.path()).is_err() && check_program(Path::new("/bin/sh")).is_ok());
    }
}
