//! Addresses that may hold a password: shown everywhere without it.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What stands in place of something secret.
pub const HIDDEN: &str = "***";

/// Parameters of an address whose values are shown.
const HARMLESS_PARAMETERS: [&str; 10] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "ssl-mode",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

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

/// Hides the password of an address, a user of a web address who has none, and every parameter that is not known to be
/// harmless. A text that is no address is hidden whole: nobody knows which part of it is the secret.
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
            Some((user, password)) if !(password.is_empty() && is_web(scheme)) => format!("{user}:{HIDDEN}@{host}"),
            None if !is_web(scheme) => format!("{credentials}@{host}"),
            // A user without a password is a token.
            Some(_) | None => format!("{HIDDEN}@{host}"),
        },
        None => rest.to_owned(),
    };
    let parameters = parameters.map(redact_parameters).map(|shown| format!("?{shown}")).unwrap_or_default();
    format!("{scheme}://{shown}{parameters}")
}

/// Whether a property of this name holds a secret.
pub fn names_a_secret(name: &str) -> bool {
    const MARKS: [&str; 11] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "key.pem",
        "api_key",
        "apikey",
        "credential",
        "jaas",
        "oauthbearer.config",
    ];
    let name = name.to_ascii_lowercase();
    MARKS.iter().any(|mark| name.contains(mark))
}

/// Shows the values of parameters that are known to be harmless: in an address, anything may be a secret.
fn redact_parameters(parameters: &str) -> String {
    let shown: Vec<String> = parameters
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if HARMLESS_PARAMETERS.contains(&name) => parameter.to_owned(),
            Some((name, _)) => format!("{name}={HIDDEN}"),
            None => HIDDEN.to_owned(),
        })
        .collect();
    shown.join("&")
}

fn is_web(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
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
            ("postgres://db/stock?passwd=hunter2&sslmode=require", "postgres://db/stock?passwd=***&sslmode=require"),
            ("postgres://db/stock?hunter2", "postgres://db/stock?***"),
            ("http://hunter2@registry:8081/apis", "http://***@registry:8081/apis"),
            ("HTTPS://hunter2:@registry", "HTTPS://***@registry"),
            ("https://worker:hunter2@registry", "https://worker:***@registry"),
            ("http://registry/apis?api_key=hunter2", "http://registry/apis?api_key=***"),
            ("http://registry/apis?apikey=hunter2&key=hunter2", "http://registry/apis?apikey=***&key=***"),
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

    #[test]
    fn properties_that_hold_a_secret_are_known_by_their_names() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.keystore.password",
            "ssl.key.pem",
            "sasl.jaas.config",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.assertion.private.key.pem",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "passwd",
            "api_key",
            "ApiKey",
        ] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in ["sasl.username", "ssl.key.location", "ssl.ca.location", "security.protocol", "group.id"] {
            assert!(!names_a_secret(name), "{name}");
        }
    }
}
