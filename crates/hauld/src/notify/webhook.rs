//! Telling by a signed POST, as Standard Webhooks has it (<https://www.standardwebhooks.com>).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haul_store::JobEvent;
use haul_transfer::ClientKey;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;
use url::Url;

use super::Outcome;

/// How long a receiver may take to be reached, and to answer in all. A guess: it has only to note what it is told.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// What a receiver answers to what it will never take: trying again does not mend that.
const REFUSALS: [u16; 5] = [400, 413, 414, 415, 422];

/// Somebody who is told of events by POST.
#[derive(Clone)]
pub(crate) struct Webhook {
    pub(crate) url: Url,
    pub(crate) secret: Arc<SecretSlice<u8>>,
}

impl Webhook {
    /// Tells of an event. A redirect is not followed: what is signed is for this address.
    pub(super) async fn tell(&self, client: &ClientKey, event: &JobEvent, body: Vec<u8>) -> Outcome {
        let client = match haul_transfer::client(&self.url, client, CONNECT_WITHIN) {
            Ok(client) => client,
            Err(fault) => return Outcome::Failed(fault.to_string()),
        };
        // The same at each attempt. The time tells it from an event of another database.
        let id = format!("{}-{}", event.id, event.at_ms);
        let timestamp = Timestamp::now().as_second().to_string();
        let request = client
            .post(self.url.clone())
            .timeout(ANSWERS_WITHIN)
            .header("content-type", "application/json")
            .header("user-agent", concat!("haul/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &id)
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", signature(self.secret.expose_secret(), &id, &timestamp, &body))
            .body(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Outcome::Told,
            Ok(answer) if REFUSALS.contains(&answer.status().as_u16()) => {
                Outcome::Refused(format!("the receiver has answered {}", answer.status().as_u16()))
            }
            Ok(answer) => Outcome::Failed(format!("the receiver has answered {}", answer.status().as_u16())),
            Err(error) if error.is_timeout() => Outcome::Failed("the receiver does not answer".to_owned()),
            Err(error) if error.is_connect() => Outcome::Failed("the receiver cannot be reached".to_owned()),
            // Its text could hold the URL.
            Err(_) => Outcome::Failed("the connection to the receiver broke".to_owned()),
        }
    }
}

/// The signature of a message ("Signature scheme").
fn signature(secret: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length");
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example that its libraries are tested with.
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signature = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
