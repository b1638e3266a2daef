//! The demo: an embedded worker, a shop's traffic made from real orders, and a view of what happens.

mod catalogue;
mod screen;
mod sidecar;
mod tally;
mod traffic;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::catalogue::Catalogue;
use self::screen::{Head, Screen};
use self::sidecar::{Announcements, SidecarClient};
use self::tally::Tally;
use self::traffic::Traffic;

/// How often customers act: what one tick brings goes to the worker in one request.
const TICK: Duration = Duration::from_millis(50);
/// One request takes at most so many events; what the rate asks for beyond waits for the next.
const MOST_AT_ONCE: usize = 1_000;
/// How often the screen is drawn, or a line printed where there is no screen.
const DRAW_EVERY: Duration = Duration::from_millis(200);
const TELL_EVERY: Duration = Duration::from_secs(5);
/// A worker that is not ready after so long has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);
const READY_LOOK: Duration = Duration::from_millis(10);
/// What is published after the last event is waited for so long.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Announcements on their way to the view.
const ANNOUNCEMENTS_AHEAD: usize = 10_000;

/// How the demo shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A screen that is drawn anew all the time.
    Screen,
    /// A line on standard error now and then.
    Lines,
}

/// What the caller chose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Events a second.
    pub rate: f64,
    /// Of the customers' choices.
    pub seed: u64,
    /// How long; without end when it is not said.
    pub lasts: Option<Duration>,
    /// How it is shown.
    pub view: View,
}

/// Sends a shop's traffic to the worker whose sidecar listens at `address` and shows what comes of it, until `stop` is
/// set, the time is over or somebody leaves the screen; the worker itself is ended by the caller. Returns the figures.
///
/// # Errors
/// A sentence when the worker does not get ready, does not answer, or the terminal cannot be used.
pub async fn run(options: Options, address: SocketAddr, stop: CancellationToken) -> Result<Value, String> {
    let began = Instant::now();
    let catalogue = Catalogue::load().map_err(|error| format!("the demo's orders cannot be read: {error}"))?;
    let client = SidecarClient::new(format!("http://{address}")).map_err(|error| error.to_string())?;
    wait_until_ready(&client, &stop).await?;
    let (sender, announced) = mpsc::channel(ANNOUNCEMENTS_AHEAD);
    let listening = CancellationToken::new();
    let listener = tokio::spawn(listen(client.listen().await?, sender, listening.clone()));
    let mut show = Show {
        options,
        client,
        address: format!("http://{address}"),
        traffic: Traffic::new(catalogue, options.seed),
        tally: Tally::new(Instant::now()),
        announced,
        first_event: None,
    };
    let shown = show.play(began, &stop).await;
    listening.cancel();
    let listened = listener.await.map_err(|error| format!("the listener broke: {error}"))?;
    let first_event = show.first_event.map(|at| at.as_millis() as u64);
    let mut summary = show.tally.summary(Instant::now());
    shown?;
    listened?;
    summary["first_event_ms"] = first_event.into();
    summary["seed"] = options.seed.into();
    Ok(summary)
}

async fn wait_until_ready(client: &SidecarClient, stop: &CancellationToken) -> Result<(), String> {
    let ready = async {
        while !client.is_ready().await {
            tokio::time::sleep(READY_LOOK).await;
        }
    };
    match stop.run_until_cancelled(tokio::time::timeout(READY_WITHIN, ready)).await {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) => Err(format!("the worker was not ready after {} s", READY_WITHIN.as_secs())),
        None => Err("stopped before the worker was ready".to_owned()),
    }
}

/// Carries announcements to the view until the stream ends or nobody wants them.
async fn listen(
    mut stream: Announcements,
    sender: mpsc::Sender<Value>,
    stop: CancellationToken,
) -> Result<(), String> {
    while let Some(next) = stop.run_until_cancelled(stream.next()).await {
        let Some(announcement) = next? else { return Ok(()) };
        if sender.send(announcement).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

struct Show {
    options: Options,
    client: SidecarClient,
    address: String,
    traffic: Traffic,
    tally: Tally,
    announced: mpsc::Receiver<Value>,
    first_event: Option<Duration>,
}

impl Show {
    async fn play(&mut self, began: Instant, stop: &CancellationToken) -> Result<(), String> {
        let opening = self.traffic.opening();
        self.hand_in(&opening).await?;
        self.first_event = Some(began.elapsed());
        let terminal = |error: std::io::Error| format!("the terminal cannot be used: {error}; try --no-tui");
        let mut screen = match self.options.view {
            View::Screen => Some(Screen::take().map_err(terminal)?),
            View::Lines => {
                tracing_line(&format!("the worker's sidecar answers at {}", self.address));
                None
            }
        };
        let leave = stop.child_token();
        let keys = screen.is_some().then(|| watch_keys(leave.clone()));
        let ends_at = self.options.lasts.map(|lasts| began + lasts);
        let played = self.loop_until(&leave, ends_at, screen.as_mut()).await;
        leave.cancel();
        if let Some(keys) = keys {
            keys.await.map_err(|error| format!("the keyboard's thread broke: {error}"))?.map_err(terminal)?;
        }
        drop(screen);
        played?;
        self.hear_the_rest().await;
        Ok(())
    }

    async fn loop_until(
        &mut self,
        leave: &CancellationToken,
        ends_at: Option<Instant>,
        mut screen: Option<&mut Screen>,
    ) -> Result<(), String> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = 0.0;
        let mut last_tick = Instant::now();
        let mut shown_at = Instant::now();
        while leave.run_until_cancelled(tick.tick()).await.is_some() {
            let now = Instant::now();
            if ends_at.is_some_and(|end| now >= end) {
                return Ok(());
            }
            due += self.options.rate * now.duration_since(last_tick).as_secs_f64();
            last_tick = now;
            let count = (due as usize).min(MOST_AT_ONCE);
            // A worker that falls behind is not owed what it could not take.
            due = (due - count as f64).min(self.options.rate);
            if count > 0 {
                let events: Vec<Value> = (0..count).map(|_| self.traffic.next()).collect();
                self.hand_in(&events).await?;
            }
            self.hear();
            let every = if screen.is_some() { DRAW_EVERY } else { TELL_EVERY };
            if now.duration_since(shown_at) >= every {
                shown_at = now;
                self.show(screen.as_deref_mut(), now).map_err(|error| format!("the terminal is gone: {error}"))?;
            }
        }
        Ok(())
    }

    /// Hands events in, and counts how they ended.
    async fn hand_in(&mut self, events: &[Value]) -> Result<(), String> {
        let outcomes = self.client.hand_in(events).await?;
        self.tally.handled(Instant::now(), &outcomes);
        Ok(())
    }

    /// Takes in what was published meanwhile.
    fn hear(&mut self) {
        while let Ok(announcement) = self.announced.try_recv() {
            self.take(&announcement);
        }
    }

    /// Waits for what is still being published after the last event, as long as more comes.
    async fn hear_the_rest(&mut self) {
        let mut rest = pin!(tokio::time::sleep(LAST_WORDS));
        loop {
            let next = tokio::select! {
                () = &mut rest => return,
                next = until_quiet(self.announced.recv()) => next,
            };
            match next {
                Some(announcement) => self.take(&announcement),
                None => return,
            }
        }
    }

    fn take(&mut self, announcement: &Value) {
        let event_type = announcement["type"].as_str().unwrap_or_default();
        if let Some(sku) = self.tally.announced(event_type, &announcement["data"]) {
            self.traffic.restock(&sku);
        }
    }

    fn show(&self, screen: Option<&mut Screen>, now: Instant) -> std::io::Result<()> {
        let head = Head { address: self.address.clone(), on_sale: self.traffic.on_sale().map(str::to_owned) };
        match screen {
            Some(screen) => screen.draw(&self.tally, &head, now),
            None => {
                tracing_line(&format!(
                    "{:>4} s  {:>5.0} events/s  {} orders granted, {} refused, {} alerts",
                    self.tally.elapsed(now).as_secs(),
                    self.tally.rate(now),
                    self.tally.answers.get("order granted").copied().unwrap_or_default(),
                    self.tally.answers.get("order refused").copied().unwrap_or_default(),
                    self.tally.low_stock,
                ));
                Ok(())
            }
        }
    }
}

/// The next of something, or nothing when it stays quiet for a moment.
async fn until_quiet<T>(next: impl Future<Output = Option<T>>) -> Option<T> {
    const QUIET: Duration = Duration::from_millis(700);
    tokio::time::timeout(QUIET, next).await.ok().flatten()
}

/// Looks for a key that ends the demo, on a thread that may block.
fn watch_keys(leave: CancellationToken) -> tokio::task::JoinHandle<std::io::Result<()>> {
    tokio::task::spawn_blocking(move || {
        while !leave.is_cancelled() {
            if screen::wants_to_leave()? {
                leave.cancel();
            }
        }
        Ok(())
    })
}

/// One line for people, beside the log.
fn tracing_line(line: &str) {
    // Lost when nobody is there to read it.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{line}\n"));
}
