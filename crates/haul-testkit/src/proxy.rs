//! Proxies: HTTP (forwarding and `CONNECT`) and SOCKS 5, with or without a password.
//!
//! All names lead to 127.0.0.1, so that a name which only the proxy can resolve shows who has resolved it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::lock;

/// A proxy on a port of its own. Dropping it closes the port.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    kind: Kind,
    asked: Mutex<Vec<String>>,
    closed: AtomicBool,
}

#[derive(Debug)]
enum Kind {
    /// The value of `Proxy-Authorization` that it wants, if any.
    Http(Option<String>),
    /// The user and the password that it wants, if any.
    Socks5(Option<(String, String)>),
}

/// A head longer than this is none of ours.
const HEAD_BYTES_MAX: usize = 64 << 10;

impl Proxy {
    /// An HTTP proxy that wants this value of `Proxy-Authorization`, if any.
    pub fn http(authorization: Option<&str>) -> Self {
        Self::start(Kind::Http(authorization.map(str::to_owned)))
    }

    /// A SOCKS 5 proxy that wants this user and this password, if any.
    pub fn socks5(login: Option<(&str, &str)>) -> Self {
        Self::start(Kind::Socks5(login.map(|(user, password)| (user.to_owned(), password.to_owned()))))
    }

    fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared { kind, asked: Mutex::default(), closed: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.closed.load(Relaxed) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                // Whoever hangs up has had what they wanted.
                thread::spawn(move || shared.serve(client).ok());
            }
        });
        Self { port, shared, thread: Some(thread) }
    }

    /// Its host and port.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it was asked for: `CONNECT a.test:443`, `GET http://a.test/x`, `name a.test:80`, `address 127.0.0.1:80`. Those
    /// that it has turned away are not among them.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Relaxed);
        // Its thread looks at the flag when somebody comes.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
        self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn note(&self, what: String) {
        lock(&self.asked).push(what);
    }

    fn serve(&self, client: TcpStream) -> io::Result<()> {
        match &self.kind {
            Kind::Http(authorization) => self.serve_http(client, authorization.as_deref()),
            Kind::Socks5(login) => self.serve_socks5(client, login.as_ref()),
        }
    }

    fn serve_http(&self, mut client: TcpStream, wanted: Option<&str>) -> io::Result<()> {
        let head = read_head(&mut client)?;
        let mut lines = head.split("\r\n");
        let request = lines.next().unwrap_or_default().to_owned();
        let headers: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let given = headers.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
        });
        if wanted.is_some() && given != wanted {
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\n\
                           Content-Length: 0\r\nConnection: close\r\n\r\n";
            return client.write_all(refusal.as_bytes());
        }
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.note(format!("{method} {target}"));
        if method == "CONNECT" {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port_of(target, 443)))?;
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            return pass_on(client, server);
        }
        let rest = target.strip_prefix("http://").unwrap_or(target);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port_of(authority, 80)))?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for line in headers {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !name.starts_with("proxy-") && name != "connection" {
                head += &format!("{line}\r\n");
            }
        }
        server.write_all((head + "\r\n").as_bytes())?;
        pass_on(client, server)
    }

    fn serve_socks5(&self, mut client: TcpStream, login: Option<&(String, String)>) -> io::Result<()> {
        let [version, methods] = read::<2>(&mut client)?;
        let mut offered = vec![0; usize::from(methods)];
        client.read_exact(&mut offered)?;
        let method = if login.is_some() { 2 } else { 0 };
        if version != 5 || !offered.contains(&method) {
            return client.write_all(&[5, 0xff]);
        }
        client.write_all(&[5, method])?;
        if let Some((user, password)) = login {
            read::<1>(&mut client)?;
            let given = (read_text(&mut client)?, read_text(&mut client)?);
            let fits = given == (user.clone(), password.clone());
            client.write_all(&[1, u8::from(!fits)])?;
            if !fits {
                return Ok(());
            }
        }
        let [_, _, _, kind] = read::<4>(&mut client)?;
        let target = match kind {
            1 => format!("address {}", Ipv4Addr::from(read::<4>(&mut client)?)),
            3 => format!("name {}", read_text(&mut client)?),
            _ => return client.write_all(&[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
        };
        let port = u16::from_be_bytes(read::<2>(&mut client)?);
        self.note(format!("{target}:{port}"));
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
        pass_on(client, server)
    }
}

fn port_of(authority: &str, usual: u16) -> u16 {
    authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(usual)
}

fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).map(|()| bytes)
}

/// A text behind the byte that tells its length.
fn read_text(stream: &mut TcpStream) -> io::Result<String> {
    let [length] = read::<1>(stream)?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Byte by byte, so that nothing behind the head is taken.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend(read::<1>(stream)?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Copies both ways until both have ended.
fn pass_on(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || {
        // One side that ends ends the other.
        io::copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(Shutdown::Write).ok();
    });
    let (mut from_server, mut to_client) = (server, client);
    io::copy(&mut from_server, &mut to_client).ok();
    to_client.shutdown(Shutdown::Both).ok();
    up.join().ok();
    Ok(())
}
