//! The page's files. What they do is tested in a browser.

use super::server::TestServer;

#[tokio::test]
async fn the_page_is_served_with_a_strict_policy_and_asked_for_anew_only_when_it_changed() {
    let server = TestServer::start().await;
    let script = "text/javascript";
    let scripts = ["/page.js", "/alerts.js", "/stream.js", "/pace.js"].map(|path| (path, script));
    for (path, content_type) in [("/", "text/html"), ("/page.css", "text/css")].into_iter().chain(scripts) {
        let first = server.get(path).send().await.unwrap();
        let headers = first.headers();
        assert_eq!(first.status(), 200, "{path}");
        assert_eq!(headers["content-type"], format!("{content_type}; charset=utf-8"));
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        let again = server.get(path).header("if-none-match", &headers["etag"]).send().await.unwrap();
        assert_eq!(again.status(), 304);
        assert_eq!(again.headers()["etag"], headers["etag"]);
        assert!(again.bytes().await.unwrap().is_empty());
        let other = server.get(path).header("if-none-match", "\"x\"").send().await.unwrap();
        assert_eq!(other.status(), 200);
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_writes_no_markup() {
    let index = include_str!("../page/index.html");
    let script = [
        include_str!("../page/page.js"),
        include_str!("../page/alerts.js"),
        include_str!("../page/stream.js"),
        include_str!("../page/pace.js"),
    ]
    .concat();
    let addresses =
        [index, &script, include_str!("../page/page.css")].concat().replace("http://www.w3.org/2000/svg", "");
    assert!(!addresses.contains("http://") && !addresses.contains("https://") && !addresses.contains("@import"));
    for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!script.contains(markup), "{markup}");
    }
    assert!(!index.contains(" style=") && !index.contains("<style") && !index.contains(" onclick="));
}
