//! Each kind of mistake and each source, as sentences.

use std::io::Write;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Sources { environment, ..Sources::default() }
}

fn flags(settings: &[&str]) -> Sources {
    let flags = settings.iter().map(|text| FlagSetting::parse(text).unwrap()).collect();
    Sources { flags, ..Sources::default() }
}

fn kafka(bus: Result<BusAddress, SettingsError>) -> KafkaAddress {
    match bus.unwrap() {
        BusAddress::Kafka(address) => address,
        BusAddress::Local(file) => panic!("{} is no Kafka", file.display()),
        BusAddress::Nats(address) => panic!("{} is no Kafka", address.url),
    }
}

fn file(text: &str) -> (tempfile::NamedTempFile, Sources) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
    (file, sources)
}

fn refusal(sources: &Sources) -> String {
    Settings::load(sources).unwrap_err().to_string()
}

#[test]
fn nothing_written_gives_the_defaults_of_the_contract() {
    let settings = Settings::load(&Sources::default()).unwrap();
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.store.url.expose(), "sqlite://holdfast.db");
    assert_eq!(settings.source.group, "holdfast");
    assert_eq!((settings.orders.ttl_s, settings.carts.ttl_s, settings.carts.max_hold_s), (7_200, 1_800, 7_200));
    assert_eq!((settings.inbox.keep_days, settings.max_clock_skew_s, settings.drain_timeout_ms), (35, 300, 25_000));
}

#[test]
fn a_flag_goes_over_the_environment_and_that_over_the_file() {
    let (_guard, mut sources) = file("[carts]\nttl_s = 10\nmax_hold_s = 20\nhold = false\n[orders]\nttl_s = 30\n");
    sources.environment =
        environment(&[("HOLDFAST__CARTS__TTL_S", "11"), ("HOLDFAST__CARTS__MAX_HOLD_S", "21")]).environment;
    sources.flags = flags(&["carts.max_hold_s=22"]).flags;
    let settings = Settings::load(&sources).unwrap();
    assert_eq!((settings.carts.ttl_s, settings.carts.max_hold_s, settings.orders.ttl_s), (11, 22, 30));
    assert!(!settings.carts.hold);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_what_was_meant() {
    let (guard, sources) = file("[carts]\ntll_s = 10\n");
    let place = guard.path().display();
    assert_eq!(refusal(&sources), format!("unknown setting carts.tll_s (in {place}); did you mean carts.ttl_s?"));
    assert_eq!(
        refusal(&environment(&[("HOLDFAST__STORE__ULR", "x")])),
        "unknown setting store.ulr (from HOLDFAST__STORE__ULR); did you mean store.url?"
    );
    assert_eq!(
        refusal(&flags(&["zzz=1"])),
        "unknown setting zzz (from --set zzz); holdfast config print shows every setting"
    );
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_what_would_be_right() {
    let cases = [
        (
            "carts.ttl_s=abc",
            "setting carts.ttl_s = \"abc\" (from --set carts.ttl_s) must be a whole number of seconds from 1 to 31622400",
        ),
        (
            "carts.ttl_s=0",
            "setting carts.ttl_s = \"0\" (from --set carts.ttl_s) must be a whole number of seconds from 1 to 31622400",
        ),
        (
            "carts.ttl_s=1.5",
            "setting carts.ttl_s = \"1.5\" (from --set carts.ttl_s) must be a whole number of seconds from 1 to 31622400",
        ),
        ("carts.hold=yes", "setting carts.hold = \"yes\" (from --set carts.hold) must be true or false"),
        (
            "orders.deduct_on=paid",
            "setting orders.deduct_on = \"paid\" (from --set orders.deduct_on) must be created or confirmed or shipped",
        ),
        ("carts=1", "setting carts = \"1\" (from --set carts) must be a table of settings"),
        (
            "source.group=",
            "setting source.group = \"\" (from --set source.group) must be 1 to 249 printable characters",
        ),
        (
            "source.url=kafka://localhost",
            "setting source.url = kafka://localhost (from --set source.url) must be kafka://host:port,host:port, each with a port",
        ),
        (
            "topics.type_prefix=com shop",
            "setting topics.type_prefix = \"com shop\" (from --set topics.type_prefix) must be at most 200 characters of a-z, A-Z, 0-9, '.', '_' and '-'",
        ),
        (
            "topics.names.order-created=a b",
            "setting topics.names.order-created = \"a b\" (from --set topics.names.order-created) must be 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'",
        ),
        (
            "log.level=loud",
            "setting log.level = \"loud\" (from --set log.level) must be off, error, warn, info, debug or trace, or levels by module like info,holdfast=debug",
        ),
        (
            "carts.max_hold_s=60",
            "setting carts.max_hold_s = 60 (from --set carts.max_hold_s) must be at least carts.ttl_s, which is 1800 seconds",
        ),
    ];
    for (setting, message) in cases {
        assert_eq!(refusal(&flags(&[setting])), message, "{setting}");
    }
}

#[test]
fn numbers_and_flags_are_strict_in_the_file() {
    let (_guard, sources) = file("[carts]\nttl_s = 1.5\n");
    assert!(refusal(&sources).contains("carts.ttl_s = 1.5"), "{}", refusal(&sources));
    let (_guard, sources) = file("[carts]\nhold = \"true\"\n");
    assert!(refusal(&sources).contains("must be true or false"));
}

#[test]
fn no_message_shows_a_secret() {
    let secret = "hunter2";
    let (_open, unclosed) = file("[store]\nurl = \"postgres://shop:hunter2@db/stock\n");
    let (_list, list) = file("[source.kafka]\n\"sasl.password\" = [\"hunter2\"]\n");
    let cases = [
        environment(&[("HOLDFAST__STORE__URL", "mysql://shop:hunter2@db/stock")]),
        environment(&[("HOLDFAST__STORE__URL", "hunter2")]),
        environment(&[("HOLDFAST__SOURCE__URL", "kafka://shop:hunter2@db:1")]),
        environment(&[("HOLDFAST__SOURCE__KAFKA", "hunter2")]),
        environment(&[("HOLDFAST__STORE__URL", "postgres://shop@db/stock?passwd=hunter2")]),
        environment(&[("HOLDFAST__STORE__URL", "postgres://shop@db/stock?pw=hunter2")]),
        environment(&[("HOLDFAST__STORE__URL", "postgres://shop:hunter2@db:notaport/stock")]),
        environment(&[("HOLDFAST__STORE__URL", "postgres://shop:hunter2@db/stock?port=x")]),
        unclosed,
        list,
    ];
    for sources in &cases {
        assert!(!refusal(sources).contains(secret), "{}", refusal(sources));
    }
    assert!(!FlagSetting::parse("hunter2").unwrap_err().to_string().contains(secret));
}

#[test]
fn an_address_of_the_database_is_read_before_anything_connects() {
    let refused = |url: &str| refusal(&flags(&[&format!("store.url={url}")]));
    let said = refused("postgres://h:notaport/x");
    assert!(said.contains("must be postgres://user:password@host:port/database"), "{said}");
    assert!(said.contains("invalid port number"), "{said}");
    let said = refused("postgres://h/x?passwd=hunter2");
    assert!(said.contains("passwd=***") && said.contains("must not have the parameter \"passwd\""), "{said}");
    for wrong in ["sslmode=perhaps", "port=x", "hostaddr=db", "statement-cache-capacity=-1", "options[a=b", "hunter2"] {
        let said = refused(&format!("postgres://h/x?{wrong}"));
        assert!(said.contains("setting store.url"), "{said}");
    }
    for right in [
        "postgres://shop:p%40ss@db:5432/stock?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://shop@[::1]/stock",
        "postgres:///stock?host=/var/run/postgresql&user=shop&options[statement_timeout]=5s",
        "sqlite://holdfast.db",
    ] {
        assert!(Settings::load(&flags(&[&format!("store.url={right}")])).is_ok(), "{right}");
    }
}

#[test]
fn what_is_printed_reads_back_except_for_secrets() {
    let sources = environment(&[
        ("HOLDFAST__STORE__URL", "postgres://shop:hunter2@db/stock"),
        ("HOLDFAST__SOURCE__KAFKA__SASL_PASSWORD", "hunter2"),
        ("HOLDFAST__SOURCE__KAFKA__SECURITY_PROTOCOL", "SASL_SSL"),
        ("HOLDFAST__CARTS__MAX_PER_SKU", "5"),
    ]);
    let settings = Settings::load(&sources).unwrap();
    let printed = settings.to_toml().unwrap();
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(
        printed
            .starts_with("# not set: sink.url, sink.encoding, topics.replication, topics.partitions, registry.url\n"),
        "{printed}"
    );
    assert!(!format!("{settings:?}").contains("hunter2"));
    let (_guard, sources) = file(&printed);
    let again = Settings::load(&sources).unwrap();
    assert_eq!(again.to_toml().unwrap(), printed);
    assert_eq!(again.source.kafka.get("security.protocol"), Some("SASL_SSL"));
    assert_eq!(again.carts.max_per_sku, Some(5));
}

#[test]
fn topic_names_and_properties_may_be_spelled_as_shells_allow() {
    let settings = Settings::load(&environment(&[
        ("HOLDFAST__TOPICS__NAMES__ORDER-CREATED", "shop.orders"),
        ("HOLDFAST__TOPICS__NAMES__CART_UPDATED", "shop.carts"),
        ("HOLDFAST__SINK__KAFKA__LINGER_MS", "5"),
        ("HOLDFAST__SINK__URL", ""),
    ]))
    .unwrap();
    assert_eq!(settings.topics.names["order-created"], "shop.orders");
    assert_eq!(settings.topics.names["cart-updated"], "shop.carts");
    assert_eq!(settings.sink.kafka.get("linger.ms"), Some("5"));
    assert_eq!(settings.sink.url, None);
    assert_eq!(
        refusal(&environment(&[("HOLDFAST__TOPICS__NAMES__ORDER_CRATED", "x")])),
        "unknown setting topics.names.order_crated (from HOLDFAST__TOPICS__NAMES__ORDER_CRATED); \
         did you mean topics.names.order-created?"
    );
}

#[test]
fn properties_may_be_nested_or_quoted_in_the_file() {
    let (_guard, sources) = file("[source.kafka]\nsecurity.protocol = \"SSL\"\n\"fetch.min.bytes\" = 7\n");
    let settings = Settings::load(&sources).unwrap();
    assert_eq!(settings.source.kafka.get("security.protocol"), Some("SSL"));
    assert_eq!(settings.source.kafka.get("fetch.min.bytes"), Some("7"));
}

#[test]
fn a_secret_may_stand_in_a_file_and_only_once() {
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    secret.write_all(b"postgres://shop:hunter2@db/stock\n").unwrap();
    let path = secret.path().to_str().unwrap();
    let settings = Settings::load(&environment(&[("HOLDFAST__STORE__URL_FILE", path)])).unwrap();
    assert_eq!(settings.store.url.expose(), "postgres://shop:hunter2@db/stock");
    let settings = Settings::load(&environment(&[("HOLDFAST__SOURCE__KAFKA_FILES__SASL_PASSWORD", path)])).unwrap();
    assert_eq!(settings.source.kafka.get("sasl.password"), Some("postgres://shop:hunter2@db/stock"));
    let both = environment(&[("HOLDFAST__STORE__URL_FILE", path), ("HOLDFAST__STORE__URL", "postgres://a:b@c/d")]);
    assert!(refusal(&both).contains("is given twice"), "{}", refusal(&both));
    let missing = environment(&[("HOLDFAST__STORE__URL_FILE", "/nowhere/url")]);
    assert!(
        refusal(&missing).starts_with(
            "setting store.url_file (from HOLDFAST__STORE__URL_FILE) names /nowhere/url, which cannot be read"
        ),
        "{}",
        refusal(&missing)
    );
}

#[test]
fn a_named_file_must_exist_and_be_toml() {
    let sources = Sources { file: Some("/nowhere/holdfast.toml".into()), ..Sources::default() };
    assert!(
        refusal(&sources).starts_with("settings file /nowhere/holdfast.toml cannot be read"),
        "{}",
        refusal(&sources)
    );
    let sources = Sources { optional_file: Some("/nowhere/holdfast.toml".into()), ..Sources::default() };
    assert!(Settings::load(&sources).is_ok());
    let (_guard, sources) = file("[carts\n");
    assert!(refusal(&sources).contains("is not TOML"), "{}", refusal(&sources));
    assert!(refusal(&sources).contains("line 1"), "{}", refusal(&sources));
}

#[test]
fn the_sidecar_refuses_a_public_address_and_says_why() {
    for address in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80"] {
        let message = refusal(&flags(&[&format!("http.listen={address}")]));
        assert!(message.contains("no authentication yet"), "{message}");
    }
    let settings = Settings::load(&flags(&["http.listen=[::1]:0"])).unwrap();
    assert_eq!(settings.listen().unwrap(), "[::1]:0".parse().unwrap());
}

#[test]
fn without_any_setting_bus_and_store_are_one_file() {
    let settings = Settings::default();
    assert_eq!(settings.source_bus().unwrap(), BusAddress::Local("holdfast.db".into()));
    assert_eq!(settings.sink_bus().unwrap(), BusAddress::Local("holdfast.db".into()));
    assert_eq!(settings.encoding(), Encoding::Json);
    let settings = Settings::load(&flags(&["sink.url=kafka://x:1"])).unwrap();
    assert!(matches!(settings.sink_bus().unwrap(), BusAddress::Kafka(_)));
    assert_eq!(settings.encoding(), Encoding::Avro);
    let settings = Settings::load(&flags(&["store.url=postgres://shop:hunter2@db/stock"])).unwrap();
    let refused = settings.source_bus().unwrap_err().to_string();
    assert!(refused.starts_with("source.url is local:, a log in the SQLite file of the store"), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
}

#[test]
fn a_store_is_a_postgresql_address_or_the_path_of_a_file() {
    assert_eq!(Settings::default().store_address(), StoreAddress::Sqlite("holdfast.db".into()));
    let settings = Settings::load(&flags(&["store.url=sqlite:///var/lib/stock.db"])).unwrap();
    assert_eq!(settings.store_address(), StoreAddress::Sqlite("/var/lib/stock.db".into()));
    for address in ["sqlite://:memory:", "sqlite://stock.db?mode=rw", "sqlite://stock/", "sqlite://"] {
        let message = refusal(&flags(&[&format!("store.url={address}")]));
        assert!(message.contains("must be"), "{message}");
    }
}

#[test]
fn a_sink_without_an_address_shares_how_the_source_connects() {
    let settings = Settings::load(&flags(&[
        "source.url=kafka://one:1,two:2",
        "source.kafka.security.protocol=SSL",
        "source.kafka.fetch.min.bytes=5",
        "sink.kafka.linger.ms=3",
    ]))
    .unwrap();
    let sink = kafka(settings.sink_bus());
    assert_eq!(sink.url, "kafka://one:1,two:2");
    let properties: Vec<(&str, &str)> = sink.properties.iter().collect();
    assert_eq!(properties, [("linger.ms", "3"), ("security.protocol", "SSL")]);
}

#[test]
fn nats_is_reached_with_a_user_a_token_or_credentials_and_none_of_them_is_shown() {
    let (_guard, secret) = file("hunter2\n");
    let file_setting = format!("source.nats_files.token={}", secret.file.unwrap().display());
    let settings = Settings::load(&flags(&[
        "source.url=nats://one:4222,two:4222",
        &file_setting,
        "source.nats.tls_ca=/etc/ca.pem",
        "source.nats.ack_wait_ms=5000",
        "sink.nats.tls.ca=/etc/other.pem",
    ]))
    .unwrap();
    let BusAddress::Nats(source) = settings.source_bus().unwrap() else { panic!("a NATS address") };
    let properties: Vec<(&str, &str)> = source.properties.iter().collect();
    assert_eq!(properties, [("tls.ca", "/etc/ca.pem"), ("token", "hunter2")]);
    let BusAddress::Nats(sink) = settings.sink_bus().unwrap() else { panic!("a NATS address") };
    let properties: Vec<(&str, &str)> = sink.properties.iter().collect();
    assert_eq!(properties, [("tls.ca", "/etc/other.pem"), ("token", "hunter2")]);
    assert_eq!(settings.nats_ack_wait_ms().unwrap(), Some(5_000));
    assert!(!format!("{settings:?}{}", settings.to_toml().unwrap()).contains("hunter2"));
    let shown = Settings::load(&flags(&["sink.url=nats://shop:hunter2@one"])).unwrap();
    assert!(!format!("{shown:?}").contains("hunter2"));
}

#[test]
fn a_wrong_nats_address_is_refused_with_what_would_be_right() {
    for wrong in ["nats://", "nats://one,", "nats://a:b@", "tls://one/path"] {
        let message = refusal(&flags(&[&format!("source.url={wrong}")]));
        assert!(message.contains("nats://host:port,host:port"), "{message}");
    }
    let settings = Settings::load(&flags(&["source.nats.ack_wait_ms=5"])).unwrap();
    assert!(settings.nats_ack_wait_ms().unwrap_err().to_string().contains("from 1000 to 3600000"));
}

#[test]
fn other_systems_are_sections_by_name_in_every_place() {
    let (_guard, mut sources) =
        file("[reconcile]\ninterval_s = 60\n[reconcile.outside.wms]\nfile = \"/srv/wms.csv\"\ntolerance = 2\n");
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "https://shop:hunter2@north/api/v1/stock\n").unwrap();
    let url_file = secret.path().to_str().unwrap();
    sources.environment = vec![
        ("HOLDFAST__RECONCILE__OUTSIDE__WMS__ALERT_THRESHOLD".into(), "10".into()),
        ("HOLDFAST__RECONCILE__OUTSIDE__NORTH__URL_FILE".into(), url_file.into()),
    ];
    sources.flags = flags(&["reconcile.outside.wms.fix=use_theirs", "reconcile.outside.wms.max_fix_amount=5"]).flags;
    let settings = Settings::load(&sources).unwrap();
    let wms = &settings.reconcile.outside["wms"];
    assert_eq!((wms.file.as_deref(), wms.tolerance, wms.alert_threshold), (Some("/srv/wms.csv"), 2, Some(10)));
    assert_eq!((wms.fix, wms.max_fix_amount, wms.interval_s), (FixSetting::UseTheirs, Some(5), 3_600));
    let north = &settings.reconcile.outside["north"];
    assert_eq!(north.url.as_ref().map(|url| url.expose()), Some("https://shop:hunter2@north/api/v1/stock"));
    let printed = settings.to_toml().unwrap();
    assert!(!printed.contains("hunter2") && printed.contains("[reconcile.outside.wms]"), "{printed}");
}

#[test]
fn a_wrong_section_is_refused_by_its_own_name() {
    for (setting, message) in [
        (
            "reconcile.outside.wms.tolerance=-1",
            "setting reconcile.outside.wms.tolerance = \"-1\" (from --set reconcile.outside.wms.tolerance) must be a whole number of units from 0 to 2147483647",
        ),
        ("reconcile.outside.ledger.file=x", "must be another name than ledger, claims and thresholds"),
        ("reconcile.outside.W.file=x", "must be 1 to 100 characters of a-z"),
        ("reconcile.outside.wms.tolerence=1", "unknown setting reconcile.outside.wms.tolerence"),
        ("reconcile.outside.wms=1", "must be a table of settings"),
        ("reconcile.outside=1", "must be a table from names to tables of settings"),
        ("reconcile.outside.wms.tolerance=1", "reconcile.outside.wms has neither file nor url"),
        ("reconcile.outside.wms.url=ftp://x", "setting reconcile.outside.wms.url"),
    ] {
        let said = refusal(&flags(&[setting]));
        assert!(said.contains(message), "{setting}: {said}");
    }
    let both = refusal(&flags(&["reconcile.outside.wms.file=x", "reconcile.outside.wms.url=http://x"]));
    assert!(both.contains("has file and url"), "{both}");
    let unlimited = refusal(&flags(&["reconcile.outside.wms.file=x", "reconcile.outside.wms.fix=use_theirs"]));
    assert!(unlimited.contains("without max_fix_amount"), "{unlimited}");
    let quiet = flags(&[
        "reconcile.outside.wms.file=x",
        "reconcile.outside.wms.tolerance=5",
        "reconcile.outside.wms.alert_threshold=5",
    ]);
    assert!(refusal(&quiet).contains("not above its tolerance"), "{}", refusal(&quiet));
}
