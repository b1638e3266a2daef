//! Real servers for the tests, started by `tools/servers.py` and ended with the process. Traps: the mock cluster that
//! is built into the Kafka client ignores aborts of transactions, so nothing here is tested against it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Some servers in the hands of one child process, which ends them when its standard input ends: when this value is
/// dropped or the test process dies, however that happens.
pub struct Servers {
    child: Mutex<Talk>,
    announced: serde_json::Value,
}

struct Talk {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What can be done to a server.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Every process of it at once, as a crash would.
    Kill,
    /// On its old port and data.
    Start,
    /// A clean end and a start.
    Restart,
    /// Freeze it: connections stay open and nothing answers.
    Pause,
    /// End a pause.
    Resume,
}

/// Where Kafka is.
#[derive(Clone, Debug, Deserialize)]
pub struct KafkaAddress {
    /// `host:port`.
    pub bootstrap: String,
}

/// Where NATS is.
#[derive(Clone, Debug, Deserialize)]
pub struct NatsAddress {
    /// `host:port`.
    pub address: String,
}

impl NatsAddress {
    /// As the settings take it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

impl KafkaAddress {
    /// As the settings take it.
    pub fn url(&self) -> String {
        format!("kafka://{}", self.bootstrap)
    }
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
}

impl Servers {
    /// Fetches the named servers when they are not there yet, starts them and returns when each of them answers.
    pub fn start(names: &[&str]) -> Self {
        Self::start_with(names, &[])
    }

    /// The same, with further arguments of the tool.
    pub fn start_with(names: &[&str], arguments: &[String]) -> Self {
        let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/servers.py");
        let fetched = Command::new("python3").arg(tool).arg("fetch").args(names).stdout(Stdio::null()).status();
        assert!(fetched.expect("python3 should be installed").success(), "could not fetch {names:?}");
        let mut process = Command::new("python3")
            .arg(tool)
            .arg("run")
            .args(names)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 should be installed");
        let orders = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().expect("standard output was asked for"));
        let announced = read_line(&mut answers);
        Self { child: Mutex::new(Talk { process, orders, answers }), announced }
    }

    /// What a server announced.
    pub fn address<T: DeserializeOwned>(&self, server: &str) -> T {
        serde_json::from_value(self.announced[server].clone()).expect("the server should have been started")
    }

    /// Does something to a server and returns when it is done.
    pub fn act(&self, action: Action, server: &str) {
        let word = match action {
            Action::Kill => "kill",
            Action::Start => "start",
            Action::Restart => "restart",
            Action::Pause => "pause",
            Action::Resume => "resume",
        };
        let mut talk = self.lock();
        let orders = talk.orders.as_mut().expect("it is closed only when this value is dropped");
        writeln!(orders, "{word} {server}").expect("the servers should still be there");
        let answer: Answer = read_line(&mut talk.answers);
        assert!(answer.ok, "{word} {server}: {:?}", answer.error);
    }

    fn lock(&self) -> MutexGuard<'_, Talk> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let mut talk = self.lock();
        drop(talk.orders.take());
        let _ = talk.process.wait();
    }
}

/// What a Kafka needs that is not killed: a broker that misses its time under load is fenced, and all its partitions are
/// unknown for a while.
pub fn patient_kafka() -> [String; 1] {
    ["--kafka-option=broker.session.timeout.ms=60000".to_owned()]
}

/// The Kafka that all tests of this process share. Nobody may stop it; see [`Servers::start`] for one of your own.
pub fn shared_kafka() -> KafkaAddress {
    // Never dropped: the end of the process closes the pipe, and with it ends the servers.
    static SHARED: OnceLock<Servers> = OnceLock::new();
    SHARED.get_or_init(|| Servers::start_with(&["kafka"], &patient_kafka())).address("kafka")
}

/// The NATS server that all tests of this process share. It takes events as large as they may be.
pub fn shared_nats() -> NatsAddress {
    // As above.
    static SHARED: OnceLock<Servers> = OnceLock::new();
    let large = ["--nats-option=max_payload=9437184".to_owned()];
    SHARED.get_or_init(|| Servers::start_with(&["nats"], &large)).address("nats")
}

fn read_line<T: DeserializeOwned>(answers: &mut BufReader<ChildStdout>) -> T {
    let mut line = String::new();
    answers.read_line(&mut line).expect("the servers should answer");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("the servers answered {line:?}: {error}"))
}
