//! The page of the sidecar in a real browser, in front of a real worker.

use serde_json::{Value, json};

use super::super::Here;
use crate::market::Combination;
use crate::shop::{event, lines};
use crate::worker::browser::Browser;
use crate::worker::installation::Installation;

/// Text that would run, or break a line, if anything on the page took it for more than text.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

fn registered(sku: &str, initial: i64) -> Value {
    let body = json!({
        "sku": sku, "name": format!("{sku} of the shop"), "initial": initial, "warning_threshold": 20,
        "critical_threshold": 5,
    });
    event("sku-registered", &format!("r-{sku}"), body)
}

fn order(name: &str, sku: &str, quantity: i64) -> Value {
    event("order-created", &format!("e-{name}"), json!({"order_id": name, "lines": lines(&[(sku, quantity)])}))
}

/// An expression for the text of a cell of a SKU's row.
fn cell(sku: &str, class: &str) -> String {
    let rows = "[...document.querySelectorAll('#rows tr')]";
    format!(
        "{rows}.find((row) => row.querySelector('.sku').textContent === {sku:?})?.querySelector('{class}')?.textContent"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_stock_live_and_who_holds_it_without_a_mouse() {
    let mut place = Here::place().await;
    let installation = &mut place.installation;
    installation.environment.push(("HOLDFAST__ORDERS__DEDUCT_ON".to_owned(), "confirmed".to_owned()));
    let mut goods: Vec<Value> = (1..=60).map(|number| registered(&format!("MUG-{number:03}"), 40 + number)).collect();
    goods.extend([registered("TEA-GREEN", 30), registered("TEA-BLACK", 3), registered(HOSTILE, 100)]);
    installation.publish(&goods);
    let worker = installation.worker();
    installation.wait_until_handled(63).await;

    let mut browser = Browser::start();
    browser.open(&format!("http://127.0.0.1:{}/", worker.http_port), 1280, 900);
    browser.wait_until("document.getElementById('stream').dataset.state === 'live'");
    browser.wait_until("document.querySelectorAll('#rows tr').length === 50");
    assert_eq!(browser.value(&cell(HOSTILE, ".available")), "100");
    assert_eq!(browser.value("document.querySelectorAll('#rows img').length"), 0);

    // Search, by keyboard alone.
    browser.press("/");
    browser.type_text("TEA-G");
    browser.wait_until("document.querySelectorAll('#rows tr').length === 1");
    assert_eq!(browser.value(&cell("TEA-GREEN", ".available")), "30");

    // An order that is published changes the number, and tells of the level.
    installation.publish(&[order("O-1001", "TEA-GREEN", 12)]);
    browser.wait_until(&format!("{} === '18'", cell("TEA-GREEN", ".available")));
    browser.wait_until(&format!("{} === 'low'", cell("TEA-GREEN", ".badge")));
    browser.wait_until("document.querySelector('#alerts .badge')?.textContent === 'low'");
    browser.wait_until("document.getElementById('changes').innerText.includes('order-created O-1001')");
    browser.wait_until("document.getElementById('announcer').textContent.includes('TEA-GREEN is low: 18 available')");

    // So does a count that finds less than is promised.
    installation.publish(&[order("O-1004", "TEA-BLACK", 3)]);
    installation.publish(&[event("stock-synced", "s-1", json!({"trace_id": "T-1", "sku": "TEA-BLACK", "delta": -1}))]);
    browser.wait_until("document.querySelector('#alerts .badge')?.textContent === 'short'");
    let told = "document.getElementById('announcer').textContent.includes('TEA-BLACK is short: 3 promised, 2 on hand')";
    browser.wait_until(told);

    // Who holds it, by keyboard alone.
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.textContent"), "TEA-GREEN");
    browser.press("Enter");
    browser.wait_until("document.getElementById('claims').innerText.includes('O-1001')");
    browser.wait_until("document.getElementById('movements').innerText.includes('reserve')");
    assert_eq!(browser.value("document.activeElement.id"), "detail-title");
    installation.publish(&[order("O-1002", "TEA-GREEN", 2), order("O-1003", HOSTILE, 1)]);
    browser.wait_until("document.getElementById('claims').innerText.includes('O-1002')");
    installation.publish(&[event("order-cancelled", "c-1", json!({"order_id": "O-1001"}))]);
    browser.wait_until("!document.getElementById('claims').innerText.includes('O-1001')");
    browser.wait_until("document.getElementById('changes').innerText.includes('onerror')");
    browser.press("Escape");
    assert_eq!(browser.value("document.getElementById('detail').hidden"), true);
    assert_eq!(browser.value("document.activeElement.textContent"), "TEA-GREEN");

    take_pictures(&mut browser, installation);
    browser.value("document.getElementById('next').click()");
    browser.wait_until("document.querySelectorAll('#rows tr').length === 13");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// The name of a picture, among those of every store and bus.
fn picture(name: &str) -> String {
    format!("{name}-{}", Here::NAME)
}

/// What people see, for people to look at; and that nothing is cut off.
fn take_pictures(browser: &mut Browser, installation: &Installation) {
    let orders: Vec<Value> =
        (1..=25).map(|number| order(&format!("O-2{number:03}"), &format!("MUG-{:03}", number % 8 + 1), 4)).collect();
    installation.publish(&orders);
    browser.value("document.getElementById('query').value = ''; document.getElementById('query').dispatchEvent(new Event('input'))");
    browser.wait_until("document.querySelectorAll('#rows tr').length === 50");
    browser.wait_until("document.querySelectorAll('#changes li').length >= 10");
    browser.screenshot(&picture("page-desktop-live"));
    browser.value("[...document.querySelectorAll('.sku')].find((sku) => sku.textContent === 'MUG-002').click()");
    browser.wait_until("document.querySelectorAll('#claims tr').length >= 3");
    browser.value("window.scrollTo(0, 0)");
    for (name, width, height) in [("page-desktop", 1280, 1000), ("page-phone", 390, 844)] {
        browser.resize(width, height);
        browser.screenshot(&picture(name));
        let cut_off = browser.value("document.documentElement.scrollWidth > document.documentElement.clientWidth");
        assert_eq!(cut_off, false, "{name} is wider than its window");
    }
    browser.value("document.getElementById('detail').scrollIntoView()");
    browser.screenshot(&picture("page-phone-detail"));
    browser.prefer("prefers-color-scheme", "dark");
    browser.resize(1280, 1000);
    browser.value("window.scrollTo(0, 0)");
    browser.screenshot(&picture("page-desktop-dark"));
    browser.press("Escape");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_when_the_stream_is_away_and_comes_back_by_itself() {
    let place = Here::place().await;
    let installation = &place.installation;
    installation.publish(&[registered("TEA", 30)]);
    let mut worker = installation.worker();
    installation.wait_until_handled(1).await;
    let mut browser = Browser::start();
    browser.open(&format!("http://127.0.0.1:{}/", worker.http_port), 1280, 900);
    browser.wait_until("document.getElementById('stream').dataset.state === 'live'");
    browser.wait_until(&format!("{} === '30'", cell("TEA", ".available")));
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0), "an open stream must not hold a drain up");
    browser.wait_until("document.getElementById('stream').dataset.state === 'away'");
    assert_eq!(browser.value("document.getElementById('banner').hidden"), false);
    installation.publish(&[order("O-1", "TEA", 4)]);
    let _next = installation.worker_at(worker.http_port);
    browser.wait_until("document.getElementById('stream').dataset.state === 'live'");
    browser.wait_until(&format!("{} === '26'", cell("TEA", ".available")));
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// What a test needs of the page's surroundings: to hold answers back and to lose them, to hear what is asked, to speak
/// for the stream, to hide the page, and to have the machine sleep.
const SURROUNDINGS: &str = r"
    Object.assign(window, { holding: null, held: [], losing: null, asked: [], sources: [], unseen: false, slept: 0 });
    const { fetch: fetched, EventSource: Source } = window;
    window.fetch = async (address, options) => {
        const answer = await fetched(address, options);
        if (losing && address.includes(losing)) throw new TypeError('the answer was lost');
        if (holding && address.includes(holding)) await new Promise((go) => held.push(go));
        asked.push(address);
        return answer;
    };
    window.release = () => { holding = null; held.splice(0).forEach((go) => go()); };
    window.EventSource = class extends Source {
        constructor(address) { super(address); sources.push(this); }
    };
    window.say = (kind, data) =>
        sources.at(-1).dispatchEvent(new MessageEvent(kind, { data: JSON.stringify({ data }) }));
    Object.defineProperty(Document.prototype, 'hidden', { get: () => unseen });
    window.hide = (hidden) => { unseen = hidden; document.dispatchEvent(new Event('visibilitychange')); };
    const now = Date.now;
    Date.now = () => now() + slept;
    const texts = (id) => document.getElementById(id).innerText;
    const row = (sku) => document.querySelector(`#rows tr[data-key*=${JSON.stringify(JSON.stringify(sku))}]`);
";

/// A page that is live, in surroundings that the test is master of.
fn surrounded(port: u16) -> Browser {
    let mut browser = Browser::start();
    browser.prepare(SURROUNDINGS);
    browser.open(&format!("http://127.0.0.1:{port}/"), 1280, 900);
    browser.wait_until("document.getElementById('stream').dataset.state === 'live'");
    browser.wait_until("document.querySelectorAll('#rows tr').length > 0");
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_stream_is_followed_and_told_of_without_waiting_for_its_end() {
    let place = Here::place().await;
    let installation = &place.installation;
    installation.publish(&[registered("TEA", 30)]);
    let worker = installation.worker();
    installation.wait_until_handled(1).await;
    let mut browser = surrounded(worker.http_port);
    browser.wait_until("row('TEA') !== null");
    browser.value("row('TEA').querySelector('button').click()");
    browser.wait_until("texts('movements').includes('register')");

    // Ten at once: the newest are said, and how many there were before.
    let alert =
        "recorded_at: new Date().toISOString(), sku: 'TEA', location: 'default', level: 'low', previous_level: 'ok'";
    browser.value(&format!("for (let n = 1; n <= 10; n++) say('low-stock', {{ {alert}, available: n }})"));
    let said = ["TEA is low: 8 available", "TEA is low: 9 available", "TEA is low: 10 available"].join(". ");
    browser.wait_until(&format!("document.getElementById('announcer').textContent === '{said}, and 7 more'"));

    // A stream that is never silent.
    browser.value(&format!(
        "window.heard = asked.length; window.busy = setInterval(() => {{
            say('low-stock', {{ {alert}, available: 11 }});
            say('reservation-result', {{ lines: [{{ sku: 'TEA', location: 'default' }}] }});
            say('stock-changed', {{ {alert}, version: 1, sku: 'TEA-NEW', before: {{ available: 0 }},
                after: {{ available: 1 }}, cause: {{ type: 'sku-registered', reference: null }} }});
        }}, 20)"
    ));
    browser.wait_until("document.getElementById('announcer').textContent.includes('11 available')");
    for path in ["api/v1/stock?", "api/v1/stock/TEA?", "api/v1/stock/TEA/claims?", "api/v1/stock/TEA/movements?"] {
        let asked = format!("asked.slice(heard).filter((address) => address.startsWith('{path}')).length >= 3");
        browser.wait_until(&asked);
    }
    browser.value("clearInterval(busy)");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_late_neither_takes_a_change_back_nor_turns_a_page_twice() {
    let place = Here::place().await;
    let installation = &place.installation;
    let goods: Vec<Value> = (1..=60).map(|number| registered(&format!("MUG-{number:03}"), 30)).collect();
    installation.publish(&goods);
    let worker = installation.worker();
    installation.wait_until_handled(60).await;
    let mut browser = surrounded(worker.http_port);
    browser.wait_until("row('MUG-001') !== null");

    // Read before an order, and shown after it.
    browser.value("holding = 'prefix=MUG'; document.getElementById('query').value = 'MUG'");
    browser.value("document.getElementById('query').dispatchEvent(new Event('input'))");
    browser.wait_until("held.length === 1");
    browser.value("window.former = row('MUG-001'); null");
    installation.publish(&[order("O-1", "MUG-001", 4)]);
    browser.wait_until("texts('changes').includes('order-created O-1')");
    browser.value("release()");
    browser.wait_until("!former.isConnected");
    assert_eq!(browser.value(&cell("MUG-001", ".available")), "26");

    // A turn that fails leaves the page where it is; one that is asked for twice is one.
    browser.wait_until("!document.getElementById('next').disabled");
    browser.value("losing = 'cursor='; document.getElementById('next').click()");
    browser.wait_until("texts('empty').includes('the answer was lost')");
    assert_eq!(browser.value("texts('page-number')"), "Page 1");
    browser.value("losing = null; holding = 'cursor='");
    browser.value("document.getElementById('next').focus()");
    browser.value("document.getElementById('next').click(); document.getElementById('next').click()");
    browser.wait_until("held.length === 1");
    assert_eq!(browser.value("document.getElementById('previous').disabled"), true);
    browser.value("release()");
    browser.wait_until("texts('page-number') !== 'Page 1'");
    assert_eq!(browser.value("texts('page-number')"), "Page 2");
    assert_eq!(browser.value("document.querySelectorAll('#rows tr').length"), 10);
    browser.wait_until("document.activeElement.id === 'previous'");
    browser.value("document.activeElement.click()");
    browser.wait_until("texts('page-number') === 'Page 1'");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_nobody_saw_or_that_slept_begins_from_now_on() {
    let place = Here::place().await;
    let installation = &place.installation;
    installation.publish(&[registered("TEA", 30)]);
    let worker = installation.worker();
    installation.wait_until_handled(1).await;
    let mut browser = surrounded(worker.http_port);
    browser.wait_until("row('TEA') !== null");
    installation.publish(&[order("O-1", "TEA", 1)]);
    browser.wait_until("texts('changes').includes('order-created O-1')");

    browser.value("hide(true)");
    browser.wait_until("document.getElementById('stream').dataset.state === 'paused'");
    installation.publish(&[order("O-2", "TEA", 1)]);
    installation.wait_until_handled(3).await;
    browser.value("hide(false)");
    browser.wait_until("document.getElementById('stream').dataset.state === 'live'");
    browser.wait_until(&format!("{} === '28'", cell("TEA", ".available")));

    // A machine that slept before the eyes of somebody: the first word out of the past is one too many.
    let past = "{ version: 1, sku: 'OLD', location: 'default', recorded_at: new Date().toISOString(), \
                before: { available: 0 }, after: { available: 1 }, cause: { type: 'old', reference: null } }";
    browser.value(&format!("window.former = sources.at(-1); slept = 3600e3; say('stock-changed', {past})"));
    browser.wait_until("former.readyState === EventSource.CLOSED");
    browser.wait_until("sources.at(-1).readyState === EventSource.OPEN");
    installation.publish(&[order("O-3", "TEA", 1)]);
    browser.wait_until("texts('changes').includes('order-created O-3')");
    assert_eq!(browser.value("texts('changes').includes('O-2') || texts('changes').includes('OLD')"), false);
    assert_eq!(browser.complaints, Vec::<String>::new());
}
