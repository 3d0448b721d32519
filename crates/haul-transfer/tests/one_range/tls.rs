//! TLS: who the server is, and where a body ends: FAILURES F-NET-11 and 12.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use haul_core::FaultKind;
use haul_core::messages::FetchKind;
use haul_transfer::{ClientKey, Lane, Order};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::NamedTempFile;

use crate::rig::{LEN, Rig};

/// A server whose certificate is for `name`, and a file with that certificate. It answers every request with `head` and
/// the content, and says goodbye or not.
pub(crate) fn serve(rig: &Rig, name: &str, head: &str, says_goodbye: bool) -> (String, NamedTempFile) {
    let own = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    let mut ca_file = NamedTempFile::new().expect("a file");
    ca_file.write_all(own.cert.pem().as_bytes()).expect("written");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS 1.3");
    let config = config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key).expect("a pair");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/a.bin", listener.local_addr().expect("an address"));
    let answer = [head.as_bytes(), b"\r\n\r\n", &rig.content.bytes()].concat();
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a configuration");
            let mut tls = StreamOwned::new(connection, tcp);
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.ends_with(b"\r\n\r\n") {
                match tls.read(&mut piece) {
                    Ok(read) if read > 0 => request.extend_from_slice(&piece[..read]),
                    // Who does not believe us hangs up.
                    _ => break,
                }
            }
            if request.is_empty() || tls.write_all(&answer).is_err() {
                continue;
            }
            if says_goodbye {
                tls.conn.send_close_notify();
            }
            tls.flush().ok();
        }
    });
    (url, ca_file)
}

fn probe(rig: &Rig, url: &str, client: ClientKey) -> (Order, tokio::sync::mpsc::Receiver<haul_transfer::Report>) {
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.submitted = url.parse().expect("a URL");
    order.client = client;
    (order, received)
}

#[test]
fn f_net_11_a_certificate_is_always_checked() {
    let rig = Rig::new(|file| file);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\nConnection: close");
    let trusting = |file: &NamedTempFile| ClientKey { ca_file: Some(file.path().to_owned()), ..ClientKey::default() };

    let (url, ca_file) = serve(&rig, "127.0.0.1", &head, true);
    let (order, received) = probe(&rig, &url, ClientKey::default());
    rig.run(order, received).refused_as(FaultKind::Tls);
    let (order, received) = probe(&rig, &url, trusting(&ca_file));
    rig.run(order, received).finished_at(LEN);

    let (url, ca_file) = serve(&rig, "another.test", &head, true);
    rig.wipe();
    let (order, received) = probe(&rig, &url, trusting(&ca_file));
    rig.run(order, received).refused_as(FaultKind::Tls);
}

#[test]
fn f_net_12_a_body_without_a_length_ends_with_a_goodbye_and_with_nothing_else() {
    let rig = Rig::new(|file| file);
    for says_goodbye in [true, false] {
        rig.wipe();
        let (url, ca_file) = serve(&rig, "127.0.0.1", "HTTP/1.1 200 OK\r\nConnection: close", says_goodbye);
        let client = ClientKey { ca_file: Some(ca_file.path().to_owned()), ..ClientKey::default() };
        let (order, received) = probe(&rig, &url, client);
        let run = rig.run(order, received);
        if says_goodbye {
            run.finished_at(LEN);
        } else {
            assert_eq!(run.fault().kind, FaultKind::Truncated);
        }
    }
}
