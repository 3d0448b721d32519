//! The server's thread: it accepts, owns all connections, and carries out the handle's orders.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::connection::serve;
use crate::entry::{Presence, Shared};
use crate::lock;
use crate::port::Port;

/// What the handle wants. The sender in it is dropped once that has been done.
#[derive(Debug)]
pub(crate) enum Order {
    CloseListener(Sender<()>),
    ReopenListener(Sender<()>),
    ResetConnections(Sender<()>),
}

/// The port, whether open or not: kept while it is closed, so that it is still there to be opened again.
struct Door {
    port: Port,
    listener: Option<TcpListener>,
}

impl Door {
    /// Opens a door at a free port.
    fn open_anywhere() -> io::Result<Self> {
        let mut door = Self { port: Port::free()?, listener: None };
        door.open()?;
        Ok(door)
    }

    fn close(&mut self) {
        self.listener = None;
    }

    fn open(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            self.listener = Some(self.port.share()?.listen(BACKLOG)?);
        }
        Ok(())
    }

    /// The next client. Cancel safe.
    async fn accept(&self) -> io::Result<TcpStream> {
        match &self.listener {
            Some(listener) => listener.accept().await.map(|(stream, _)| stream),
            None => std::future::pending().await,
        }
    }
}

/// Serves until the handle drops its end of `orders`. Tells the port through `ready`.
pub(crate) async fn run(shared: Arc<Shared>, mut orders: mpsc::Receiver<Order>, ready: Sender<u16>) -> io::Result<()> {
    let mut door = Door::open_anywhere()?;
    ready.send(door.port.number()?).ok();
    drop(ready);
    let (reset, resets) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return Ok(()),
                Some(Order::CloseListener(_done)) => door.close(),
                Some(Order::ReopenListener(_done)) => door.open()?,
                Some(Order::ResetConnections(_done)) => {
                    reset.send_replace(());
                    while connections.join_next().await.is_some() {}
                }
            },
            Some(_) = connections.join_next() => {}
            accepted = door.accept() => match accepted {
                Ok(stream) => admit(stream, &shared, &resets, &mut connections),
                // Out of descriptors: wait for some to come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

fn admit(stream: TcpStream, shared: &Arc<Shared>, resets: &watch::Receiver<()>, connections: &mut JoinSet<()>) {
    let connection = {
        let mut count = lock(&shared.connections);
        count.total += 1;
        count.total
    };
    if shared.refuses() {
        // Dropped with this option set, it sends a RST. If not, the client has gone.
        stream.set_zero_linger().ok();
        return;
    }
    stream.set_nodelay(true).ok();
    let presence = Presence::enter(&shared.connections);
    let (shared, mut resets) = (Arc::clone(shared), resets.clone());
    resets.mark_unchanged();
    connections.spawn(async move {
        let _presence = presence;
        tokio::select! {
            biased;
            _ = resets.changed() => {
                stream.set_zero_linger().ok();
            }
            // An error is the client's end of the connection.
            _ = serve(&stream, connection, &shared) => {}
        }
    });
}

/// Connections that may wait to be accepted: more than any test opens at once.
const BACKLOG: u32 = 1024;
