//! `holdfast demo`.

use std::io::{ErrorKind, IsTerminal};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::output::{self, Reader};
use super::{Ending, verify};
use crate::app::{self, Failure};
use crate::config::{FlagSetting, LogSettings, SecretUrl, Settings};
use crate::demo::{self, DemoError, Figures, MOST_PER_SECOND, Options, View};
use crate::store::Verification;

/// The settings that the demo takes; all others are as shipped.
const TAKEN: [&str; 3] = ["http.", "log.", "drain_timeout_ms"];

/// How long the demo keeps batches after they were published, in seconds: longer than a browser is away that comes back.
const KEEP_PUBLISHED_S: i64 = 600;

/// Watch a worker at work in a shop
///
/// Starts an embedded worker on a file of its own, which is removed at the end, and hands it a shop's traffic, made
/// from real orders: baskets that grow, orders, cancellations, deliveries when stock falls low, and flash sales. Shows
/// orders, stock, alerts and rate, and the address of the page that shows the same. The file stands among temporary
/// files (TMPDIR) and grows as long as the demo runs. Needs no server and no setting; of
/// the settings it takes http.*, log.* and drain_timeout_ms. At the end the stream of announcements is judged and the
/// file is verified: exit code 3 when something differs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast demo
  holdfast demo --for 30s --rate 500
  holdfast demo --for 10s --json | jq -s '.[-1]'")]
pub(super) struct DemoArguments {
    /// How long, like 30s, 5m or 1h; until q, Ctrl-C or SIGTERM when absent
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    lasts: Option<Duration>,
    /// Events a second
    #[arg(long, value_name = "EVENTS", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PER_SECOND)))]
    rate: u32,
    /// Of the customers' choices: the same number brings the same customers
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Print a JSON object every second, and one at the end, instead of drawing
    #[arg(long)]
    json: bool,
    /// Print a line every second instead of drawing; so does a standard output that is no terminal
    #[arg(long)]
    no_tui: bool,
}

impl DemoArguments {
    /// The settings of log lines. They would run over the screen that is drawn on the same terminal.
    pub(super) fn log(&self, settings: &LogSettings) -> LogSettings {
        let hidden = self.view() == View::Screen && std::io::stderr().is_terminal();
        let level = if hidden { "off".to_owned() } else { settings.level.clone() };
        LogSettings { level, format: settings.format }
    }

    /// Refuses flags that would have no effect.
    pub(super) fn check(&self, flags: &[FlagSetting]) -> Result<(), Failure> {
        match flags.iter().find(|flag| !TAKEN.iter().any(|taken| flag.key.starts_with(taken))) {
            None => Ok(()),
            Some(FlagSetting { flag, key, .. }) => Err(Failure::Settings(format!(
                "{flag} sets {key}, and the demo has a file of its own and takes only http.*, log.* and \
                 drain_timeout_ms: leave it out, or use `holdfast run`"
            ))),
        }
    }

    fn view(&self) -> View {
        let drawn = !self.json && !self.no_tui && std::io::stdout().is_terminal();
        if drawn { View::Screen } else { View::Told }
    }

    fn print(&self, kind: &str, object: Value, text: &str) -> Result<Reader, Failure> {
        if !self.json {
            return output::print(text);
        }
        let mut whole = json!({ "kind": kind });
        if let (Some(whole), Value::Object(fields)) = (whole.as_object_mut(), object) {
            whole.extend(fields);
        }
        output::print_json(&whole)
    }
}

pub(super) async fn run(
    arguments: DemoArguments,
    settings: Settings,
    stop: CancellationToken,
) -> Result<Ending, Failure> {
    let given = Instant::now();
    let folder = tempfile::Builder::new().prefix("holdfast-demo-").tempdir();
    let folder =
        folder.map_err(|error| Failure::Failed(format!("no folder for the demo's file can be made: {error}")))?;
    let file = folder.path().join("holdfast.db");
    let file = file.to_str().ok_or_else(|| Failure::Failed(format!("{} is no path in UTF-8", file.display())))?;
    let settings = of_demo(settings, file);
    let (listener, address) = listener(&settings).await?;
    let page = format!("http://{address}/");
    if arguments.view() == View::Told && !arguments.json {
        output::print(&format!("a worker and a shop; open {page} in a browser to watch it there\n"))?;
    }
    let options = Options {
        rate: arguments.rate,
        seed: arguments.seed,
        lasts: arguments.lasts,
        view: arguments.view(),
        address,
        given,
    };
    let figures = play(&arguments, options, settings.clone(), listener, stop).await?;
    let checks = verify::checks(&settings).await?;
    // Removed here and not by being dropped, so that a file that stays is heard of.
    folder.close().map_err(|error| Failure::Failed(format!("the demo's file cannot be removed: {error}")))?;
    conclude(&arguments, &figures, &checks)
}

/// Everything as shipped, in a file of its own.
fn of_demo(settings: Settings, file: &str) -> Settings {
    let Settings { http, log, drain_timeout_ms, .. } = settings;
    let mut own = Settings { http, log, drain_timeout_ms, ..Settings::default() };
    own.store.url = SecretUrl::new(format!("sqlite://{file}"));
    // Nobody comes back to a demo after days.
    own.relay.keep_published_s = KEEP_PUBLISHED_S;
    own
}

/// Takes the address of the settings, or a free port beside it when somebody else has it.
async fn listener(settings: &Settings) -> Result<(TcpListener, SocketAddr), Failure> {
    let wanted = settings.listen().map_err(|error| Failure::Settings(error.to_string()))?;
    let listener = match app::bind(wanted).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let listener = app::bind(SocketAddr::new(wanted.ip(), 0)).await.map_err(Failure::failed)?;
            let address = listener.local_addr().map_err(Failure::failed)?;
            output::tell(&format!("{wanted} is taken; the sidecar listens on {address} instead"));
            listener
        }
        bound => bound.map_err(Failure::failed)?,
    };
    let address = listener.local_addr().map_err(Failure::failed)?;
    Ok((listener, address))
}

/// Runs the worker and the shop beside it, until the shop closes; then drains the worker.
async fn play(
    arguments: &DemoArguments,
    options: Options,
    settings: Settings,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<Figures, Failure> {
    // A signal closes the shop first: the worker answers until the last answer was seen.
    let worker_stop = CancellationToken::new();
    // Ends the worker, too, when this future is dropped.
    let _worker_stop = worker_stop.clone().drop_guard();
    let mut worker = tokio::spawn(app::run_on(listener, settings, worker_stop.clone()));
    let tell = |figures: &Figures| {
        let reader = arguments.print("progress", as_json(figures), &format!("{}\n", figures.line()));
        reader.map(|reader| reader == Reader::There).map_err(|failure| DemoError::Print(failure.to_string()))
    };
    let shown = tokio::select! {
        shown = demo::run(options, stop, tell) => shown,
        ended = &mut worker => {
            ended.map_err(Failure::failed)??;
            return Err(Failure::Failed("the worker ended without being told to".to_owned()));
        }
    };
    worker_stop.cancel();
    let drained = worker.await.map_err(Failure::failed)?;
    let figures = shown.map_err(Failure::failed)?;
    drained?;
    Ok(figures)
}

/// Tells how it ended.
fn conclude(arguments: &DemoArguments, figures: &Figures, checks: &[Verification]) -> Result<Ending, Failure> {
    let holds = verify::holds(checks);
    let differing: u64 = checks.iter().map(|check| check.differing).sum();
    let sound = holds && figures.is_sound();
    let mut object = as_json(figures);
    object["verify"] = json!({ "holds": holds, "checks": checks.len(), "differing": differing });
    object["sound"] = sound.into();
    let proved = match holds {
        true => format!("every invariant holds in {} checks", checks.len()),
        false => format!("{differing} places differ:\n{}", verify::as_text(checks)),
    };
    arguments.print("summary", object, &format!("{}  {:<11} {proved}\n", figures.summary(), "verify"))?;
    Ok(if sound { Ending::Done } else { Ending::Differences })
}

fn as_json(figures: &Figures) -> Value {
    // Figures are numbers, texts and maps by text: they can always be written.
    serde_json::to_value(figures).unwrap_or_default()
}

/// A time like `30s`, `5m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    const RIGHT: &str = "must be a whole number and a unit from 1s to 1000h, like 30s, 5m or 1h";
    let seconds_of = |unit: &str| match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        _ => None,
    };
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = number.parse::<u64>().ok().zip(seconds_of(unit)).and_then(|(number, unit)| number.checked_mul(unit));
    match seconds {
        Some(seconds @ 1..=3_600_000) => Ok(Duration::from_secs(seconds)),
        _ => Err(RIGHT.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3_600)));
        for wrong in ["", "5", "s", "0s", "-1s", "1.5s", "5 s", "5d", "5\u{e4}", "99999999999999999999s", "1001h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_demo_has_a_store_of_its_own_and_takes_the_sidecars_address() {
        let mut settings = Settings::default();
        settings.store.url = SecretUrl::new("postgres://shop@db/stock");
        settings.source.url = SecretUrl::new("kafka://broker:9092");
        settings.carts.hold = false;
        settings.http.listen = "127.0.0.1:9999".to_owned();
        let own = of_demo(settings.clone(), "/tmp/x/holdfast.db");
        assert_eq!(own.store.url.expose(), "sqlite:///tmp/x/holdfast.db");
        assert_eq!((own.source, own.carts, own.http), (Default::default(), Default::default(), settings.http));
    }

    #[test]
    fn differences_of_the_file_and_of_the_stream_are_exit_code_3() {
        let arguments = DemoArguments { lasts: None, rate: 1, seed: 1, json: true, no_tui: false };
        let checks = |differing| [Verification { check: "x", looked_at: 1, differing, differences: Vec::new() }];
        let ending = |figures: &Figures, differing| conclude(&arguments, figures, &checks(differing)).unwrap();
        assert_eq!(ending(&Figures::default(), 0), Ending::Done);
        assert_eq!(ending(&Figures::default(), 1), Ending::Differences);
        assert_eq!(ending(&Figures { holes: 1, ..Figures::default() }, 0), Ending::Differences);
    }
}
