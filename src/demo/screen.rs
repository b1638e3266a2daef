//! The demo in a terminal: orders, stock, alerts and rate, drawn a few times a second.

use std::io;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, List, ListItem, Paragraph, Row, Table};
use ratatui::Frame;

use super::tally::Tally;

/// How long a key may wait to be noticed.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// What stands in the head of the screen beside the figures.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The sidecar.
    pub address: String,
    /// The SKU of the flash sale that is on.
    pub on_sale: Option<String>,
}

/// A terminal that is given back as it was when this is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When standard output is no terminal that can be drawn on.
    pub fn take() -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }

    /// Draws everything anew.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, tally: &Tally, head: &Head, now: Instant) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, tally, head, now)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Whether somebody pressed `q`, Escape or Ctrl-C; waits a moment for it. Blocks the thread.
///
/// # Errors
/// When the terminal is gone.
pub(super) fn wants_to_leave() -> io::Result<bool> {
    if !event::poll(KEY_WAIT)? {
        return Ok(false);
    }
    Ok(match event::read()? {
        Event::Key(KeyEvent { kind: KeyEventKind::Press, code, modifiers, .. }) => match code {
            KeyCode::Char('q') | KeyCode::Esc => true,
            // In raw mode the terminal sends no signal.
            KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
            _ => false,
        },
        _ => false,
    })
}

fn draw(frame: &mut Frame<'_>, tally: &Tally, head: &Head, now: Instant) {
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(4), Constraint::Min(8), Constraint::Length(1)]).areas(frame.area());
    let [left, right] = Layout::horizontal([Constraint::Percentage(48), Constraint::Percentage(52)]).areas(middle);
    let [upper, lower] = Layout::vertical([Constraint::Percentage(62), Constraint::Percentage(38)]).areas(right);
    draw_head(frame, top, tally, head, now);
    draw_stock(frame, left, tally, head);
    draw_list(frame, upper, " Orders ", tally.orders.iter(), order_style);
    draw_list(frame, lower, " Alerts ", tally.alerts.iter(), alert_style);
    frame.render_widget(Paragraph::new(" q or Ctrl-C ends").style(Style::new().fg(Color::DarkGray)), bottom);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, tally: &Tally, head: &Head, now: Instant) {
    let count = |name: &str| tally.answers.get(name).copied().unwrap_or_default();
    let strong = Style::new().add_modifier(Modifier::BOLD);
    let mut first = vec![
        Span::styled(" Holdfast ", strong.fg(Color::Black).bg(Color::Green)),
        Span::raw("  "),
        Span::styled(head.address.clone(), strong),
        Span::raw(format!("   {:.0} events/s   {} s", tally.rate(now), tally.elapsed(now).as_secs())),
    ];
    if let Some(sku) = &head.on_sale {
        first.push(Span::styled(format!("   flash sale: {sku}"), strong.fg(Color::Yellow)));
    }
    let second = format!(
        " {} events, {} published | orders: {} granted, {} refused, {} cancelled | alerts: {}",
        tally.events,
        tally.announcements,
        count("order granted"),
        count("order refused"),
        count("order cancelled"),
        tally.low_stock,
    );
    frame.render_widget(Paragraph::new(vec![Line::from(first), Line::from(second)]).block(Block::bordered()), area);
}

fn draw_stock(frame: &mut Frame<'_>, area: Rect, tally: &Tally, head: &Head) {
    let mut rows: Vec<_> = tally.rows.iter().collect();
    // What changed last stands first, so that movement is seen without scrolling.
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.changed));
    let rows = rows.into_iter().take(usize::from(area.height)).map(|(sku, row)| {
        let star = if head.on_sale.as_ref() == Some(sku) { "*" } else { "" };
        let cells =
            [format!("{sku}{star}"), row.on_hand.to_string(), row.reserved.to_string(), row.available.to_string()];
        Row::new(cells.into_iter().chain([row.level.clone()])).style(level_style(&row.level))
    });
    let widths = [
        Constraint::Min(10),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let header = Row::new(["SKU", "on hand", "reserved", "available", "level"]).style(Style::new().fg(Color::DarkGray));
    frame.render_widget(Table::new(rows, widths).header(header).block(Block::bordered().title(" Stock ")), area);
}

fn draw_list<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &'static str,
    lines: impl Iterator<Item = &'a String>,
    style: impl Fn(&str) -> Style,
) {
    let lines = lines.take(usize::from(area.height)).map(|line| ListItem::new(line.as_str()).style(style(line)));
    frame.render_widget(List::new(lines).block(Block::bordered().title(title)), area);
}

fn level_style(level: &str) -> Style {
    match level {
        "low" => Style::new().fg(Color::Yellow),
        "critical" => Style::new().fg(Color::LightRed),
        "out" => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        _ => Style::new(),
    }
}

fn order_style(line: &str) -> Style {
    let outcome = line.split_whitespace().nth(1).unwrap_or_default();
    match outcome {
        "refused" | "lost" | "conflict" => Style::new().fg(Color::Red),
        "cancelled" | "released" => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}

fn alert_style(line: &str) -> Style {
    let level = line.rsplit_once('\u{2192}').and_then(|(_, rest)| rest.trim().split(',').next());
    level_style(level.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    fn shown(tally: &Tally, head: &Head, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, tally, head, Instant::now())).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_shows_orders_stock_alerts_rate_and_the_address() {
        let mut tally = Tally::new(Instant::now());
        tally.handled(Instant::now(), &["applied".to_owned()]);
        let after = json!({"on_hand": 9, "reserved": 2, "available": 7, "level": "low"});
        tally.announced("stock-changed", &json!({"seq": 1, "sku": "85123A", "after": after}));
        let low = json!({"seq": 2, "sku": "85123A", "level": "low", "previous_level": "normal", "available": 7});
        tally.announced("low-stock", &low);
        let answer = json!({"seq": 3, "kind": "order", "reference": "O-1", "outcome": "granted", "lines": []});
        tally.announced("reservation-result", &answer);
        let head = Head { address: "http://127.0.0.1:8080".to_owned(), on_sale: Some("85123A".to_owned()) };
        let screen = shown(&tally, &head, 110, 30);
        for part in ["http://127.0.0.1:8080", "events/s", "flash sale: 85123A", "85123A*", "O-1", "normal \u{2192} low"] {
            assert!(screen.contains(part), "{part} in\n{screen}");
        }
        // A small terminal shows less and breaks nothing.
        shown(&tally, &head, 20, 5);
    }
}
