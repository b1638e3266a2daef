//! Settings: a TOML file, then `HOLDFAST__SECTION__KEY`, then flags. A wrong key or value is an error that names it,
//! where it was written and what would be right.

mod connection;
mod defaults;
mod error;
mod keys;
mod layers;
mod leaves;
mod properties;
mod rules;
mod secret;
mod settings;

use std::net::SocketAddr;

use serde_json::Value;

pub use connection::{BusAddress, KafkaAddress, NatsAddress, StoreAddress};
pub use error::{Origin, SettingsError};
pub use keys::TOPIC_KEYS;
pub use layers::{DEFAULT_FILE, FlagSetting, Sources};
pub use properties::Properties;
pub use rules::outside_name;
pub use secret::{HIDDEN, SecretUrl};
pub use settings::{
    AlertSettings, CartSettings, CountSettings, DeadLetterSettings, DeductOn, Encoding, EngineSettings, FixSetting,
    Guarantee, HttpSettings, InboxSettings, LogFormat, LogSettings, OrderSettings, OutsideSettings, ReconcileSettings,
    RegistrySettings, RelaySettings, Settings, SinkSettings, SourceSettings, StoreSettings, TopicSettings,
};

use leaves::Leaves;

impl Settings {
    /// Reads and judges the settings. Addresses that only some commands need are asked for later, by
    /// [`Settings::source_bus`] and [`Settings::sink_bus`].
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let leaves = layers::read(sources)?;
        let origins = Origins::of(&leaves);
        let settings: Self = deserialize(leaves.into_tree())?;
        settings.judge_together(&origins)?;
        Ok(settings)
    }

    /// The settings as TOML with their secrets hidden. Keys without a value are named in a comment at the head.
    pub fn to_toml(&self) -> Result<String, SettingsError> {
        let broken = |error: String| SettingsError::Missing(format!("settings cannot be printed: {error}"));
        let table = toml::to_string(self).map_err(|error| broken(error.to_string()))?;
        let tree = serde_json::to_value(self).map_err(|error| broken(error.to_string()))?;
        let is_unset = |key: &&str| tree.pointer(&format!("/{}", key.replace('.', "/"))).is_some_and(Value::is_null);
        let unset: Vec<&str> = keys::KEYS.iter().map(|key| key.name).filter(is_unset).collect();
        Ok(if unset.is_empty() { table } else { format!("# not set: {}\n{table}", unset.join(", ")) })
    }

    /// Where the sidecar listens.
    pub fn listen(&self) -> Result<SocketAddr, SettingsError> {
        self.http.listen.parse().map_err(|_| SettingsError::WrongValue {
            key: "http.listen".to_owned(),
            shown: self.http.listen.clone(),
            origin: Origin::Default,
            expected: "must be an address and a port, like 127.0.0.1:8080".to_owned(),
        })
    }

    /// Rules that concern more than one key.
    fn judge_together(&self, origins: &Origins) -> Result<(), SettingsError> {
        if self.carts.max_hold_s < self.carts.ttl_s {
            return Err(SettingsError::WrongValue {
                key: "carts.max_hold_s".to_owned(),
                shown: self.carts.max_hold_s.to_string(),
                origin: origins.max_hold.clone(),
                expected: format!("must be at least carts.ttl_s, which is {} seconds", self.carts.ttl_s),
            });
        }
        if self.inbox.max_days <= self.inbox.keep_days {
            return Err(SettingsError::WrongValue {
                key: "inbox.max_days".to_owned(),
                shown: self.inbox.max_days.to_string(),
                origin: origins.max_days.clone(),
                expected: format!("must be above inbox.keep_days, which is {} days", self.inbox.keep_days),
            });
        }
        for (name, outside) in &self.reconcile.outside {
            judge_outside(name, outside)?;
        }
        Ok(())
    }
}

/// Rules that concern more than one key of another system's section.
fn judge_outside(name: &str, outside: &OutsideSettings) -> Result<(), SettingsError> {
    let missing = |said: &str| Err(SettingsError::Missing(format!("reconcile.outside.{name} {said}")));
    match (&outside.file, &outside.url) {
        (None, None) => return missing("has neither file nor url; one of them says where its figures are"),
        (Some(_), Some(_)) => return missing("has file and url; one of them says where its figures are"),
        (Some(_), None) | (None, Some(_)) => {}
    }
    if outside.fix == FixSetting::UseTheirs && outside.max_fix_amount.is_none() {
        return missing("has fix = use_theirs without max_fix_amount, the most units that are adjusted at once");
    }
    if outside.alert_threshold.is_some_and(|threshold| threshold <= outside.tolerance) {
        return missing("has an alert_threshold that is not above its tolerance");
    }
    Ok(())
}

/// Where the keys were written that are judged together with others.
struct Origins {
    max_hold: Origin,
    max_days: Origin,
}

impl Origins {
    fn of(leaves: &Leaves) -> Self {
        Self { max_hold: leaves.origin("carts.max_hold_s"), max_days: leaves.origin("inbox.max_days") }
    }
}

fn deserialize(tree: Value) -> Result<Settings, SettingsError> {
    // Every leaf was judged against the table of keys; what is left to find is a key whose type differs from it.
    serde_path_to_error::deserialize(tree).map_err(|error| SettingsError::WrongValue {
        key: error.path().to_string(),
        shown: HIDDEN.to_owned(),
        origin: Origin::Default,
        expected: "has a type that its key does not take".to_owned(),
    })
}

#[cfg(test)]
mod document;
#[cfg(test)]
mod tests;
