//! The demo in a terminal: orders, stock, alerts and rate, drawn a few times a second.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, List, ListItem, Paragraph, Row, Table};

use super::figures::Figures;
use super::tally::Tally;

/// How long a key may wait to be noticed.
const KEY_WAIT: Duration = Duration::from_millis(50);
/// What the table of stock needs, in columns; the lists have the rest.
const STOCK_WIDTH: u16 = 46;

/// What stands in the head of the screen.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// How it stands.
    pub figures: Figures,
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
    pub fn draw(&mut self, tally: &Tally, head: &Head) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, tally, head)).map(drop)
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

fn draw(frame: &mut Frame<'_>, tally: &Tally, head: &Head) {
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(5), Constraint::Min(8), Constraint::Length(1)]).areas(frame.area());
    let [left, right] = Layout::horizontal([Constraint::Length(STOCK_WIDTH), Constraint::Min(20)]).areas(middle);
    let [upper, lower] = Layout::vertical([Constraint::Percentage(62), Constraint::Percentage(38)]).areas(right);
    draw_head(frame, top, head);
    draw_stock(frame, left, tally, head);
    draw_list(frame, upper, " Orders ", tally.orders.iter(), order_style);
    draw_list(frame, lower, " Alerts ", tally.alerts.iter(), alert_style);
    frame.render_widget(Paragraph::new(" q or Ctrl-C ends").style(Style::new().fg(Color::DarkGray)), bottom);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, head: &Head) {
    let figures = &head.figures;
    let strong = Style::new().add_modifier(Modifier::BOLD);
    let first = vec![
        Span::raw(" Open "),
        Span::styled(format!("{}/", figures.address), strong.fg(Color::Cyan).add_modifier(Modifier::UNDERLINED)),
        Span::raw(" in a browser: the same, live"),
    ];
    let mut second = vec![Span::styled(
        format!(" {:.0} events/s   {:.0} s   {} events", figures.events_per_s, figures.seconds, figures.events),
        strong,
    )];
    if let Some(sku) = &head.on_sale {
        second.push(Span::styled(format!("   flash sale: {sku}"), strong.fg(Color::Yellow)));
    }
    let third = format!(
        " orders: {} granted, {} refused, {} cancelled   restocks: {}   alerts: {}   published: {}",
        figures.answered("order", "granted"),
        figures.answered("order", "refused"),
        figures.answered("order", "cancelled"),
        figures.of_type("stock-received"),
        figures.alerts,
        figures.announcements,
    );
    let lines = vec![Line::from(first), Line::from(second), Line::from(third)];
    let title = Span::styled(" Holdfast ", strong.fg(Color::Black).bg(Color::Green));
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
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
        Constraint::Min(7),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(8),
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
    use std::time::Instant;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    fn shown(tally: &Tally, head: &Head, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, tally, head)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_shows_orders_stock_alerts_rate_and_the_address() {
        let mut tally = Tally::new(Instant::now());
        tally.figures.address = "http://127.0.0.1:8080".to_owned();
        tally.handled(Instant::now(), &[json!({"type": "stock-received", "id": "1"})], &["applied".to_owned()]);
        let after = json!({"on_hand": 9, "reserved": 2, "available": 7, "level": "low"});
        tally.announced("stock-changed", &json!({"seq": 1, "sku": "85123A", "after": after}));
        let low = json!({"seq": 2, "sku": "85123A", "level": "low", "previous_level": "normal", "available": 7});
        tally.announced("low-stock", &low);
        let answer = json!({"seq": 3, "kind": "order", "reference": "O-1", "outcome": "granted", "lines": []});
        tally.announced("reservation-result", &answer);
        let head = Head { figures: tally.figures(Instant::now()), on_sale: Some("85123A".to_owned()) };
        let screen = shown(&tally, &head, 110, 30);
        let stock = "85123A*  9       2        7         low";
        let alert = "85123A    normal \u{2192} low, 7 left";
        let orders = "orders: 1 granted, 0 refused, 0 cancelled   restocks: 1   alerts: 1   published: 3";
        for part in
            ["http://127.0.0.1:8080/", "events/s", "flash sale: 85123A", stock, "O-1          granted", alert, orders]
        {
            assert!(screen.contains(part), "{part} in\n{screen}");
        }
        // A small terminal shows less and breaks nothing.
        shown(&tally, &head, 20, 5);
    }
}
