//! A schema registry with the usual REST interface.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;

use super::avro::layout::Layout;
use super::fields::Malformed;
use super::registry_answer::{FoundSchema, SchemaAnswer, unknown_schema};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes; schemas have some thousands.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Most schemas that are remembered; a registry that has more is asked again.
const MAX_REMEMBERED: usize = 4_096;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// What went wrong with the registry, by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The address in the settings is none.
    #[error("registry.url {0:?} is no http or https address such as http://127.0.0.1:8081")]
    Address(String),
    /// It cannot be asked now: try again with the same batch.
    #[error("the schema registry at {address} cannot be asked: {trouble}")]
    Unavailable {
        /// Its address, without credentials.
        address: String,
        /// What happened.
        trouble: String,
    },
    /// It does not take a schema of ours.
    #[error("the schema registry refuses the schema of {subject}: {answer}")]
    Refused {
        /// The subject.
        subject: String,
        /// What it said.
        answer: String,
    },
}

/// A client that remembers what it was told: a schema never changes under its id.
pub struct Registry {
    client: Client,
    base: Url,
    remembered: Mutex<HashMap<u32, Arc<Layout>>>,
}

impl fmt::Debug for Registry {
    /// Leaves out the credentials of the address.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("address", &without_credentials(self.base.as_str()))
            .finish_non_exhaustive()
    }
}

/// What a schema id means now.
pub(crate) type WriterSchema = Result<Arc<Layout>, Malformed>;

#[derive(Deserialize)]
struct RegisterAnswer {
    id: u32,
}

/// What the registry said, when it said something of use.
enum Answer {
    Found(Vec<u8>),
    NotFound,
    /// More than any schema has.
    TooLong,
    Rejected(String),
}

impl Registry {
    /// A client for an address; user and password in it become basic authentication. Asks nothing yet.
    pub fn new(address: &str) -> Result<Self, RegistryError> {
        let refused = || RegistryError::Address(without_credentials(address));
        let base = Url::parse(address).map_err(|_| refused())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(refused());
        }
        let client = Client::builder().timeout(TIMEOUT).connect_timeout(TIMEOUT).build().map_err(|_| refused())?;
        Ok(Self { client, base, remembered: Mutex::default() })
    }

    /// What an id means, from memory.
    pub(crate) fn remembered(&self, id: u32) -> Option<Arc<Layout>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// What an id means; asks when it was not asked before. Ids that the registry does not know, refuses or answers with
    /// more than any schema has are asked again each time: somebody may register them. An error is only what passes: it
    /// holds up everything behind it, which nothing that a publisher writes may do. Cancel-safe.
    pub(crate) async fn writer_schema(&self, id: u32) -> Result<WriterSchema, RegistryError> {
        if let Some(layout) = self.remembered(id) {
            return Ok(Ok(layout));
        }
        let answer = self.send(Method::GET, &["schemas", "ids", &id.to_string()], None).await?;
        let unknown = |detail: String| Ok(Err(unknown_schema(detail)));
        let found = match answer {
            Answer::Found(bytes) => FoundSchema::of(id, self.schema_answer(&bytes)?),
            Answer::NotFound => return unknown(format!("the schema registry does not know schema {id}")),
            Answer::TooLong => {
                return unknown(format!("schema {id} of the registry is longer than {MAX_ANSWER_BYTES} bytes"));
            }
            Answer::Rejected(answer) => return unknown(format!("the schema registry refuses schema {id}: {answer}")),
        };
        let mut found = match found {
            Ok(found) => found,
            Err(malformed) => return Ok(Err(malformed)),
        };
        self.follow_references(&mut found).await?;
        match found.layout() {
            Err(malformed) => Ok(Err(malformed)),
            Ok(layout) => {
                let layout = Arc::new(layout);
                let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                if remembered.len() >= MAX_REMEMBERED {
                    remembered.clear();
                }
                remembered.insert(id, layout.clone());
                Ok(Ok(layout))
            }
        }
    }

    /// Registers a schema under a subject, or finds that it is registered; returns its id.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let body = json!({ "schema": schema }).to_string();
        let refused = |answer: String| RegistryError::Refused { subject: subject.to_owned(), answer };
        match self.send(Method::POST, &["subjects", subject, "versions"], Some(body)).await? {
            Answer::Found(bytes) => Ok(self.parsed::<RegisterAnswer>(&bytes)?.id),
            Answer::NotFound => Err(refused("it has no such interface at this address".to_owned())),
            Answer::TooLong => Err(refused(format!("its answer is longer than {MAX_ANSWER_BYTES} bytes"))),
            Answer::Rejected(answer) => Err(refused(answer)),
        }
    }

    /// Asks for every schema that is referred to, directly or not. What is not found stays undefined.
    async fn follow_references(&self, found: &mut FoundSchema) -> Result<(), RegistryError> {
        while let Some(reference) = found.next_reference() {
            let version = reference.version.to_string();
            let path = ["subjects", &reference.subject, "versions", &version];
            if let Answer::Found(bytes) = self.send(Method::GET, &path, None).await? {
                found.refers_to(self.schema_answer(&bytes)?);
            }
        }
        Ok(())
    }

    async fn send(&self, method: Method, path: &[&str], body: Option<String>) -> Result<Answer, RegistryError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.client.request(method, url).header("accept", format!("{MEDIA_TYPE}, application/json"));
        if let Some(body) = body {
            request = request.header("content-type", MEDIA_TYPE).body(body);
        }
        let trouble = |error: reqwest::Error| self.unavailable(in_full(&error.without_url()));
        let mut response = request.send().await.map_err(trouble)?;
        let status = response.status();
        let (mut bytes, mut is_too_long) = (Vec::new(), false);
        while let Some(chunk) = response.chunk().await.map_err(trouble)? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                is_too_long = true;
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::NOT_FOUND => Ok(Answer::NotFound),
            status if status.is_success() && is_too_long => Ok(Answer::TooLong),
            status if status.is_success() => Ok(Answer::Found(bytes)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(self.unavailable(format!("it answers {status}; check user and password in registry.url")))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Err(self.unavailable(format!("it answers {status}")))
            }
            status if status.is_client_error() => {
                let text = String::from_utf8_lossy(&bytes);
                Ok(Answer::Rejected(format!("{status}: {}", text.chars().take(300).collect::<String>())))
            }
            status => Err(self.unavailable(format!("it answers {status}"))),
        }
    }

    fn schema_answer(&self, bytes: &[u8]) -> Result<Option<SchemaAnswer>, RegistryError> {
        SchemaAnswer::read(bytes).map_err(|error| self.not_understood(&error))
    }

    fn parsed<T: for<'de> Deserialize<'de>>(&self, bytes: &[u8]) -> Result<T, RegistryError> {
        serde_json::from_slice(bytes).map_err(|error| self.not_understood(&error))
    }

    fn not_understood(&self, error: &serde_json::Error) -> RegistryError {
        self.unavailable(format!("its answer is not understood: {error}"))
    }

    fn unavailable(&self, trouble: String) -> RegistryError {
        RegistryError::Unavailable { address: without_credentials(self.base.as_str()), trouble }
    }
}

fn without_credentials(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            // Parameters may be credentials, too.
            let shown = rest.split(['?', '#']).next().unwrap_or_default();
            let authority_end = shown.find('/').unwrap_or(shown.len());
            let host = shown[..authority_end].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &shown[host..])
        }
        None => address.to_owned(),
    }
}

/// The error with its causes: what reqwest itself says leaves out why.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
