//! Who may connect to a NATS server, and over what: tokens, users, credentials of an operator's accounts, TLS.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holdfast::bus::nats::{NatsConnection, NatsFailure, NatsSource, NatsSourceSettings};
use holdfast::ports::Source;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats_support::{Ground, output, take, text};
use crate::servers::{NatsAddress, Servers};

/// A server with options of the tool.
async fn server(options: Vec<String>) -> (Servers, NatsAddress) {
    let arguments: Vec<String> = options.iter().map(|option| format!("--nats-option={option}")).collect();
    let start = move || Servers::start_with(&["nats"], &arguments);
    let servers = tokio::task::spawn_blocking(start).await.unwrap();
    let address = servers.address("nats");
    (servers, address)
}

fn connection(url: &str, properties: &[(&str, &str)]) -> NatsConnection {
    let properties: BTreeMap<String, String> =
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    NatsConnection::new(url, "test", properties).unwrap()
}

async fn failure(connection: NatsConnection) -> NatsFailure {
    let mut settings = NatsSourceSettings::new(connection, "group", vec!["orders".to_owned()]);
    settings.start_timeout = std::time::Duration::from_millis(500);
    NatsSource::open(settings).await.unwrap_err()
}

/// Streams are made, an event goes in and comes out.
async fn works(address: &NatsAddress, connection: NatsConnection) {
    let ground = Ground::over(address.clone(), connection);
    let topic = ground.topic("orders").await;
    ground.publish(vec![output(&topic, "k", 1)]).await;
    let mut source = ground.source(&[&topic]).await;
    assert_eq!(text(&take(&mut source, 1).await.0[0]), "k:1");
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_password_or_a_token_is_let_in_and_nobody_else() {
    for (options, user, properties) in [
        (vec!["user=shop", "password=p@ss"], "shop:p%40ss@", vec![]),
        (vec!["token=secret"], "", vec![("token", "secret")]),
        (vec!["token=secret"], "secret@", vec![]),
    ] {
        let (_servers, address) = server(options.into_iter().map(str::to_owned).collect()).await;
        let stranger = failure(connection(&address.url(), &[])).await;
        assert!(matches!(stranger, NatsFailure::Refused { .. }), "{stranger}");
        let wrong = failure(connection(&format!("nats://shop:wrong@{}", address.address), &[])).await;
        assert!(matches!(wrong, NatsFailure::Refused { .. }), "{wrong}");
        assert!(!wrong.to_string().contains("wrong"), "{wrong}");
        works(&address, connection(&format!("nats://{user}{}", address.address), &properties)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_is_trusted_when_its_authority_is_known() {
    let folder = Folder::new();
    folder.authority("ca");
    folder.authority("stranger");
    folder.certificate("server", "ca", "subjectAltName=IP:127.0.0.1");
    let tls =
        format!("tls {{ cert_file: {:?}, key_file: {:?} }}\n", folder.path("server.pem"), folder.path("server.key"));
    let (_servers, address) = server(vec![folder.settings(&tls)]).await;
    let (known, stranger) = (folder.text("ca.pem"), folder.text("stranger.pem"));
    for url in [address.url(), address.url().replace("nats://", "tls://")] {
        works(&address, connection(&url, &[("tls.ca", &known)])).await;
        // Nobody is told to trust it, or somebody else is.
        for properties in [vec![], vec![("tls.ca", stranger.as_str())]] {
            let refused = failure(connection(&url, &properties)).await;
            assert!(matches!(refused, NatsFailure::Unreachable { .. }), "{refused}");
            assert!(refused.to_string().contains("ertificate"), "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_a_certificate_lets_in_who_has_one() {
    let folder = Folder::new();
    folder.authority("ca");
    folder.certificate("server", "ca", "subjectAltName=IP:127.0.0.1");
    folder.certificate("worker", "ca", "extendedKeyUsage=clientAuth");
    let tls = format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}\n",
        folder.path("server.pem"),
        folder.path("server.key"),
        folder.path("ca.pem")
    );
    let (_servers, address) = server(vec![folder.settings(&tls)]).await;
    let [ca, certificate, key] = ["ca.pem", "worker.pem", "worker.key"].map(|name| folder.text(name));
    let known = [("tls.ca", ca.as_str()), ("tls.certificate", certificate.as_str()), ("tls.key", key.as_str())];
    works(&address, connection(&address.url(), &known)).await;
    let unknown = failure(connection(&address.url(), &known[..1])).await;
    assert!(matches!(unknown, NatsFailure::Unreachable { .. }), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credentials_file_lets_into_the_account_of_an_operator_and_a_forged_one_does_not() {
    let folder = Folder::new();
    let [operator, system, account, user, forger] =
        ["operator", "system", "account", "user", "forger"].map(|name| folder.key_pair(name));
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "wildcards": true,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let none = json!({"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1,
        "wildcards": true});
    let of_operator = json!({"type": "operator", "version": 2, "system_account": system.public('A')});
    let of_operator = folder.token(&operator, 'O', &operator.public('O'), of_operator);
    let of_system = json!({"type": "account", "version": 2, "limits": none});
    let of_system = folder.token(&operator, 'O', &system.public('A'), of_system);
    let of_account = json!({"type": "account", "version": 2, "limits": limits});
    let of_account = folder.token(&operator, 'O', &account.public('A'), of_account);
    let settings = format!(
        "operator: {of_operator}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n  {}: {of_system}\n  {}: \
         {of_account}\n}}\n",
        system.public('A'),
        system.public('A'),
        account.public('A')
    );
    let (_servers, address) = server(vec![folder.settings(&settings)]).await;

    let of_user = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let credentials = |signer: &KeyPair| {
        let token = folder.token(signer, 'A', &user.public('U'), of_user.clone());
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY \
             SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed('U')
        )
    };
    works(&address, connection(&address.url(), &[("credentials", &credentials(&account))])).await;
    for refused in
        [connection(&address.url(), &[]), connection(&address.url(), &[("credentials", &credentials(&forger))])]
    {
        let refused = failure(refused).await;
        assert!(matches!(refused, NatsFailure::Refused { .. }), "{refused}");
    }
}

/// Keys and certificates, made by OpenSSL's own tool.
struct Folder(TempDir);

/// The two halves of an Ed25519 key.
struct KeyPair {
    file: PathBuf,
    secret: Vec<u8>,
    public: Vec<u8>,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as settings take it.
    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The option of the tool that adds these settings to the server's.
    fn settings(&self, settings: &str) -> String {
        fs::write(self.path("more.conf"), settings).unwrap();
        format!("settings={}", self.path("more.conf").display())
    }

    fn openssl(&self, arguments: &str) {
        let tool = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(tool.expect("openssl should be installed").success(), "openssl {arguments}");
    }

    fn authority(&self, name: &str) {
        let key = format!("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key");
        self.openssl(&format!("req -x509 {key} -out {name}.pem -days 2 -subj /CN={name}"));
    }

    fn certificate(&self, name: &str, authority: &str, extension: &str) {
        let key = format!("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key");
        self.openssl(&format!("req {key} -out {name}.csr -subj /CN={name}"));
        fs::write(self.path("extensions"), extension).unwrap();
        let signer = format!("-CA {authority}.pem -CAkey {authority}.key -CAcreateserial");
        self.openssl(&format!("x509 -req -in {name}.csr {signer} -out {name}.pem -days 2 -extfile extensions"));
    }

    fn key_pair(&self, name: &str) -> KeyPair {
        self.openssl(&format!("genpkey -algorithm ed25519 -outform DER -out {name}.der"));
        self.openssl(&format!("pkey -inform DER -in {name}.der -pubout -outform DER -out {name}.pub"));
        let file = self.path(&format!("{name}.der"));
        KeyPair { secret: last_32(&file), public: last_32(&self.path(&format!("{name}.pub"))), file }
    }

    /// A signed statement of an issuer about a subject.
    fn token(&self, issuer: &KeyPair, kind: char, subject: &str, claims: Value) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({"typ": "JWT", "alg": "ed25519-nkey"}));
        let body = json!({
            "jti": subject, "iat": 1_700_000_000, "iss": issuer.public(kind), "name": "test", "sub": subject,
            "nats": claims,
        });
        let signed = format!("{head}.{}", part(body));
        fs::write(self.path("signed"), &signed).unwrap();
        let key = issuer.file.display();
        self.openssl(&format!("pkeyutl -sign -rawin -keyform DER -inkey {key} -in signed -out signature"));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(fs::read(self.path("signature")).unwrap()))
    }
}

impl KeyPair {
    /// The public half as NATS writes it.
    fn public(&self, kind: char) -> String {
        written([&[prefix(kind)][..], &self.public].concat())
    }

    /// The secret half as NATS writes it.
    fn seed(&self, kind: char) -> String {
        const SEED: u8 = 18 << 3;
        let kind = prefix(kind);
        written([&[SEED | kind >> 5, (kind & 31) << 3][..], &self.secret].concat())
    }
}

/// The end of either half of a key in DER is the key itself.
fn last_32(file: &Path) -> Vec<u8> {
    let bytes = fs::read(file).unwrap();
    bytes[bytes.len() - 32..].to_vec()
}

/// So that the first letter is the kind.
fn prefix(kind: char) -> u8 {
    (kind as u8 - b'A') << 3
}

/// With a check sum, in base 32.
fn written(mut bytes: Vec<u8>) -> String {
    let sum = bytes.iter().fold(0_u16, |sum, byte| {
        let shift = |sum: u16, _| if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x1021 };
        (0..8).fold(sum ^ u16::from(*byte) << 8, shift)
    });
    bytes.extend(sum.to_le_bytes());
    let bit = |index: usize| bytes.get(index / 8).map_or(0, |byte| byte >> (7 - index % 8) & 1);
    let letter = |group: usize| (0..5).fold(0, |letter, index| letter << 1 | bit(group * 5 + index));
    let letters = (0..(bytes.len() * 8).div_ceil(5)).map(letter);
    letters.map(|letter| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(letter)])).collect()
}
