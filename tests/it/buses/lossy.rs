//! A line between a client and a server on which answers get lost.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Says of bytes on their way to the server whether what must not be answered is among them. One a connection.
type Watcher = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// A proxy before a server. Once it is armed, it lets the first request pass that its watchers wait for, and from then on
/// no answer at all, until it is mended.
pub struct LossyLine {
    /// Where clients connect.
    pub port: u16,
    state: Arc<State>,
    listener: Option<TcpListener>,
}

#[derive(Default)]
struct State {
    is_armed: AtomicBool,
    is_deaf: AtomicBool,
    lost: AtomicUsize,
}

impl LossyLine {
    /// Takes a port; carries nothing yet.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
        let port = listener.local_addr().expect("it is bound").port();
        Self { port, state: Arc::default(), listener: Some(listener) }
    }

    /// Carries to a server from now on.
    pub fn lead_to(&mut self, server: &str, watcher: fn() -> Watcher) {
        let listener = self.listener.take().expect("a line leads to one server");
        let (state, server) = (self.state.clone(), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // The server may be away; then the client hears that its connection ends.
                if let Ok(server) = TcpStream::connect(&server) {
                    join(client, server, &state, watcher());
                }
            }
        });
    }

    /// The next request of that kind is the last one that is carried before the line goes deaf.
    pub fn arm(&self) {
        self.state.is_armed.store(true, Ordering::SeqCst);
    }

    /// Carries answers again; returns how many pieces of answers were lost.
    pub fn mend(&self) -> usize {
        self.state.is_armed.store(false, Ordering::SeqCst);
        self.state.is_deaf.store(false, Ordering::SeqCst);
        self.state.lost.swap(0, Ordering::SeqCst)
    }
}

fn join(client: TcpStream, server: TcpStream, state: &Arc<State>, mut watcher: Watcher) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a socket");
    let asked = state.clone();
    carry(copy(&client), copy(&server), move |bytes: &[u8]| {
        if watcher(bytes) && asked.is_armed.swap(false, Ordering::SeqCst) {
            asked.is_deaf.store(true, Ordering::SeqCst);
        }
        true
    });
    let answered = state.clone();
    carry(server, client, move |_: &[u8]| {
        let is_lost = answered.is_deaf.load(Ordering::SeqCst);
        answered.lost.fetch_add(usize::from(is_lost), Ordering::SeqCst);
        !is_lost
    });
}

/// Carries bytes one way until an end closes or `passes` says no; then both directions are cut.
fn carry(mut from: TcpStream, mut to: TcpStream, mut passes: impl FnMut(&[u8]) -> bool + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if !passes(&buffer[..read]) || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Waits for a publication with headers, which all of JetStream's are that expect something.
pub fn nats_publications() -> Watcher {
    Box::new(|bytes| bytes.windows(5).any(|word| word == b"HPUB "))
}

/// Waits for the end of a transaction.
pub fn kafka_commits() -> Watcher {
    const END_TXN: [u8; 2] = [0, 26];
    // A request is its length in four bytes and then as many, of which the first two say what it is.
    let (mut head, mut left) = (Vec::new(), 0_usize);
    Box::new(move |bytes| {
        let mut rest = bytes;
        let mut is_there = false;
        while !rest.is_empty() {
            if left > 0 {
                let skipped = left.min(rest.len());
                left -= skipped;
                rest = &rest[skipped..];
                continue;
            }
            head.push(rest[0]);
            rest = &rest[1..];
            if head.len() == 6 {
                is_there |= head[4..] == END_TXN;
                let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
                left = (length as usize).saturating_sub(2);
                head.clear();
            }
        }
        is_there
    })
}
