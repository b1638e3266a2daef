//! How a NATS server is reached: addresses, who we are, TLS, and what is heard of the connection.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;

use crate::wire::nats_names::decoded;

use super::error::NatsFailure;

/// The properties that a connection takes.
const PROPERTIES: [&str; 5] = ["token", "credentials", "tls.ca", "tls.certificate", "tls.key"];
/// How long one attempt to connect may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts at the start.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);
/// How long one request may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing is heard is given up after some of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The longest wait before a server that is away is tried again.
const LONGEST_RECONNECT_MS: u64 = 1_000;

/// A wrong setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A property that does not exist.
    #[error("the NATS property {name} is unknown; there are {}", PROPERTIES.join(", "))]
    Unknown {
        /// The property. Its value is not shown, because it may be a secret.
        name: String,
    },
    /// More than one way to say who we are.
    #[error("the NATS settings name more than one of: a user in the url, token, credentials; leave out all but one")]
    Ambiguous,
    /// A certificate without its key or the other way round.
    #[error("the NATS properties tls.certificate and tls.key belong together; set both or none")]
    HalfCertificate,
    /// Text that is no credentials file.
    #[error("the NATS property credentials is not the content of a credentials file: {cause}")]
    Credentials {
        /// What is wrong with it.
        cause: String,
    },
    /// No address.
    #[error("the NATS address names no server, or one that is none; right would be nats://host:port,host:port")]
    Address,
}

/// How a NATS server is reached.
#[derive(Clone)]
pub struct NatsConnection {
    servers: Vec<ServerAddr>,
    shown: String,
    client_name: String,
    access: Access,
    tls_ca: Option<PathBuf>,
    tls_identity: Option<(PathBuf, PathBuf)>,
}

/// Who we are.
#[derive(Clone)]
enum Access {
    Anybody,
    User {
        name: String,
        password: String,
    },
    Token(String),
    /// The content of a credentials file.
    Credentials(String),
}

/// What is known of the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// How many times it was made.
    pub made: u64,
    /// Whether it is there.
    pub is_up: bool,
    /// The newest trouble since it was made.
    pub trouble: Option<Arc<str>>,
}

impl NatsConnection {
    /// Takes `nats://[user:password@]host:port,host:port` (or `tls://`; a user without a password is a token), the name
    /// under which the server's monitoring knows this process, and the properties `token`, `credentials` (the content
    /// of a credentials file), `tls.ca`, `tls.certificate` and `tls.key` (paths of PEM files).
    pub fn new(url: &str, client_name: &str, mut properties: BTreeMap<String, String>) -> Result<Self, SettingsError> {
        if let Some(name) = properties.keys().find(|name| !PROPERTIES.contains(&name.as_str())) {
            return Err(SettingsError::Unknown { name: name.clone() });
        }
        let (scheme, rest) = url.split_once("://").ok_or(SettingsError::Address)?;
        let (user, hosts) = match rest.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, rest),
        };
        let address = |host: &str| format!("{scheme}://{}", host.trim()).parse::<ServerAddr>();
        let servers: Result<Vec<ServerAddr>, _> = hosts.trim_end_matches('/').split(',').map(address).collect();
        let servers = servers.map_err(|_| SettingsError::Address)?;
        if servers.iter().any(|server| server.host().is_empty()) {
            return Err(SettingsError::Address);
        }
        let given =
            [user.map(user_access), properties.remove("token").map(Access::Token), credentials(&mut properties)?];
        let mut given = given.into_iter().flatten();
        let access = given.next().unwrap_or(Access::Anybody);
        if given.next().is_some() {
            return Err(SettingsError::Ambiguous);
        }
        let tls_identity = match (properties.remove("tls.certificate"), properties.remove("tls.key")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err(SettingsError::HalfCertificate),
        };
        let tls_ca = properties.remove("tls.ca").map(PathBuf::from);
        let shown = hosts.trim_end_matches('/').to_owned();
        Ok(Self { servers, shown, client_name: client_name.to_owned(), access, tls_ca, tls_identity })
    }

    /// The servers without credentials, for messages.
    pub fn servers(&self) -> &str {
        &self.shown
    }

    /// Connects, and tries again for as long as `patience` lasts. The connection mends itself from then on; `link`
    /// hears of it. Cancel-safe.
    pub(super) async fn connect(&self, patience: Duration, link: watch::Sender<Link>) -> Result<Client, NatsFailure> {
        let started = Instant::now();
        loop {
            let error = match self.options(link.clone())?.connect(&self.servers[..]).await {
                Ok(client) => {
                    link.send_modify(|link| (link.is_up, link.made) = (true, link.made.max(1)));
                    return Ok(client);
                }
                Err(error) => error,
            };
            let (servers, reason) = (self.shown.clone(), error.to_string());
            match error.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                    return Err(NatsFailure::Refused { servers, reason });
                }
                _ if started.elapsed() + ATTEMPT_PAUSE >= patience => {
                    return Err(NatsFailure::Unreachable { servers, waited: started.elapsed(), reason });
                }
                _ => tokio::time::sleep(ATTEMPT_PAUSE).await,
            }
        }
    }

    fn options(&self, link: watch::Sender<Link>) -> Result<ConnectOptions, NatsFailure> {
        let options = ConnectOptions::new()
            .name(&self.client_name)
            .connection_timeout(ATTEMPT_TIMEOUT)
            .request_timeout(Some(REQUEST_TIMEOUT))
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(|attempts| {
                let exponent = u32::try_from(attempts).unwrap_or(u32::MAX).min(10);
                Duration::from_millis(2_u64.saturating_pow(exponent).min(LONGEST_RECONNECT_MS))
            })
            .event_callback(move |event| {
                let link = link.clone();
                async move { link.send_modify(|link| link.hear(&event)) }
            });
        let options = match &self.access {
            Access::Anybody => options,
            Access::User { name, password } => options.user_and_password(name.clone(), password.clone()),
            Access::Token(token) => options.token(token.clone()),
            Access::Credentials(text) => {
                options.credentials(text).map_err(NatsFailure::client("reading NATS credentials"))?
            }
        };
        let options = match &self.tls_ca {
            Some(path) => options.add_root_certificates(path.clone()),
            None => options,
        };
        Ok(match &self.tls_identity {
            Some((certificate, key)) => options.add_client_certificate(certificate.clone(), key.clone()),
            None => options,
        })
    }
}

impl fmt::Debug for NatsConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NatsConnection").field("servers", &self.shown).finish_non_exhaustive()
    }
}

impl Link {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Connected => *self = Self { made: self.made + 1, is_up: true, trouble: None },
            Event::Disconnected | Event::Closed => {
                self.is_up = false;
                self.trouble = Some("the connection to NATS is lost".into());
            }
            Event::ServerError(_) | Event::ClientError(_) | Event::SlowConsumer(_) => {
                tracing::debug!(%event, "the NATS client reports trouble");
                self.trouble = Some(event.to_string().into());
            }
            Event::LameDuckMode | Event::Draining => {}
        }
    }
}

/// As NATS has it, a name without a password is a token.
fn user_access(user: &str) -> Access {
    let text = |part: &str| String::from_utf8_lossy(&decoded(part)).into_owned();
    match user.split_once(':') {
        Some((name, password)) => Access::User { name: text(name), password: text(password) },
        None => Access::Token(text(user)),
    }
}

fn credentials(properties: &mut BTreeMap<String, String>) -> Result<Option<Access>, SettingsError> {
    let Some(text) = properties.remove("credentials") else { return Ok(None) };
    match ConnectOptions::new().credentials(&text) {
        Ok(_) => Ok(Some(Access::Credentials(text))),
        Err(error) => Err(SettingsError::Credentials { cause: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(url: &str, properties: &[(&str, &str)]) -> Result<NatsConnection, SettingsError> {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        NatsConnection::new(url, "test", properties.collect())
    }

    #[test]
    fn an_address_names_one_server_or_several_and_perhaps_a_user() {
        let several = connection("nats://shop:p%40ss@one:4222,two:4223", &[]).unwrap();
        assert_eq!((several.servers.len(), several.servers()), (2, "one:4222,two:4223"));
        assert!(matches!(&several.access, Access::User { name, password } if name == "shop" && password == "p@ss"));
        assert!(!format!("{several:?}").contains("p@ss"));
        assert!(
            matches!(connection("nats://secret@one", &[]).unwrap().access, Access::Token(token) if token == "secret")
        );
        let secure = connection("tls://one:4222,two:4222", &[("token", "secret")]).unwrap();
        assert!(secure.servers.iter().all(ServerAddr::tls_required));
        assert!(matches!(connection("nats://", &[]), Err(SettingsError::Address)));
    }

    #[test]
    fn wrong_properties_are_named_and_never_shown() {
        let refused = |url: &str, properties: &[(&str, &str)]| connection(url, properties).unwrap_err().to_string();
        assert!(refused("nats://one", &[("tokn", "hunter2")]).contains("tokn is unknown"));
        assert!(refused("nats://a:b@one", &[("token", "hunter2")]).contains("more than one"));
        assert!(refused("nats://one", &[("tls.key", "key.pem")]).contains("tls.certificate"));
        let broken = refused("nats://one", &[("credentials", "hunter2")]);
        assert!(broken.contains("credentials") && !broken.contains("hunter2"), "{broken}");
    }
}
