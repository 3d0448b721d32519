//! WebSockets: the same messages, and what is told without being asked.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use haul_api::ProblemCode;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::call::{Asker, carry_out};
use super::envelope::Message;
use super::notices::{Moment, Notices};
use super::transport::MESSAGE_BYTES_MAX;
use crate::api::{Api, Refused};

/// WebSockets at a time, as many as streams (FAILURES.md, F-API-06).
pub(super) const SOCKETS_MAX: usize = 64;

/// How often the other side is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long it may say nothing, no answer to that either. A guess: three times as long.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// Takes a handshake that was found to come from where it may.
pub(super) fn open(api: &Api, asker: Asker, upgrade: WebSocketUpgrade) -> Response {
    let Ok(place) = Arc::clone(&api.dialect.places).try_acquire_owned() else {
        let detail = format!("there are {SOCKETS_MAX} WebSockets, which is the most; close one, or use POST");
        return Refused::new(ProblemCode::TooManyStreams, detail).into_response();
    };
    let (api, sockets) = (api.clone(), api.dialect.sockets.clone());
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    upgrade.on_upgrade(move |socket| {
        sockets.track_future(async move {
            // Whoever goes without a word has gone.
            Conversation { api: &api, asker: &asker, socket, notices: None }.hold().await.ok();
            drop(place);
        })
    })
}

/// One socket.
struct Conversation<'a> {
    api: &'a Api,
    asker: &'a Asker,
    socket: WebSocket,
    /// From the first call on that had a valid token.
    notices: Option<Notices>,
}

impl Conversation<'_> {
    /// Answers messages in their order until one side has enough.
    async fn hold(mut self) -> Result<(), axum::Error> {
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let api = self.api;
            let notices = &mut self.notices;
            let told = async {
                match notices {
                    Some(notices) => notices.next(api).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = api.stop.cancelled() => return self.close(close_code::AWAY, "the daemon stops").await,
                frame = self.socket.recv() => {
                    heard = Instant::now();
                    match frame.transpose()? {
                        Some(Frame::Text(text)) => self.answer(text.as_bytes()).await?,
                        Some(Frame::Binary(bytes)) => self.answer(&bytes).await?,
                        Some(Frame::Ping(_) | Frame::Pong(_)) => {}
                        Some(Frame::Close(_)) | None => return Ok(()),
                    }
                }
                notice = told => match notice {
                    Some(notice) => self.send(&notice).await?,
                    None => return self.close(close_code::POLICY, "the token is revoked").await,
                },
                _ = pings.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return Ok(());
                    }
                    self.socket.send(Frame::Ping(bytes::Bytes::new())).await?;
                }
            }
        }
    }

    async fn answer(&mut self, bytes: &[u8]) -> Result<(), axum::Error> {
        // Before the call is carried out: it may be the one that has something happen.
        let moment = match self.notices {
            None => Moment::now(self.api).await.ok(),
            Some(_) => None,
        };
        let outcome = carry_out(self.api, self.asker, Message::read(bytes)).await;
        if let (Some(moment), Some(caller)) = (moment, outcome.caller) {
            self.notices = Some(Notices::since(moment, self.api, caller));
        }
        self.send(&outcome.body).await
    }

    async fn send(&mut self, body: &Value) -> Result<(), axum::Error> {
        self.socket.send(Frame::Text(body.to_string().into())).await
    }

    async fn close(mut self, code: u16, reason: &'static str) -> Result<(), axum::Error> {
        self.socket.send(Frame::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))).await
    }
}
