//! One installation: a database and topics of its own, and the processes on them.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use holdfast::config::{SecretUrl, Settings, SinkSettings, SourceSettings, StoreSettings, TopicSettings};
use serde_json::Value;

use crate::servers::{shared_kafka, shared_nats};
use crate::shop::{OnPostgres, OnSqlite, new_database};

/// Longer than anything here takes on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// A database and topics that no other test uses.
pub struct Installation {
    pub database: String,
    /// Where the worker finds it; a proxy may stand before it.
    pub store_url: String,
    pub source_url: String,
    /// Where announcements go, when not there.
    pub sink_url: Option<String>,
    prefix: String,
    pub environment: Vec<(String, String)>,
}

/// A process that ends with the test.
pub struct Worker {
    pub child: Child,
    pub http_port: u16,
}

/// A process that ends with the test process, however that ends.
pub struct WorkerOfProcess {
    /// Its standard input is what the process waits on.
    _keeper: Child,
    http_port: u16,
}

impl WorkerOfProcess {
    /// Asks the sidecar; the status and the body, or nothing while it does not answer.
    pub async fn ask(&self, path: &str) -> Option<(u16, String)> {
        ask(self.http_port, path).await
    }

    /// Waits until it is ready for everything.
    pub async fn wait_until_ready(&self) {
        wait_for(self.http_port, "/readyz", 200).await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Only what is still there; a worker that ended is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Installation {
    /// On the servers that all tests share, with topics made.
    pub async fn new() -> Self {
        let kafka = tokio::task::spawn_blocking(shared_kafka).await.expect("Kafka should start");
        Self::made(kafka.url(), None).await
    }

    /// The same on NATS.
    pub async fn on_nats() -> Self {
        let nats = tokio::task::spawn_blocking(shared_nats).await.expect("NATS should start");
        Self::made(nats.url(), None).await
    }

    /// With topics made on buses that may differ.
    pub async fn made(source_url: String, sink_url: Option<String>) -> Self {
        let installation = Self { sink_url, ..Self::bare(new_database().await, source_url) };
        installation.succeed(&["topics", "apply"]);
        installation
    }

    /// Nothing made yet.
    pub fn bare(database: String, source_url: String) -> Self {
        let prefix = format!("t{}.", uuid::Uuid::new_v4().simple());
        let store_url = database.clone();
        Self { store_url, database, source_url, sink_url: None, prefix, environment: Vec::new() }
    }

    /// A topic as the broker names it.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// With a file for store and bus, and no server anywhere.
    pub fn embedded() -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("holdfast.db").display());
        (Self::bare(url, "local:".to_owned()), folder)
    }

    /// A command of the binary with this installation's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command
            .args(arguments)
            .env("HOLDFAST__STORE__URL", &self.store_url)
            .env("HOLDFAST__SOURCE__URL", &self.source_url)
            // One that is empty counts as unset.
            .env("HOLDFAST__SINK__URL", self.sink_url.as_deref().unwrap_or_default())
            .env("HOLDFAST__SOURCE__GROUP", format!("{}group", self.prefix))
            .env("HOLDFAST__TOPICS__PREFIX", &self.prefix)
            .env("HOLDFAST__SINK__ENCODING", "json")
            // Several, and few enough that one broker makes them in no time for every test.
            .env("HOLDFAST__TOPICS__PARTITIONS", "3")
            // Workers of the tests lose sight of each other sooner than real ones, so that takeovers are quick.
            .env("HOLDFAST__SOURCE__KAFKA__SESSION.TIMEOUT.MS", "6000")
            .env("HOLDFAST__SOURCE__NATS__ACK_WAIT_MS", "3000")
            .env("HOLDFAST__RELAY__LEASE_S", "2")
            .envs(self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command
    }

    /// Runs a command to its end.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary should run")
    }

    /// Runs a command that must succeed; returns what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}: {errors}", output.status);
        String::from_utf8(output.stdout).expect("commands print text")
    }

    /// Publishes events, one JSON object a line.
    pub fn publish(&self, events: &[Value]) {
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        self.publish_lines(&["publish", "-"], &lines);
    }

    /// Publishes lines as they are.
    pub fn publish_lines(&self, arguments: &[&str], lines: &str) {
        let mut child =
            self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary should run");
        let mut input = child.stdin.take().expect("standard input was asked for");
        input.write_all(lines.as_bytes()).expect("publish should read");
        drop(input);
        assert!(child.wait().expect("publish should end").success());
    }

    /// Starts a worker.
    pub fn worker(&self) -> Worker {
        self.worker_with(&[])
    }

    /// Starts a worker with more in its environment.
    pub fn worker_with(&self, environment: &[(&str, &str)]) -> Worker {
        self.start_worker(free_port(), environment)
    }

    /// Starts a worker whose sidecar has this port.
    pub fn worker_at(&self, http_port: u16) -> Worker {
        self.start_worker(http_port, &[])
    }

    fn start_worker(&self, http_port: u16, environment: &[(&str, &str)]) -> Worker {
        let child = self
            .command(&["run", "--http-listen", &format!("127.0.0.1:{http_port}")])
            .envs(environment.iter().copied())
            .spawn()
            .expect("the binary should run");
        Worker { child, http_port }
    }

    /// Starts a worker that nobody has to end: a shell keeps it, and ends it when this process is gone.
    pub fn worker_of_process(&self) -> WorkerOfProcess {
        const KEEP: &str = r#""$0" "$@" & worker=$!; read -r _; kill -9 $worker"#;
        let http_port = free_port();
        let worker = self.command(&["run", "--http-listen", &format!("127.0.0.1:{http_port}")]);
        let mut keeper = Command::new("sh");
        keeper.arg("-c").arg(KEEP).arg(worker.get_program()).args(worker.get_args());
        keeper.env("HOLDFAST__LOG__LEVEL", "warn").stdin(Stdio::piped());
        keeper.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
        WorkerOfProcess { _keeper: keeper.spawn().expect("a shell should run"), http_port }
    }

    /// The same settings for parts that run in this process.
    pub fn settings(&self) -> Settings {
        let usual = Settings::default();
        Settings {
            store: StoreSettings { url: SecretUrl::new(&self.store_url), ..usual.store },
            source: SourceSettings { url: SecretUrl::new(&self.source_url), ..usual.source },
            sink: SinkSettings { url: self.sink_url.as_ref().map(SecretUrl::new), ..usual.sink },
            topics: TopicSettings { prefix: self.prefix.clone(), ..usual.topics },
            ..usual
        }
    }

    /// Everything published so far, in order of `seq`.
    pub fn published(&self) -> Vec<Value> {
        let lines = self.succeed(&["subscribe", "--from", "start", "--until-end"]);
        lines.lines().map(|line| serde_json::from_str(line).expect("a line should be an event")).collect()
    }

    /// Everything on the dead-letter topic.
    pub fn dead_letters(&self) -> Vec<Value> {
        let topic = ["subscribe", "--topic", "inventory-dead-letters", "--from", "start", "--until-end"];
        self.succeed(&topic).lines().map(|line| serde_json::from_str(line).expect("a line should be JSON")).collect()
    }

    /// One number from the database.
    pub async fn number(&self, query: &str) -> i64 {
        match self.database.strip_prefix("sqlite://") {
            Some(file) => OnSqlite::number(file, query).await,
            None => OnPostgres::number(&self.database, query).await,
        }
    }

    /// Changes the database behind its back.
    pub async fn execute(&self, statement: &str) {
        match self.database.strip_prefix("sqlite://") {
            Some(file) => OnSqlite::tamper(file, statement).await,
            None => OnPostgres::tamper(&self.database, statement).await,
        }
    }

    /// Waits until so many identities are filed and everything committed is published and marked so.
    pub async fn wait_until_handled(&self, identities: i64) {
        let handled = format!(
            "select cast(case when (select count(*) from inbox) = {identities}
                               and (select last_number from outbox_counter) = (select published_number from relay)
                         then 1 else 0 end as bigint)"
        );
        let started = Instant::now();
        while self.number(&handled).await == 0 {
            if started.elapsed() > DEADLINE {
                let inbox = self.number("select count(*) from inbox").await;
                let last = self.number("select last_number from outbox_counter").await;
                let published = self.number("select published_number from relay").await;
                panic!("{inbox} of {identities} identities are filed, {published} of {last} batches are published");
            }
        }
    }

    /// What must hold whenever the workers are at rest: the database is sound, and the stream is the outbox, once and
    /// in order.
    pub async fn assert_sound(&self) -> Vec<Value> {
        self.succeed(&["verify"]);
        let published = self.published();
        let seqs: Vec<i64> = published.iter().map(|event| event["data"]["seq"].as_i64().expect("a seq")).collect();
        let last = self.number("select last_seq from outbox_counter").await;
        assert_eq!(seqs, (1..=last).collect::<Vec<_>>(), "the stream has a hole or a repetition");
        published
    }
}

impl Worker {
    /// Whether the process is gone.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the worker should be there").is_some()
    }

    /// Waits until it ended; returns its exit code, `None` when a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the worker should be there") {
                return status.code();
            }
            assert!(started.elapsed() < DEADLINE, "the worker does not end");
            std::thread::yield_now();
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill should run");
        assert!(status.success(), "kill -s {name}");
    }

    /// Asks the sidecar; the status and the body, or nothing while it does not answer.
    pub async fn ask(&self, path: &str) -> Option<(u16, String)> {
        ask(self.http_port, path).await
    }

    /// Waits until the sidecar gives this status.
    pub async fn wait_for(&self, path: &str, status: u16) {
        wait_for(self.http_port, path, status).await;
    }
}

async fn ask(http_port: u16, path: &str) -> Option<(u16, String)> {
    let response = reqwest::get(format!("http://127.0.0.1:{http_port}{path}")).await.ok()?;
    Some((response.status().as_u16(), response.text().await.ok()?))
}

async fn wait_for(http_port: u16, path: &str, status: u16) {
    let started = Instant::now();
    while ask(http_port, path).await.map(|(status, _)| status) != Some(status) {
        assert!(started.elapsed() < DEADLINE, "{path} never gave {status}");
        tokio::task::yield_now().await;
    }
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
    listener.local_addr().expect("it is bound").port()
}
