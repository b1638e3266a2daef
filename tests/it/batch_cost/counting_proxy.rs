//! A proxy before PostgreSQL that reads what a client asks the server to execute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Forwards connections, and keeps every statement that passes: simple queries, and executions of prepared ones.
pub struct CountingProxy {
    pub port: u16,
    executed: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl CountingProxy {
    /// Listens before the server on a port of this machine. Clients must not ask for TLS.
    pub async fn before(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port should be free");
        let port = listener.local_addr().expect("it is bound").port();
        let executed = Arc::new(Mutex::new(Vec::new()));
        let accepting = tokio::spawn(accept(listener, server_port, executed.clone()));
        Self { port, executed, accepting }
    }

    /// The statements since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.executed.lock().expect("nobody panics under it"))
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Connections end with the client or the server, whichever is first.
async fn accept(listener: TcpListener, server_port: u16, executed: Arc<Mutex<Vec<String>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(("127.0.0.1", server_port)).await.expect("the server should take connections");
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("it is a TCP stream");
        }
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        let questions = Questions { from_client, to_server, executed: executed.clone(), prepared: HashMap::new() };
        tokio::spawn(questions.forward());
        tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    }
}

/// What one client sends.
struct Questions {
    from_client: OwnedReadHalf,
    to_server: OwnedWriteHalf,
    executed: Arc<Mutex<Vec<String>>>,
    /// Statements by name.
    prepared: HashMap<Vec<u8>, String>,
}

impl Questions {
    /// Until either side is gone.
    async fn forward(mut self) -> std::io::Result<()> {
        // The first message has no type: a length that includes itself, and the startup parameters.
        let startup = self.body().await?;
        self.to_server.write_all(&startup).await?;
        let mut bound = String::new();
        loop {
            let kind = self.from_client.read_u8().await?;
            let message = self.body().await?;
            let mut texts = message[4..].split(|byte| *byte == 0);
            let mut text = || texts.next().unwrap_or_default();
            match kind {
                b'Q' => self.note(String::from_utf8_lossy(text()).into_owned()),
                b'P' => {
                    let name = text().to_vec();
                    self.prepared.insert(name, String::from_utf8_lossy(text()).into_owned());
                }
                b'B' => {
                    let (_portal, statement) = (text(), text());
                    bound = self.prepared.get(statement).cloned().unwrap_or_default();
                }
                b'E' => self.note(bound.clone()),
                _ => {}
            }
            self.to_server.write_u8(kind).await?;
            self.to_server.write_all(&message).await?;
        }
    }

    /// A length and what it counts, length included.
    async fn body(&mut self) -> std::io::Result<Vec<u8>> {
        let length = self.from_client.read_u32().await?;
        let mut message = length.to_be_bytes().to_vec();
        message.resize(length as usize, 0);
        self.from_client.read_exact(&mut message[4..]).await?;
        Ok(message)
    }

    fn note(&self, statement: String) {
        self.executed.lock().expect("nobody panics under it").push(statement);
    }
}
