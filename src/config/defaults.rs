//! The contract's defaults.

use std::collections::BTreeMap;

use super::properties::Properties;
use super::secret::SecretUrl;
use super::settings::{
    AlertSettings, CartSettings, CountSettings, DeadLetterSettings, DeductOn, EngineSettings, FixSetting, Guarantee,
    HttpSettings, InboxSettings, LogFormat, LogSettings, OrderSettings, OutsideSettings, ReconcileSettings,
    RegistrySettings, RelaySettings, Settings, SinkSettings, SourceSettings, StoreSettings, TopicSettings,
};

impl Default for Settings {
    fn default() -> Self {
        Self {
            drain_timeout_ms: 25_000,
            max_clock_skew_s: 300,
            max_event_bytes: 2 * 1024 * 1024,
            store: StoreSettings::default(),
            source: SourceSettings::default(),
            sink: SinkSettings::default(),
            topics: TopicSettings::default(),
            registry: RegistrySettings::default(),
            http: HttpSettings::default(),
            orders: OrderSettings::default(),
            carts: CartSettings::default(),
            counts: CountSettings::default(),
            alerts: AlertSettings::default(),
            inbox: InboxSettings::default(),
            dead_letters: DeadLetterSettings::default(),
            engine: EngineSettings::default(),
            relay: RelaySettings::default(),
            reconcile: ReconcileSettings::default(),
            log: LogSettings::default(),
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { url: SecretUrl::new("sqlite://holdfast.db"), engine_connections: 4, http_connections: 4 }
    }
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            url: SecretUrl::new("local:"),
            group: "holdfast".to_owned(),
            kafka: Properties::new(),
            nats: Properties::new(),
        }
    }
}

impl Default for SinkSettings {
    fn default() -> Self {
        Self {
            url: None,
            guarantee: Guarantee::ExactlyOnce,
            encoding: None,
            kafka: Properties::new(),
            nats: Properties::new(),
        }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            max_body_bytes: 4 * 1024 * 1024,
            request_timeout_ms: 10_000,
            max_connections: 128,
        }
    }
}

impl Default for OrderSettings {
    fn default() -> Self {
        Self { deduct_on: DeductOn::Created, ttl_s: 7_200, max_waiting: 1_000 }
    }
}

impl Default for CartSettings {
    fn default() -> Self {
        Self { hold: true, ttl_s: 1_800, max_hold_s: 7_200, max_per_sku: None }
    }
}

impl Default for CountSettings {
    fn default() -> Self {
        Self { max_age_s: 604_800 }
    }
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self { ignore_cart_holds: false, keep_days: 365 }
    }
}

impl Default for InboxSettings {
    fn default() -> Self {
        Self { keep_days: 35, max_days: 1_100 }
    }
}

impl Default for DeadLetterSettings {
    fn default() -> Self {
        Self { keep_days: 400 }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { batch_events: 2_000, batch_bytes: 1024 * 1024 }
    }
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self { lease_s: 10, keep_published_s: 7 * 86_400 }
    }
}

impl Default for ReconcileSettings {
    fn default() -> Self {
        Self { interval_s: 3_600, outside: BTreeMap::new() }
    }
}

impl Default for OutsideSettings {
    fn default() -> Self {
        Self {
            file: None,
            url: None,
            interval_s: 3_600,
            tolerance: 0,
            alert_threshold: None,
            fix: FixSetting::None,
            max_fix_amount: None,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}
