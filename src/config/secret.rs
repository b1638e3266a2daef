//! Addresses that may hold a password: shown everywhere without it.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What stands in place of something secret.
pub const HIDDEN: &str = "***";

/// An address that may carry credentials. `Debug`, `Display` and serialization show it without them; only
/// [`SecretUrl::expose`] gives the whole.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Takes the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The address with its credentials: for the client that connects, never for a log line.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The part before `://` or the first `:`; empty when there is none.
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// The address without credentials.
    pub fn redacted(&self) -> String {
        redact(&self.0)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.redacted())
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.redacted())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

/// Hides the password of an address and every parameter whose name speaks of a secret. A text that is no address is
/// hidden whole: nobody knows which part of it is the secret.
pub fn redact(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        let plain = address.strip_suffix(':').unwrap_or(address);
        return if is_word(plain) { address.to_owned() } else { HIDDEN.to_owned() };
    };
    let (rest, parameters) = match rest.split_once('?') {
        Some((rest, parameters)) => (rest, Some(parameters)),
        None => (rest, None),
    };
    // Either a parameter or a password with an unescaped `?`: nobody knows.
    if parameters.is_some_and(|parameters| parameters.contains('@')) {
        return format!("{scheme}://{HIDDEN}");
    }
    // A password may hold an unescaped `/` or `@` by mistake, so the last `@` ends the credentials.
    let shown = match rest.rsplit_once('@') {
        Some((credentials, host)) => match credentials.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
            None => format!("{credentials}@{host}"),
        },
        None => rest.to_owned(),
    };
    let parameters = parameters.map(redact_parameters).map(|shown| format!("?{shown}")).unwrap_or_default();
    format!("{scheme}://{shown}{parameters}")
}

/// Whether a property or parameter of this name holds a secret.
pub fn names_a_secret(name: &str) -> bool {
    const MARKS: [&str; 7] = ["password", "secret", "token", "key.pem", "credential", "jaas", "oauthbearer.config"];
    let name = name.to_ascii_lowercase();
    MARKS.iter().any(|mark| name.contains(mark))
}

fn redact_parameters(parameters: &str) -> String {
    let shown: Vec<String> = parameters
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if names_a_secret(name) => format!("{name}={HIDDEN}"),
            _ => parameter.to_owned(),
        })
        .collect();
    shown.join("&")
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 16 && text.chars().all(|c| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_an_address_shows_its_password() {
        let cases = [
            ("postgres://shop:hunter2@db:5432/stock", "postgres://shop:***@db:5432/stock"),
            ("postgres://shop:hun@t/er2@db/stock", "postgres://shop:***@db/stock"),
            ("postgres://shop@db/stock", "postgres://shop@db/stock"),
            ("postgres://db/stock?user=shop&password=hunter2", "postgres://db/stock?user=shop&password=***"),
            ("postgres://db/stock?sslmode=require", "postgres://db/stock?sslmode=require"),
            ("postgres://shop:hun?ter2@db/stock", "postgres://***"),
            ("kafka://one:9092,two:9092", "kafka://one:9092,two:9092"),
            ("local:", "local:"),
            ("shop:hunter2@db", "***"),
            ("hunter2!", "***"),
        ];
        for (address, shown) in cases {
            assert_eq!(redact(address), shown, "{address}");
            let url = SecretUrl::new(address);
            assert_eq!(format!("{url}"), shown);
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
        }
    }
}
