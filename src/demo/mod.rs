//! The demo: a shop's traffic made from real orders, handed to a worker, and a view of what it publishes.

mod catalogue;
mod error;
mod figures;
mod listener;
mod screen;
mod sidecar;
mod tally;
mod traffic;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub use error::DemoError;
pub use figures::Figures;

use self::catalogue::Catalogue;
use self::screen::{Head, Screen};
use self::sidecar::SidecarClient;
use self::tally::Tally;
use self::traffic::Traffic;

/// The most events a second that the demo hands in: what its ticks can carry.
pub const MOST_PER_SECOND: u32 = 20_000;

/// How often customers act: what one tick brings goes to the worker in one request.
const TICK: Duration = Duration::from_millis(50);
/// One request takes at most so many events; what the rate asks for beyond waits for the next.
const MOST_AT_ONCE: usize = 1_000;
/// Customers wait when so many answers are on their way: a view that falls behind must not fall further.
const MOST_UNANSWERED: usize = 10_000;
/// How often the screen is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How often figures are told where there is no screen.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// A worker that is not ready after so long has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);
const READY_LOOK: Duration = Duration::from_millis(10);
/// Answers to the last events are waited for so long.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Announcements on their way to the view.
const ANNOUNCEMENTS_AHEAD: usize = 10_000;

/// How the demo shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A screen that is drawn anew all the time.
    Screen,
    /// Figures that are told once a second.
    Told,
}

/// What the caller chose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Events a second, up to [`MOST_PER_SECOND`].
    pub rate: u32,
    /// Of the customers' choices.
    pub seed: u64,
    /// How long; without end when it is not said.
    pub lasts: Option<Duration>,
    /// How it is shown.
    pub view: View,
    /// Where the sidecar of the worker listens.
    pub address: SocketAddr,
    /// When the command was given.
    pub given: Instant,
}

/// Sends a shop's traffic to the worker whose sidecar listens at the address and shows what comes of it, until `stop` is
/// set, the time is over or somebody leaves the screen. The worker itself is ended by the caller. `tell` is given the
/// figures once a second where there is no screen; it says whether anybody still wants them. Returns the last figures.
///
/// # Errors
/// See [`DemoError`].
pub async fn run(
    options: Options,
    stop: CancellationToken,
    tell: impl FnMut(&Figures) -> Result<bool, DemoError>,
) -> Result<Figures, DemoError> {
    let catalogue = Catalogue::load().map_err(DemoError::Orders)?;
    let address = format!("http://{}", options.address);
    let client = SidecarClient::new(address.clone())?;
    let mut tally = Tally::new(Instant::now());
    (tally.figures.address, tally.figures.seed) = (address, options.seed);
    if !wait_until_ready(&client, &stop).await? {
        return Ok(tally.figures(Instant::now()));
    }
    let (sender, announced) = mpsc::channel(ANNOUNCEMENTS_AHEAD);
    let listening = CancellationToken::new();
    // Ends the listener, too, when this future is dropped.
    let _listening = listening.clone().drop_guard();
    let listener = tokio::spawn(listener::listen(client.clone(), sender, listening.clone()));
    let traffic = Traffic::new(catalogue, options.seed);
    let mut show = Show { options, client, traffic, tally, announced, tell };
    let shown = show.play(&stop).await;
    listening.cancel();
    listener.await??;
    shown?;
    Ok(show.last_figures())
}

/// Whether the worker got ready before the stop.
async fn wait_until_ready(client: &SidecarClient, stop: &CancellationToken) -> Result<bool, DemoError> {
    let ready = async {
        while !client.is_ready().await {
            tokio::time::sleep(READY_LOOK).await;
        }
    };
    match stop.run_until_cancelled(tokio::time::timeout(READY_WITHIN, ready)).await {
        Some(Ok(())) => Ok(true),
        Some(Err(_)) => Err(DemoError::NotReady(READY_WITHIN.as_secs())),
        None => Ok(false),
    }
}

struct Show<T> {
    options: Options,
    client: SidecarClient,
    traffic: Traffic,
    tally: Tally,
    announced: mpsc::Receiver<Value>,
    tell: T,
}

impl<T: FnMut(&Figures) -> Result<bool, DemoError>> Show<T> {
    async fn play(&mut self, stop: &CancellationToken) -> Result<(), DemoError> {
        let opening = self.traffic.opening();
        self.hand_in(&opening).await?;
        self.tally.figures.first_event_ms = self.options.given.elapsed().as_millis() as u64;
        let leave = stop.child_token();
        // Ends the keyboard's thread, too, when this future is dropped.
        let _leave = leave.clone().drop_guard();
        let (mut screen, keys) = match self.options.view {
            View::Screen => (Some(Screen::take().map_err(DemoError::Terminal)?), Some(watch_keys(leave.clone()))),
            View::Told => (None, None),
        };
        let played = self.serve_customers(&leave, screen.as_mut()).await;
        leave.cancel();
        if let Some(keys) = keys {
            keys.await?.map_err(DemoError::Terminal)?;
        }
        drop(screen);
        played?;
        self.hear_the_rest().await;
        Ok(())
    }

    async fn serve_customers(
        &mut self,
        leave: &CancellationToken,
        mut screen: Option<&mut Screen>,
    ) -> Result<(), DemoError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let rate = f64::from(self.options.rate);
        let mut due = 0.0;
        let mut last_tick = Instant::now();
        let mut shown_at = last_tick;
        let ends_at = self.options.lasts.map(|lasts| last_tick + lasts);
        while leave.run_until_cancelled(tick.tick()).await.is_some() {
            let now = Instant::now();
            if ends_at.is_some_and(|end| now >= end) {
                return Ok(());
            }
            due += rate * now.duration_since(last_tick).as_secs_f64();
            last_tick = now;
            let count = if self.tally.unanswered() > MOST_UNANSWERED { 0 } else { (due as usize).min(MOST_AT_ONCE) };
            // A worker that falls behind is not owed what it could not take.
            due = (due - count as f64).min(rate);
            if count > 0 {
                let events: Vec<Value> = (0..count).map(|_| self.traffic.next()).collect();
                self.hand_in(&events).await?;
            }
            let every = if screen.is_some() { DRAW_EVERY } else { TELL_EVERY };
            let wanted = if now.duration_since(shown_at) >= every {
                shown_at = now;
                self.show(screen.as_deref_mut(), now)?
            } else {
                true
            };
            if !self.hear() || !wanted {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hands events in, and counts how they ended.
    async fn hand_in(&mut self, events: &[Value]) -> Result<(), DemoError> {
        let outcomes = self.client.hand_in(events).await?;
        self.tally.handled(Instant::now(), events, &outcomes);
        (self.tally.figures.sales, self.tally.figures.sale_orders) = self.traffic.sales();
        Ok(())
    }

    /// Takes in what was published meanwhile; whether there can be more. The listener says why there cannot.
    fn hear(&mut self) -> bool {
        loop {
            match self.announced.try_recv() {
                Ok(announcement) => self.take(&announcement),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Waits for the answers to the last events. Whatever was published before the last of them has been seen then.
    async fn hear_the_rest(&mut self) {
        let deadline = tokio::time::Instant::now() + LAST_WORDS;
        while self.tally.unanswered() > 0 {
            match tokio::time::timeout_at(deadline, self.announced.recv()).await {
                Ok(Some(announcement)) => self.take(&announcement),
                Ok(None) | Err(_) => return,
            }
        }
        self.hear();
    }

    fn take(&mut self, announcement: &Value) {
        let event_type = announcement["type"].as_str().unwrap_or_default();
        if let Some(sku) = self.tally.announced(event_type, &announcement["data"]) {
            self.traffic.restock(&sku);
        }
    }

    /// Shows how it stands; whether anybody wants to know.
    fn show(&mut self, screen: Option<&mut Screen>, now: Instant) -> Result<bool, DemoError> {
        let figures = self.tally.figures(now);
        let Some(screen) = screen else { return (self.tell)(&figures) };
        let head = Head { figures, on_sale: self.traffic.on_sale().map(str::to_owned) };
        screen.draw(&self.tally, &head).map_err(DemoError::Terminal)?;
        Ok(true)
    }

    /// The figures of all of it.
    fn last_figures(&self) -> Figures {
        let figures = self.tally.figures(Instant::now());
        let rate = figures.events as f64 / figures.seconds.max(0.1);
        Figures { events_per_s: (rate * 10.0).round() / 10.0, ..figures }
    }
}

/// Looks for a key that ends the demo, on a thread that may block. Without a keyboard nobody could end it.
fn watch_keys(leave: CancellationToken) -> JoinHandle<std::io::Result<()>> {
    tokio::task::spawn_blocking(move || {
        while !leave.is_cancelled() {
            let leaves = screen::wants_to_leave();
            if !matches!(leaves, Ok(false)) {
                leave.cancel();
            }
            leaves?;
        }
        Ok(())
    })
}
