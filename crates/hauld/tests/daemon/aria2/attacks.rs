//! What strangers, foreign pages, and programs with little scope get by the dialect: no more than by the HTTP API.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haul_api::{JobQuery, Scope, Start, SubmitJob};
use haul_testkit::{Content, Do, File, Server, When};
use serde_json::{Value, json};

use super::{call, post, refusal, result, token};
use crate::support::{Daemon, Home, MIB};

fn body(answer: &crate::support::Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn unauthorized() -> Value {
    json!({"code": 1, "message": "Unauthorized"})
}

#[tokio::test]
async fn f_sec_01_03_strangers_and_foreign_pages_get_nothing_by_the_dialect() {
    let daemon = Daemon::start().await;
    let owner = daemon.home().token();
    let add =
        json!({"id": 1, "method": "aria2.addUri", "params": [format!("token:{owner}"), ["http://h/a"]]}).to_string();
    // Even with the token: a page that knows it is still foreign.
    for origin in ["http://evil.example", "null", "http://localhost:1", &format!("https://{}", daemon.tcp())] {
        for head in [
            "Content-Type: text/plain",
            "Content-Type: application/json",
            "Content-Type: application/x-www-form-urlencoded",
        ] {
            let answer = post(&daemon, &format!("Origin: {origin}\r\n{head}\r\n"), &add);
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (403, None),
                "{origin}: {answer:?}"
            );
        }
        let preflight = format!(
            "OPTIONS /jsonrpc HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\r\n",
            daemon.tcp()
        );
        let answer = daemon.raw(preflight);
        assert_eq!((answer.status, answer.header("access-control-allow-methods")), (403, None), "{answer:?}");
    }
    for site in ["cross-site", "same-site"] {
        assert_eq!(post(&daemon, &format!("Sec-Fetch-Site: {site}\r\n"), &add).status, 403, "{site}");
    }
    let rebound = daemon.raw(format!(
        "POST /jsonrpc HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{add}",
        add.len()
    ));
    assert_eq!(rebound.status, 421);
    assert!(daemon.client().jobs(&JobQuery::default()).await.expect("a list").jobs.is_empty());

    // A wrong token learns no names, and waits.
    for params in [json!([]), json!(["token:"]), json!(["token:wrong"]), json!([7]), json!([["token:", owner]])] {
        for method in ["aria2.getVersion", "aria2.nothing"] {
            let begun = Instant::now();
            let answer = post(&daemon, "", json!({"id": 1, "method": method, "params": params}).to_string());
            assert_eq!((answer.status, &body(&answer)["error"]), (400, &unauthorized()), "{params}");
            assert!(begun.elapsed() >= Duration::from_secs(1), "{params}: {:?}", begun.elapsed());
        }
    }
    let bearer = |token: &str| {
        post(&daemon, &format!("Authorization: Bearer {token}\r\n"), r#"{"id": 1, "method": "aria2.getVersion"}"#)
    };
    assert_eq!(bearer("wrong").status, 400);
    assert_eq!(bearer(&owner).status, 200, "a token in the head is as good");
    let own = format!("Origin: http://{}\r\n", daemon.tcp());
    let answer = post(&daemon, &own, &add);
    assert_eq!(answer.header("access-control-allow-origin"), Some(&*format!("http://{}", daemon.tcp())));
    assert_eq!((answer.status, answer.header("vary")), (200, Some("origin")), "{answer:?}");
}

#[tokio::test]
async fn f_sec_02_by_get_a_page_changes_nothing_and_nobody_anything_unless_it_is_switched_on() {
    let get = |daemon: &Daemon, head: &str, method: &str, params: Value| {
        let params = BASE64_STANDARD.encode(params.to_string()).replace('+', "%2B");
        let line = format!("GET /jsonrpc?jsonrpc=2.0&id=a&method={method}&params={params} HTTP/1.1");
        daemon.raw(format!("{line}\r\nHost: {}\r\nConnection: close\r\n{head}\r\n", daemon.tcp()))
    };
    let daemon = Daemon::start().await;
    let token = json!(format!("token:{}", daemon.home().token()));
    let add = || json!([token, ["http://h/a"]]);
    assert_eq!(get(&daemon, "", "aria2.addUri", add()).status, 405, "off");
    assert_eq!(get(&daemon, "", "aria2.getVersion", json!([token])).status, 405, "off");
    assert_eq!(
        daemon.raw(format!("PUT /jsonrpc HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", daemon.tcp())).status,
        405
    );

    let daemon = Daemon::at(Home::new("aria2 = { get = true }\nallowed_origins = [\"http://front.example\"]")).await;
    let token = json!(format!("token:{}", daemon.home().token()));
    let add = || json!([token, ["http://h/a"]]);
    for head in ["Origin: http://front.example\r\n", "Origin: http://front.example\r\nSec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(get(&daemon, head, "aria2.getVersion", json!([token])).status, 200, "it may look");
        for (method, params) in [
            ("aria2.addUri", add()),
            ("aria2.pauseAll", json!([token])),
            ("aria2.changeGlobalOption", json!([token, {"split": "1"}])),
            ("aria2.purgeDownloadResult", json!([token])),
            ("aria2.changeUri", json!([token, "9e", 1, [], []])),
        ] {
            let answer = get(&daemon, head, method, params);
            assert!(
                body(&answer)["error"]["message"].as_str().expect("a text").contains("GET"),
                "{method}: {answer:?}"
            );
        }
        let within = json!([[{"methodName": "aria2.addUri", "params": add()}]]);
        let answer = get(&daemon, head, "system.multicall", within);
        assert!(body(&answer)["result"][0]["message"].as_str().expect("a text").contains("GET"), "{answer:?}");
    }
    assert_eq!(get(&daemon, "Sec-Fetch-Site: cross-site\r\n", "aria2.addUri", add()).status, 403, "a link in a page");
    assert!(daemon.client().jobs(&JobQuery::default()).await.expect("a list").jobs.is_empty());
    assert_eq!(get(&daemon, "", "aria2.addUri", add()).status, 200, "a program may");
}

#[tokio::test]
async fn f_sec_22_a_scope_permits_by_the_dialect_what_it_permits_otherwise() {
    let daemon = Daemon::start().await;
    let owner = daemon.home().token();
    let (read, submit) = (token(&daemon, Scope::Read).await.token, token(&daemon, Scope::Submit).await.token);
    let add = |token: &str, options: Value| {
        result(&daemon, token, "aria2.addUri", &[json!(["https://files.example/a?sig=canary-query"]), options])
    };
    let owners = add(&owner, json!({"pause": "true", "header": ["Cookie: canary-cookie"]}));
    let own = add(&submit, json!({"pause": "true", "allow-overwrite": "true", "auto-file-renaming": "true"}));
    let all = |token: &str| {
        let waiting = result(&daemon, token, "aria2.tellWaiting", &[json!(0), json!(9), json!(["gid"])]);
        waiting.as_array().expect("a list").iter().map(|job| job["gid"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((all(&owner), all(&read)), (vec![owners.clone(), own.clone()], vec![owners.clone(), own.clone()]));
    assert_eq!(all(&submit), std::slice::from_ref(&own));
    let waiting = |token: &str| result(&daemon, token, "aria2.getGlobalStat", &[])["numWaiting"].clone();
    assert_eq!((waiting(&owner), waiting(&submit)), (json!("2"), json!("1")));

    let uri =
        |token: &str, gid: &Value| result(&daemon, token, "aria2.getUris", std::slice::from_ref(gid))[0]["uri"].clone();
    assert_eq!(uri(&owner, &owners), "https://files.example/a?sig=canary-query");
    let masked = uri(&read, &owners);
    assert_eq!(masked, format!("https://files.example/a?haul-secret:{}", owners.as_str().expect("a text")));
    // What was shown is understood when it comes back.
    let again = result(&daemon, &submit, "aria2.addUri", &[json!([uri(&submit, &own)]), json!({"pause": "true"})]);
    assert_eq!(uri(&owner, &again), "https://files.example/a?sig=canary-query");
    let foreign = result(&daemon, &submit, "aria2.addUri", &[json!([masked]), json!({"pause": "true"})]);
    assert_eq!(uri(&owner, &foreign), masked, "what another's job has it does not get");

    for method in ["tellStatus", "getOption", "getUris", "getFiles", "getServers", "changeUri", "changeOption"] {
        let params = [owners.clone(), json!(1), json!([]), json!([])];
        let params =
            if method == "changeOption" { vec![owners.clone(), json!({"split": "1"})] } else { params.to_vec() };
        let params = if method == "tellStatus" { params[..1].to_vec() } else { params };
        let message = refusal(&daemon, &submit, &format!("aria2.{method}"), &params);
        assert_eq!(message, format!("GID {} is not found", owners.as_str().expect("a text")), "{method}");
    }
    let changes = [
        ("pause", vec![own.clone()]),
        ("unpause", vec![own.clone()]),
        ("remove", vec![own.clone()]),
        ("removeDownloadResult", vec![own.clone()]),
        ("changePosition", vec![own.clone(), json!(0), json!("POS_SET")]),
        ("pauseAll", vec![]),
        ("unpauseAll", vec![]),
        ("purgeDownloadResult", vec![]),
        ("changeGlobalOption", vec![json!({"split": "1"})]),
        ("shutdown", vec![]),
    ];
    for token in [&read, &submit] {
        for (method, params) in &changes {
            let message = refusal(&daemon, token, &format!("aria2.{method}"), params);
            assert!(message.starts_with("this token may "), "{method}: {message}");
        }
    }
    for (method, params) in [("addUri", vec![json!(["https://h/a"])]), ("changeOption", vec![own.clone(), json!({})])] {
        assert!(
            refusal(&daemon, &read, &format!("aria2.{method}"), &params).starts_with("this token may "),
            "{method}"
        );
    }
    assert!(refusal(&daemon, &submit, "aria2.getGlobalOption", &[]).starts_with("this token may "));
    result(&daemon, &read, "aria2.getGlobalOption", &[]);
    for (uri, options, word) in
        [("http://127.0.0.1/a", json!({}), "public"), ("https://h/a", json!({"all-proxy": "http://p:1"}), "`proxy`")]
    {
        let message = refusal(&daemon, &submit, "aria2.addUri", &[json!([uri]), options]);
        assert!(message.contains("scope `submit`") && message.contains(word), "{message}");
    }
    let message = refusal(&daemon, &submit, "aria2.changeOption", &[own.clone(), json!({"max-download-limit": "1K"})]);
    assert!(message.contains("`bandwidth_limit`"), "{message}");
    let mirrors = [own.clone(), json!(1), json!([]), json!(["https://h/b"])];
    assert!(refusal(&daemon, &submit, "aria2.changeUri", &mirrors).starts_with("this token may "));
    assert!(!daemon.log().contains("canary"));
}

#[tokio::test]
async fn bombs_of_calls_and_of_nesting_are_bounded_and_wrong_types_are_named() {
    let daemon = Daemon::start().await;
    let owner = daemon.home().token();
    let secret = json!(format!("token:{owner}"));
    // Deep, long, and many.
    for (deep, id) in [("[".repeat(500_000), 500), (format!("{{\"id\":1,\"params\":{}", "[".repeat(100_000)), 500)] {
        assert_eq!(post(&daemon, "", deep).status, id);
    }
    let params = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let call_with =
        |params: String| post(&daemon, "", format!(r#"{{"id":1,"method":"aria2.getVersion","params":{params}}}"#));
    assert_eq!(call_with(params(120)).status, 400, "as deep as may be");
    assert_eq!(call_with(params(200)).status, 500);
    assert_eq!(post(&daemon, "", " ".repeat(2 << 20)).status, 500);
    assert_eq!(post(&daemon, "", " ".repeat((2 << 20) + 1)).status, 413);
    let one = json!({"id": 1, "method": "system.listNotifications"});
    let batch = post(&daemon, "", json!(vec![&one; 1000]).to_string());
    assert_eq!((batch.status, body(&batch).as_array().map(Vec::len)), (200, Some(1000)));
    let batch = post(&daemon, "", json!(vec![&one; 1001]).to_string());
    assert!(body(&batch)["error"]["message"].as_str().expect("a text").contains("1000 calls"), "{batch:?}");
    assert_eq!(body(&post(&daemon, "", "[]")), json!([]));

    let multi =
        |calls: Value| post(&daemon, "", json!({"id": 1, "method": "system.multicall", "params": [calls]}).to_string());
    let inner = json!({"methodName": "aria2.getVersion", "params": [secret]});
    assert_eq!(body(&multi(json!(vec![&inner; 1000])))["result"].as_array().map(Vec::len), Some(1000));
    assert_eq!(multi(json!(vec![&inner; 1001])).status, 400);
    // The bound is that of the message, however it is cut up.
    let bomb = json!({"id": 1, "method": "system.multicall", "params": [vec![&inner; 400]]});
    let answers = body(&post(&daemon, "", json!(vec![&bomb; 5]).to_string()));
    let done =
        |answer: &Value| answer["result"].as_array().expect("a list").iter().filter(|value| value.is_array()).count();
    let counts: Vec<_> = answers.as_array().expect("a list").iter().map(done).collect();
    assert_eq!(counts, [400, 400, 200, 0, 0]);
    let odd = json!([7, {}, {"methodName": 7}, {"methodName": "system.multicall"}, {"methodName": "aria2.getVersion", "params": 7}]);
    let faults = body(&multi(odd));
    let messages: Vec<_> = (0..5).map(|at| faults["result"][at]["message"].as_str().expect("a fault")).collect();
    let expected = [
        "system.multicall expected struct.",
        "Missing methodName.",
        "Missing methodName.",
        "Recursive system.multicall forbidden.",
        "Unauthorized",
    ];
    assert_eq!(messages, expected);

    // Wrong types in all places of all methods: an error, and never anything else.
    let gid = result(&daemon, &owner, "aria2.addUri", &[json!(["http://h/a"]), json!({"pause": "true"})]);
    let methods = result(&daemon, &owner, "system.listMethods", &[]);
    let wild = [
        json!(null),
        json!(7),
        json!(-1.5e300),
        json!("\u{0}\u{202e}"),
        json!([[]]),
        json!({"a": {}}),
        json!(true),
        gid.clone(),
    ];
    let skipped =
        ["system.multicall", "aria2.pauseAll", "aria2.forcePauseAll", "aria2.unpauseAll", "aria2.purgeDownloadResult"];
    for method in methods.as_array().expect("a list").iter().filter_map(Value::as_str) {
        if skipped.contains(&method) || method.ends_with("emove") || method.ends_with("unpause") {
            continue;
        }
        let mut calls = Vec::new();
        for first in &wild {
            for second in &wild {
                calls.push(json!({"id": 1, "method": method, "params": [secret, first, second, second, first]}));
            }
        }
        let answer = post(&daemon, "", json!(calls).to_string());
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
        for answer in body(&answer).as_array().expect("a list") {
            assert!(answer["error"]["message"].is_string() != answer.get("result").is_some(), "{method}: {answer}");
        }
    }
    let job = result(&daemon, &owner, "aria2.tellStatus", &[gid, json!(["status"])]);
    assert_eq!(job, json!({"status": "paused"}), "it came through all that");
}

#[tokio::test]
async fn inv_7_secrets_are_shown_to_no_client_and_come_back_to_their_own_server() {
    let (server, other) = (Server::start(), Server::start());
    let daemon = Daemon::with("log = \"trace\"").await;
    let owner = daemon.home().token();
    for server in [&server, &other] {
        server.add("/denied", File::new(Content::empty()).fault(When::Always, Do::status(403)));
    }
    let options = json!({"header": ["Cookie: canary-cookie", "X-Api-Key: canary-key", "Accept-Language: de"],
        "referer": "http://h/?canary-referrer", "http-user": "canary-user", "http-passwd": "canary-password"});
    let first = result(&daemon, &owner, "aria2.addUri", &[json!([server.url("/denied")]), options]);
    daemon.ended(1).await;
    let in_url = server.url("/denied").replace("http://", "http://canary-user:canary-password@");
    let second = result(&daemon, &owner, "aria2.addUri", &[json!([in_url])]);
    daemon.ended(2).await;
    let mut retried = Vec::new();
    for gid in [&first, &second] {
        for method in ["tellStatus", "getOption", "getFiles", "getUris"] {
            let answer = call(&daemon, &owner, &format!("aria2.{method}"), std::slice::from_ref(gid)).body;
            assert!(!answer.contains("canary"), "{method}: {answer}");
        }
        let shown = result(&daemon, &owner, "aria2.getOption", std::slice::from_ref(gid));
        let uris = result(&daemon, &owner, "aria2.getUris", std::slice::from_ref(gid));
        let uris = json!([uris[0]["uri"]]);
        let before = server.requests("/denied");
        retried.push(result(&daemon, &owner, "aria2.addUri", &[uris, shown.clone()]));
        daemon.ended(1 + retried.len() as u64 * 2).await;
        assert_eq!(server.requests("/denied"), before + 1);
        // At another server what stands for a secret means nothing.
        result(&daemon, &owner, "aria2.addUri", &[json!([other.url("/denied")]), shown]);
        daemon.ended(2 + retried.len() as u64 * 2).await;
    }
    let sent = server.log();
    assert_eq!(sent.len(), 4);
    for (one, again) in [(0, 2), (1, 3)] {
        for name in ["cookie", "x-api-key", "accept-language", "referer", "authorization"] {
            assert_eq!(sent[one].header(name), sent[again].header(name), "{name} of {one}");
        }
        assert!(sent[one].header("authorization").is_some_and(|value| value.starts_with("Basic ")), "{one}");
    }
    let foreign = other.log();
    assert_eq!(foreign.len(), 2);
    for request in &foreign {
        let text = format!("{:?}", request.headers);
        assert!(
            !text.contains("canary") && !text.contains("haul-secret") && request.header("authorization").is_none(),
            "{text}"
        );
    }
    assert!(!daemon.whole_log().contains("canary"), "no log has one");

    // What is complete has no secrets any more.
    let content = Content::seeded(3, MIB);
    server.add("/fine", File::new(content));
    let options = json!({"header": "Cookie: canary-cookie"});
    let fine = result(&daemon, &owner, "aria2.addUri", &[json!([server.url("/fine")]), options]);
    daemon.completed(7).await;
    let shown = result(&daemon, &owner, "aria2.getOption", &[fine]);
    assert_eq!(shown.get("header"), None, "{shown}");
}

#[tokio::test]
async fn the_dialect_can_be_switched_off() {
    let daemon = Daemon::with("aria2 = { enabled = false }").await;
    let paused = SubmitJob { start: Some(Start::Paused), ..SubmitJob::new("http://h/a") };
    daemon.submit_job(&paused).await;
    let body = json!({"id": 1, "method": "aria2.tellActive", "params": [format!("token:{}", daemon.home().token())]});
    assert_eq!(post(&daemon, "", body.to_string()).status, 401);
    let head = format!("Authorization: Bearer {}\r\n", daemon.home().token());
    assert_eq!(post(&daemon, &head, body.to_string()).status, 404);
}
