//! What a text setting may say. Each rule returns what would be right.

use std::net::SocketAddr;
use std::str::FromStr;

use reqwest::Url;
use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::filter::LevelFilter;

/// Longest topic name and group name that Kafka takes, in characters.
const MAX_NAME_CHARACTERS: usize = 249;

/// The parameters of a PostgreSQL address that the client knows. It logs any other, with its value.
const POSTGRES_PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

pub(super) fn store_address(text: &str) -> Result<(), String> {
    scheme(text, &["postgres://", "postgresql://", "sqlite://"])?;
    match text.strip_prefix("sqlite://") {
        Some(file) => sqlite_file(file),
        None => postgres_address(text),
    }
}

fn sqlite_file(file: &str) -> Result<(), String> {
    // What other programs read behind an address; here it would become part of the name.
    if file.contains('?') || file.contains(":memory:") || file.ends_with('/') {
        return Err("must be sqlite:// and the path of a file, like sqlite://holdfast.db or \
                    sqlite:///var/lib/holdfast/holdfast.db"
            .to_owned());
    }
    Ok(())
}

/// Reads the address as the client will, so that a wrong one is refused before anything connects.
fn postgres_address(text: &str) -> Result<(), String> {
    let right = "postgres://user:password@host:port/database";
    let address = Url::parse(text).map_err(|error| format!("must be {right}, but it cannot be read: {error}"))?;
    let is_known = |name: &str| {
        let is_option = name.strip_prefix("options[").is_some_and(|name| name.ends_with(']'));
        is_option || POSTGRES_PARAMETERS.contains(&name)
    };
    if let Some((unknown, _)) = address.query_pairs().find(|(name, _)| !is_known(name)) {
        let known = POSTGRES_PARAMETERS.join(", ");
        return Err(format!(
            "must not have the parameter {unknown:?}, which is unknown; known are {known}, options[NAME]"
        ));
    }
    // What is left are values: a mode of TLS, a number, an escaped text.
    PgConnectOptions::from_str(text)
        .map(drop)
        .map_err(|error| format!("must be {right}, but it cannot be read: {error}"))
}

/// Judges the name of another system, which stands in rows, announcements and metrics beside the parts of our own books.
///
/// # Errors
/// What would be right.
pub fn outside_name(text: &str) -> Result<(), String> {
    const MOST: usize = 100;
    let right = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | '-');
    if ["ledger", "claims", "thresholds"].contains(&text) {
        return Err(
            "must be another name than ledger, claims and thresholds, which are parts of our own books".to_owned()
        );
    }
    match (1..=MOST).contains(&text.len()) && text.chars().all(right) {
        true => Ok(()),
        false => Err(format!("must be 1 to {MOST} characters of a-z, 0-9, '_' and '-'")),
    }
}

pub(super) fn file(text: &str) -> Result<(), String> {
    let right = !text.is_empty() && !text.contains('\0') && !text.ends_with('/');
    if right { Ok(()) } else { Err("must be the path of a file".to_owned()) }
}

pub(super) fn registry_address(text: &str) -> Result<(), String> {
    scheme(text, &["http://", "https://"])
}

pub(super) fn bus_address(text: &str) -> Result<(), String> {
    if text == "local:" {
        return Ok(());
    }
    if let Some(servers) = text.strip_prefix("nats://").or_else(|| text.strip_prefix("tls://")) {
        // What stands before the last `@` says who we are.
        let hosts = servers.rsplit_once('@').map_or(servers, |(_, hosts)| hosts);
        let right = hosts.trim_end_matches('/').split(',').all(|host| !host.is_empty() && !host.contains(['/', ' ']));
        return if right { Ok(()) } else { Err("must be nats://host:port,host:port".to_owned()) };
    }
    let Some(brokers) = text.strip_prefix("kafka://") else {
        return Err(
            "must be kafka://host:port,host:port, nats://host:port,host:port, tls://host:port or local:".to_owned()
        );
    };
    if brokers.contains('@') {
        return Err("must be kafka://host:port,host:port without a user or password; \
                    those are the properties sasl.username and sasl.password"
            .to_owned());
    }
    let right = brokers.split(',').all(is_host_and_port);
    if right { Ok(()) } else { Err("must be kafka://host:port,host:port, each with a port".to_owned()) }
}

pub(super) fn group(text: &str) -> Result<(), String> {
    let right = !text.is_empty() && text.chars().count() <= MAX_NAME_CHARACTERS && !text.contains(char::is_control);
    if right { Ok(()) } else { Err(format!("must be 1 to {MAX_NAME_CHARACTERS} printable characters")) }
}

pub(super) fn topic_name(text: &str) -> Result<(), String> {
    // Kafka refuses these two because they name folders.
    let right =
        !text.is_empty() && text.len() <= MAX_NAME_CHARACTERS && is_topic_text(text) && text != "." && text != "..";
    if right {
        Ok(())
    } else {
        Err(format!("must be 1 to {MAX_NAME_CHARACTERS} characters of a-z, A-Z, 0-9, '.', '_' and '-'"))
    }
}

pub(super) fn prefix(text: &str) -> Result<(), String> {
    // Leaves room for the longest name behind it.
    let right = text.len() <= 200 && is_topic_text(text);
    if right { Ok(()) } else { Err("must be at most 200 characters of a-z, A-Z, 0-9, '.', '_' and '-'".to_owned()) }
}

pub(super) fn listen(text: &str) -> Result<(), String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "must be an address and a port, like 127.0.0.1:8080 or [::1]:8080".to_owned())?;
    if address.ip().is_loopback() {
        Ok(())
    } else {
        Err("must be a loopback address (127.0.0.1:8080 or [::1]:8080): \
             the sidecar has no authentication yet, so it listens on no public address"
            .to_owned())
    }
}

pub(super) fn log_level(text: &str) -> Result<(), String> {
    let expected = "must be off, error, warn, info, debug or trace, or levels by module like info,holdfast=debug";
    let right = text.split(',').all(|part| {
        let level = part.split_once('=').map_or(part, |(_, level)| level);
        level.trim().parse::<LevelFilter>().is_ok()
    });
    if right && !text.trim().is_empty() { Ok(()) } else { Err(expected.to_owned()) }
}

fn scheme(text: &str, schemes: &[&str]) -> Result<(), String> {
    let right = schemes.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if right { Ok(()) } else { Err(format!("must begin with {}", schemes.join(" or "))) }
}

fn is_topic_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = !host.is_empty() && !host.contains([':', '/', ' ']);
    (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
}
