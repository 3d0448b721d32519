//! Tokens, and whose each job is.

mod common;

use common::{World, job};
use haul_core::{Action, JobId};
use haul_store::{Filter, Maker, NewJob, NewToken, Order, Page, Scope, StoreError, TokenId, TokenRow};

fn new(hash: u8, scope: Scope, jobs_max: u32) -> NewToken {
    NewToken { hash: [hash; 32], scope, name: format!("token {hash}"), jobs_max }
}

fn of(token: TokenId) -> NewJob {
    NewJob { maker: Some(Maker { token, public_only: true }), ..job("https://example.org/a") }
}

#[tokio::test]
async fn a_token_comes_back_as_it_went_in_until_it_is_revoked() {
    let world = World::new();
    let (store, _) = world.open("b");
    let first = store.add_token(new(1, Scope::Admin, 10), 5).await.unwrap();
    let second = store.add_token(new(2, Scope::Submit, 20), 6).await.unwrap();
    store.add_token(new(2, Scope::Read, 1), 7).await.expect_err("each hash is there once");
    store.note_token_use(second.id, 8).await.unwrap();
    let used = TokenRow { last_used_at_ms: Some(8), ..second.clone() };
    assert_eq!(store.tokens().await.unwrap(), [first.clone(), used]);
    assert!(store.revoke_token(second.id, 9).await.unwrap());
    assert!(!store.revoke_token(second.id, 10).await.unwrap(), "it is revoked already");
    assert!(!store.revoke_token(TokenId(u64::MAX), 10).await.unwrap());
    store.close().await.unwrap();
    let (store, _) = world.open("b");
    assert_eq!(store.tokens().await.unwrap(), [first]);
    let third = store.add_token(new(3, Scope::Read, 1), 11).await.unwrap();
    assert!(third.id > second.id, "a number is never used again");
}

#[tokio::test]
async fn f_sec_25_a_job_knows_its_token_and_no_token_has_too_many() {
    let world = World::new();
    let (store, _) = world.open("b");
    let token = store.add_token(new(1, Scope::Submit, 2), 1).await.unwrap().id;
    store.insert_jobs(vec![job("https://example.org/o")], 1).await.unwrap();
    let refused = store.insert_jobs(vec![of(token), of(token), of(token)], 1).await;
    assert!(matches!(refused, Err(StoreError::TooManyJobs { most: 2 })), "{refused:?}");
    let ids = store.insert_jobs(vec![of(token), of(token)], 1).await.unwrap();
    let other = store.add_token(new(2, Scope::Submit, 1), 1).await.unwrap().id;
    store.insert_jobs(vec![of(other)], 1).await.expect("the jobs of another token do not count");
    let admin = store.add_token(new(3, Scope::Admin, 1), 1).await.unwrap().id;
    let unlimited = || NewJob { maker: Some(Maker { token: admin, public_only: false }), ..of(admin) };
    store.insert_jobs(vec![unlimited(), unlimited()], 1).await.expect("who may do everything has no limit");
    let row = store.job(ids[0]).await.unwrap().unwrap();
    assert_eq!(row.maker, Some(Maker { token, public_only: true }));
    let filter = |token| Page {
        after: None,
        order: Order::default(),
        limit: 10,
        filter: Filter { token: Some(token), ..Filter::default() },
    };
    let found = store.jobs(filter(token)).await.unwrap().0;
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<JobId>>(), [ids[1], ids[0]]);
    assert!(store.jobs(filter(TokenId(u64::MAX))).await.unwrap().0.is_empty());
    store.act(ids[0], Action::Cancel, 2).await.unwrap();
    store.insert_jobs(vec![of(token)], 3).await.expect("one has ended");
    store.revoke_token(token, 4).await.unwrap();
    assert_eq!(store.job(ids[1]).await.unwrap().unwrap().maker, row.maker, "its jobs stay, and stay its own");
}

#[tokio::test]
async fn f_db_13_users_and_passwords_end_with_the_job() {
    let world = World::new();
    let (store, _) = world.open("b");
    let mut new = job("https://example.org/a");
    new.wish.credentials = Some(r#"{"https://example.org":"Basic canary"}"#.into());
    let id = store.insert_jobs(vec![new.clone()], 1).await.unwrap()[0];
    assert_eq!(store.job(id).await.unwrap().unwrap().wish.credentials, new.wish.credentials);
    let (_, row) = store.act(id, Action::Cancel, 2).await.unwrap();
    assert_eq!(row.wish.credentials, None);
    store.close().await.unwrap();
    let bytes = std::fs::read(world.path()).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"canary"), "a secret is left in the file");
}
