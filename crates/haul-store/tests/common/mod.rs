//! A store in a directory of its own.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test file uses a part of it"
)]

use std::path::PathBuf;

use haul_core::{ByteRange, Chunk, Intent, JobId};
use haul_store::{Identity, JobRows, NewJob, Opened, Store, Wish};
use tempfile::TempDir;

pub const HOST: &str = "https://example.org:443";

pub struct World {
    pub dir: TempDir,
}

impl World {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("state/haul.db")
    }

    pub fn open(&self, boot: &str) -> (Store, Opened) {
        Store::open(&self.path(), boot).unwrap()
    }
}

pub fn job(url: &str) -> NewJob {
    NewJob {
        wish: Wish {
            url: url.into(),
            host: HOST.to_owned(),
            dir: "/downloads".to_owned(),
            headers: Some(r#"{"Authorization":"Bearer canary"}"#.into()),
            ..Wish::default()
        },
        intent: Intent::Run,
        part_token: "0123abcd".to_owned(),
        pieces: None,
        maker: None,
        gid: None,
    }
}

pub async fn submitted(store: &Store) -> JobId {
    store.insert_jobs(vec![job("https://example.org/a")], 1).await.unwrap()[0]
}

pub fn named(name: &str) -> Identity {
    Identity { name: Some(name.to_owned()), ..Identity::default() }
}

pub fn chunk(start: u64, end: u64, done: u64) -> Chunk {
    Chunk { done, ..Chunk::empty(ByteRange::new(start, end)) }
}

pub fn rows(job: JobId, rows: &[Chunk]) -> Vec<JobRows> {
    vec![JobRows::new(job, rows.to_vec())]
}
