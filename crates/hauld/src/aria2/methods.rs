//! The methods: what each needs, and who carries it out.

use serde_json::{Value, json};

use super::call::Session;
use super::fault::Fault;
use super::notices::NAMES;
use super::params::Params;

/// Calls within a call.
pub(super) const MULTICALL: &str = "system.multicall";

const LIST_METHODS: &str = "system.listMethods";
const LIST_NOTIFICATIONS: &str = "system.listNotifications";

/// The version of aria2 whose dialect this is.
const VERSION: &str = "1.37.0";

/// What clients ask for before they use it.
const FEATURES: [&str; 4] = ["HTTPS", "Message Digest", "Metalink", "haul"];

/// What a caller's scope has to permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// To look at jobs that it may see.
    Look,
    /// To look at the settings.
    Settings,
    /// To submit jobs and to renew their links.
    Submit,
    /// To change anything.
    Change,
}

/// Declares each method once: its name, what it needs, and the variant that stands for it.
macro_rules! methods {
    ($($name:literal $need:ident $variant:ident;)+) => {
        /// A method with a token. Some have two names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Method {
            $($variant,)+
        }

        impl Method {
            const ALL: &[(&str, Self)] = &[$(($name, Self::$variant),)+];

            pub(super) fn need(self) -> Need {
                match self {
                    $(Self::$variant => Need::$need,)+
                }
            }
        }
    };
}

methods! {
    "aria2.addUri" Submit AddUri;
    "aria2.addTorrent" Submit AddTorrent;
    "aria2.addMetalink" Submit AddMetalink;
    "aria2.getPeers" Look Peers;
    "aria2.remove" Change Remove;
    "aria2.forceRemove" Change ForceRemove;
    "aria2.pause" Change Pause;
    "aria2.forcePause" Change ForcePause;
    "aria2.pauseAll" Change PauseAll;
    "aria2.forcePauseAll" Change ForcePauseAll;
    "aria2.unpause" Change Unpause;
    "aria2.unpauseAll" Change UnpauseAll;
    "aria2.changePosition" Change Position;
    "aria2.changeUri" Submit ChangeUris;
    "aria2.changeOption" Submit ChangeOptions;
    "aria2.tellStatus" Look Status;
    "aria2.tellActive" Look Active;
    "aria2.tellWaiting" Look Waiting;
    "aria2.tellStopped" Look Stopped;
    "aria2.getUris" Look Uris;
    "aria2.getFiles" Look Files;
    "aria2.getServers" Look Servers;
    "aria2.getOption" Look Options;
    "aria2.getGlobalOption" Settings GlobalOptions;
    "aria2.changeGlobalOption" Change ChangeGlobalOptions;
    "aria2.getGlobalStat" Look Statistics;
    "aria2.purgeDownloadResult" Change Purge;
    "aria2.removeDownloadResult" Change Forget;
    "aria2.getVersion" Look Version;
    "aria2.getSessionInfo" Look Session;
    "aria2.saveSession" Look Save;
    "aria2.shutdown" Change Shutdown;
    "aria2.forceShutdown" Change ForceShutdown;
}

impl Method {
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
    }
}

/// What the methods tell that want no token: they are about the dialect and nothing else.
pub(super) fn about(name: &str) -> Option<Value> {
    match name {
        LIST_METHODS => {
            let own = [MULTICALL, LIST_METHODS, LIST_NOTIFICATIONS];
            Some(json!(Method::ALL.iter().map(|(name, _)| *name).chain(own).collect::<Vec<_>>()))
        }
        LIST_NOTIFICATIONS => Some(json!(NAMES)),
        _ => None,
    }
}

/// What is answered where there is nothing to tell.
pub(super) fn ok() -> Value {
    json!("OK")
}

impl Session<'_> {
    /// Carries out a method that its caller may use.
    pub(super) async fn run(&mut self, method: Method, params: &Params) -> Result<Value, Fault> {
        match method {
            Method::AddUri => self.add_uri(params).await,
            Method::AddMetalink => self.add_metalink(params).await,
            Method::AddTorrent => Err(Fault::new("haul downloads over HTTP and HTTPS only: it has no BitTorrent")),
            Method::Remove | Method::ForceRemove => self.remove(params).await,
            Method::Pause | Method::ForcePause => self.pause(params).await,
            Method::Unpause => self.unpause(params).await,
            Method::PauseAll | Method::ForcePauseAll => self.pause_all().await,
            Method::UnpauseAll => self.unpause_all().await,
            Method::Position => self.change_position(params).await,
            Method::ChangeUris => self.change_uris(params).await,
            Method::ChangeOptions => self.change_options(params).await,
            Method::Purge => self.purge().await,
            Method::Forget => self.forget(params).await,
            Method::Status => self.tell_status(params).await,
            Method::Active => self.tell_active(params).await,
            Method::Waiting => self.tell_waiting(params).await,
            Method::Stopped => self.tell_stopped(params).await,
            Method::Uris => self.uris(params).await,
            Method::Files => self.files(params).await,
            Method::Servers => self.servers(params).await,
            Method::Peers => self.peers(params).await,
            Method::Options => self.options(params).await,
            Method::GlobalOptions => self.global_options().await,
            Method::ChangeGlobalOptions => self.change_global_options(params).await,
            Method::Statistics => self.statistics().await,
            Method::Version => Ok(json!({"version": VERSION, "enabledFeatures": FEATURES})),
            Method::Session => Ok(json!({"sessionId": self.api.dialect.session})),
            // All that was answered is on the disk already.
            Method::Save => Ok(ok()),
            Method::Shutdown | Method::ForceShutdown => {
                Err(Fault::new("hauld is stopped by whoever has started it, such as `systemctl --user stop hauld`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_methods_of_aria2_are_there() {
        let Some(Value::Array(names)) = about(LIST_METHODS) else { panic!("a list") };
        assert_eq!(names.len(), 36);
        assert_eq!(Method::named("aria2.addUri"), Some(Method::AddUri));
        assert_eq!(Method::named(MULTICALL), None);
        assert_eq!(about("aria2.getVersion"), None);
    }

    #[test]
    fn what_changes_something_needs_more_than_to_look() {
        for (name, method) in Method::ALL {
            let plain = name.trim_start_matches("aria2.");
            let looks = ["get", "tell"].iter().any(|word| plain.starts_with(word)) || plain == "saveSession";
            assert_eq!(matches!(method.need(), Need::Look | Need::Settings), looks, "{name}");
        }
    }
}
