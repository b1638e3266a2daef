//! A proxy before PostgreSQL that cuts every connection at a request: before the server has it, or when the server has
//! answered it and the client does not know.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A request that never comes.
const NEVER: usize = usize::MAX;

/// Forwards connections until it cuts them.
pub struct CuttingProxy {
    pub port: u16,
    cut: Arc<Cut>,
}

/// When everything ends.
#[derive(Debug)]
struct Cut {
    /// Two moments a request: before it is forwarded, and when it is answered.
    moments_left: AtomicUsize,
    done: CancellationToken,
}

impl Cut {
    /// Whether this moment is the one.
    fn is_now(&self) -> bool {
        let one_less = |left: usize| (left != NEVER).then(|| left.saturating_sub(1));
        self.moments_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) == Ok(0)
    }
}

impl CuttingProxy {
    /// Listens before the server on a port of this machine. Clients must not ask for TLS.
    pub async fn before(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port should be free");
        let port = listener.local_addr().expect("it is bound").port();
        let cut = Arc::new(Cut { moments_left: AtomicUsize::new(NEVER), done: CancellationToken::new() });
        let accepting = accept(listener, server_port, cut.clone());
        tokio::spawn(cut.done.clone().run_until_cancelled_owned(accepting));
        Self { port, cut }
    }

    /// Cuts so many moments from now: an even number before a request is forwarded, an odd one after its answer.
    pub fn cut_after(&self, moments: usize) {
        self.cut.moments_left.store(moments, Ordering::Relaxed);
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.cut.done.cancel();
    }
}

async fn accept(listener: TcpListener, server_port: u16, cut: Arc<Cut>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(("127.0.0.1", server_port)).await.expect("the server should take connections");
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("it is a TCP stream");
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let line = Line { from_client, to_client, from_server, to_server, cut: cut.clone() };
        tokio::spawn(cut.done.clone().run_until_cancelled_owned(line.forward()));
    }
}

/// One connection.
struct Line {
    from_client: OwnedReadHalf,
    to_client: OwnedWriteHalf,
    from_server: OwnedReadHalf,
    to_server: OwnedWriteHalf,
    cut: Arc<Cut>,
}

impl Line {
    /// Until either side is gone, or the connection is cut.
    async fn forward(self) -> std::io::Result<()> {
        let Self { mut from_client, mut to_client, mut from_server, mut to_server, cut } = self;
        // The first message has no type: a length that includes itself, and the startup parameters.
        to_server.write_all(&body(&mut from_client).await?).await?;
        let (mut request, mut kind, mut answer) = (Vec::new(), [0], [0; 4_096]);
        loop {
            tokio::select! {
                read = from_client.read(&mut kind) => if read? == 0 { return Ok(()) },
                read = from_server.read(&mut answer) => {
                    match read? {
                        0 => return Ok(()),
                        bytes => to_client.write_all(&answer[..bytes]).await?,
                    }
                    continue;
                }
            }
            request.push(kind[0]);
            request.extend(body(&mut from_client).await?);
            // A request ends with a simple query or a sync; a password and a goodbye stand for themselves.
            let is_request = matches!(kind[0], b'Q' | b'S');
            if is_request && cut.is_now() {
                break;
            }
            if is_request || matches!(kind[0], b'p' | b'X') {
                to_server.write_all(&request).await?;
                request.clear();
            }
            if is_request && cut.is_now() {
                from_server.readable().await?;
                break;
            }
        }
        cut.done.cancel();
        Ok(())
    }
}

/// A length and what it counts, length included.
async fn body(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut message = length.to_be_bytes().to_vec();
    message.resize(length as usize, 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}
