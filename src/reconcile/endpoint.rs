//! Figures from another system over HTTP: pages as `GET /api/v1/stock` answers them.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;

use super::figures::{Figures, FiguresError};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest page, in bytes.
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// Longest text that says where the list goes on, in bytes.
const MAX_CURSOR_BYTES: usize = 4_096;

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    #[serde(default)]
    next: Option<String>,
}

/// Reads the figures of a list, page by page: `next` of a page is the parameter `cursor` of the following request. User and
/// password in the address become basic authentication. Cancel-safe.
///
/// # Errors
/// [`FiguresError::Away`] when it does not answer as it should, [`FiguresError::Wrong`] for what is no list of figures.
/// Neither shows user, password or parameters of the address.
pub async fn read_list(address: &str) -> Result<Figures, FiguresError> {
    let first = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let first =
        first.ok_or_else(|| FiguresError::Wrong("the address must begin with http:// or https://".to_owned()))?;
    let shown = shown(&first);
    let away = |said: String| FiguresError::Away(format!("{shown}: {said}"));
    let wrong = |said: String| FiguresError::Wrong(format!("{shown}: {said}"));
    // A redirect would take the credentials elsewhere.
    let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(PAGE_TIMEOUT).redirect(Policy::none());
    let client = client.build().map_err(|error| away(error.without_url().to_string()))?;
    let mut list = List::default();
    let mut cursor: Option<String> = None;
    loop {
        let mut url = first.clone();
        if let Some(cursor) = &cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        let body = body(&client, url).await.map_err(away)?;
        match list.page(&body).map_err(wrong)? {
            Some(next) => cursor = Some(next),
            None => return list.figures().map_err(wrong),
        }
    }
}

/// A list of figures as its pages are read.
#[derive(Debug, Default)]
pub struct List {
    figures: Figures,
    seen: HashSet<String>,
}

impl List {
    /// Reads the next page. Returns where the list goes on, which no page has said before; `None` behind the last page.
    ///
    /// # Errors
    /// What is wrong with the page, for people; the list must then be thrown away.
    pub fn page(&mut self, body: &[u8]) -> Result<Option<String>, String> {
        let page: Page = serde_json::from_slice(body)
            .map_err(|error| format!("its answer is no {{\"items\":[…],\"next\":…}}: {error}"))?;
        for item in &page.items {
            let number = self.figures.count() + 1;
            self.figures.add_object(item).map_err(|said| format!("item {number}: {said}"))?;
        }
        match page.next {
            None => Ok(None),
            Some(next) if next.len() > MAX_CURSOR_BYTES => Err("its next is too long".to_owned()),
            Some(_) if page.items.is_empty() => Err("a page without items has a next one".to_owned()),
            Some(next) if !self.seen.insert(next.clone()) => Err("its list goes in a circle".to_owned()),
            Some(next) => Ok(Some(next)),
        }
    }

    /// The figures of all pages.
    ///
    /// # Errors
    /// When there is none, for people.
    pub fn figures(self) -> Result<Figures, String> {
        match self.figures.count() {
            0 => Err("it lists no figure; an empty list is not compared".to_owned()),
            _ => Ok(self.figures),
        }
    }
}

async fn body(client: &Client, url: Url) -> Result<Vec<u8>, String> {
    let request = client.get(url).header("accept", "application/json");
    let mut response = request.send().await.map_err(|error| in_full(&error.without_url()))?;
    if !response.status().is_success() {
        return Err(format!("it answers {}", response.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| in_full(&error.without_url()))? {
        if bytes.len() + chunk.len() > MAX_PAGE_BYTES {
            return Err(format!("a page has more than {MAX_PAGE_BYTES} bytes; ask for fewer items with limit="));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// The error with its causes: what the client itself says leaves out why.
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::RawQuery;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;
    use crate::domain::words::StockKey;

    /// The address of a server that ends with the test.
    async fn serve(router: Router) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn a_list_is_read_page_by_page_with_user_and_password() {
        let list = async |headers: HeaderMap, RawQuery(query): RawQuery| {
            if headers.get("authorization").is_none_or(|given| given != "Basic c2hvcDpzM2NyZXQ=") {
                return (StatusCode::UNAUTHORIZED, String::new());
            }
            let page = match query.as_deref() {
                Some("limit=1") => {
                    r#"{"items":[{"sku":"A","location":"default","available":5,"name":null}],"next":"a b"}"#
                }
                Some("limit=1&cursor=a+b") => r#"{"items":[{"sku":"B","available":null}],"next":null}"#,
                other => panic!("{other:?} was asked"),
            };
            (StatusCode::OK, page.to_owned())
        };
        let address = serve(Router::new().route("/stock", get(list))).await;
        let figures = read_list(&format!("http://shop:s3cret@{address}/stock?limit=1")).await.unwrap();
        assert_eq!((figures.count(), figures.get(&StockKey::new("A", "default"))), (2, Some(5)));
        let refused = read_list(&format!("http://shop:wr0ng@{address}/stock?limit=1")).await.unwrap_err();
        assert!(matches!(refused, FiguresError::Away(_)), "{refused:?}");
        let said = refused.to_string();
        assert!(said.contains(&address) && said.contains("401") && !said.contains("wr0ng"), "{said}");
    }

    #[tokio::test]
    async fn what_is_no_list_is_refused() {
        for (body, expected) in [
            ("<html>", "its answer is no"),
            (r#"{"items":[{"sku":"A"}]}"#, "item 1: available is missing"),
            (r#"{"items":[]}"#, "lists no figure"),
            (r#"{"items":[],"next":"x"}"#, "a page without items"),
            (r#"{"items":[{"sku":"A","available":1}],"next":"x"}"#, "stands there twice"),
        ] {
            let address = serve(Router::new().route("/", get(async move || body))).await;
            let refused = read_list(&format!("http://{address}/")).await.unwrap_err();
            assert!(matches!(refused, FiguresError::Wrong(_)), "{refused:?}");
            assert!(refused.to_string().contains(expected), "{body}: {refused}");
        }
        let elsewhere = get(async || (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]));
        let address = serve(Router::new().route("/", elsewhere)).await;
        assert!(read_list(&format!("http://{address}/")).await.unwrap_err().to_string().contains("302"));
        for wrong in ["", "ftp://x", "x"] {
            assert!(matches!(read_list(wrong).await, Err(FiguresError::Wrong(_))), "{wrong:?}");
        }
    }
}
