// The page for people. It uses the interface that everybody has, and writes whatever it is told as text, never as markup.

import { later, paced } from "./pace.js";
import { follow } from "./stream.js";

const PAGE_ROWS = 50;
const DETAIL_ROWS = 5;
const MOST_DETAIL_ROWS = 500;
const KEPT_CHANGES = 40;
const KEPT_ALERTS = 20;
// A page that lies in the background is not drawn, and must not grow meanwhile.
const PENDING_ROWS = 5000;
const REFRESH_MS = 400;
const SEARCH_MS = 200;
const ANNOUNCE_MS = 1500;
const ANNOUNCED = 3;
const ASK_MS = 30000;

const byId = (id) => document.getElementById(id);
const count = new Intl.NumberFormat();
const signed = new Intl.NumberFormat(undefined, { signDisplay: "exceptZero" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

const state = {
  prefix: "",
  cursors: [null], // one a page that was turned to; the last is the one wanted
  shown: [null], // the same for the page that is shown, and the cursor of the page behind it
  next: null,
  rows: new Map(), // key -> { row, cells, element } of the page that is shown
  selected: null,
  loads: 0, // only the newest load of the table is shown
  meanwhile: null, // what changed since that load began: its answer may be older
};

// ---- small pieces

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const keyOf = ({ sku, location }) => JSON.stringify([sku, location]);
const nameOf = ({ sku, location }) => (location === "default" ? sku : `${sku} · ${location}`);
const badge = (level) => element("span", { class: "badge", "data-level": level }, level);

function timeOf(text, shown) {
  return element("time", { datetime: text, title: text }, shown);
}

function fromNow(text) {
  const seconds = Math.round((Date.parse(text) - Date.now()) / 1000);
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return relative.format(Math.round(seconds / size), unit);
}

async function ask(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== ""));
  const response = await fetch(`${path}?${query}`, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(ASK_MS) });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `the answer was ${response.status}`);
  return body;
}

// What a screen reader says: the newest words and how many there were before, so that a busy stream does not talk without end.
const announce = (() => {
  const words = [];
  let more = 0;
  const speak = paced(ANNOUNCE_MS, () => {
    byId("announcer").textContent = words.splice(0).join(". ") + (more === 0 ? "" : `, and ${more} more`);
    more = 0;
  });
  return (text) => {
    more += keep(words, text, ANNOUNCED);
    speak();
  };
})();

// ---- the stock table

async function loadTable({ said = false } = {}) {
  const load = ++state.loads;
  const cursor = state.cursors.at(-1);
  state.meanwhile = new Map();
  let page;
  try {
    page = await ask("api/v1/stock", { prefix: state.prefix, cursor, limit: PAGE_ROWS });
  } catch (error) {
    if (load === state.loads) showFailure(error);
    return;
  }
  if (load === state.loads) showPage(page, said);
}

function showFailure(error) {
  state.meanwhile = null;
  state.cursors = state.shown;
  showPager();
  showEmpty(`The stock cannot be shown: ${error.message}.`);
}

function showPage(page, said) {
  const focused = document.activeElement?.closest?.("#rows tr")?.dataset.key;
  state.rows.clear();
  byId("rows").replaceChildren(...page.items.map(makeRow));
  for (const [key, change] of state.meanwhile) changeRow(key, change);
  state.meanwhile = null;
  if (focused) state.rows.get(focused)?.button.focus();
  state.shown = state.cursors;
  state.next = page.next;
  showPager();
  const nothing = state.prefix === "" ? "No SKU is registered yet." : `No SKU begins with “${state.prefix}”.`;
  showEmpty(page.items.length === 0 ? nothing : "");
  if (said) announce(`${page.items.length} rows on page ${state.shown.length}`);
}

function showPager() {
  byId("previous").disabled = state.shown.length === 1;
  byId("next").disabled = state.next === null;
  byId("page-number").textContent = `Page ${state.shown.length}`;
}

function showEmpty(text) {
  byId("empty").textContent = text;
  byId("empty").hidden = text === "";
}

function makeRow(row) {
  const key = keyOf(row);
  const button = element("button", { type: "button", class: "sku", "aria-controls": "detail" }, row.sku);
  const place = [row.name, row.location === "default" ? null : row.location].filter(Boolean).join(" · ");
  const cells = {
    level: element("td"),
    available: element("td", { class: "number available" }),
    reserved: element("td", { class: "number wide" }),
    on_hand: element("td", { class: "number wide" }),
  };
  const title = element("th", { scope: "row" }, button, place ? element("span", { class: "place" }, place) : null);
  const made = element("tr", { "data-key": key }, title, ...Object.values(cells));
  const entry = { row, cells, element: made, button };
  state.rows.set(key, entry);
  showNumbers(entry);
  markSelected(entry);
  made.addEventListener("click", () => select(row));
  return made;
}

function showNumbers({ row, cells }) {
  cells.level.replaceChildren(badge(row.level));
  for (const name of ["available", "reserved", "on_hand"]) cells[name].textContent = count.format(row[name]);
}

function markSelected({ row, element: shown, button }) {
  const selected = state.selected !== null && keyOf(row) === keyOf(state.selected);
  shown.classList.toggle("selected", selected);
  button.setAttribute("aria-expanded", String(selected));
}

function flash(shown) {
  shown.classList.remove("changed");
  void shown.offsetWidth; // begins the animation anew
  shown.classList.add("changed");
}

const reloadTable = paced(REFRESH_MS, loadTable);

async function turnTo(cursors, pressed) {
  const buttons = [pressed, byId("previous"), byId("next")];
  for (const button of buttons) button.disabled = true;
  state.cursors = cursors;
  await loadTable({ said: true });
  // A button that is disabled loses the focus, and a keyboard wants to turn on.
  if ([document.body, pressed].includes(document.activeElement)) buttons.find((button) => !button.disabled)?.focus();
  byId("stock").scrollIntoView({ block: "start" });
}

// ---- one row: who holds it, and what happened to it

function select(row) {
  state.selected = { sku: row.sku, location: row.location, version: 0 };
  state.rows.forEach(markSelected);
  byId("detail").hidden = false;
  byId("detail-title").textContent = nameOf(row);
  byId("detail-name").textContent = "";
  byId("figures").replaceChildren();
  for (const list of [claims, movements]) list.clear();
  refreshDetail();
  byId("detail-title").focus();
}

function closeDetail() {
  if (state.selected === null) return;
  const entry = state.rows.get(keyOf(state.selected));
  state.selected = null;
  state.rows.forEach(markSelected);
  byId("detail").hidden = true;
  (entry?.button ?? byId("query")).focus();
}

async function refreshDetail() {
  const selected = state.selected;
  if (selected === null) return;
  const path = `api/v1/stock/${encodeURIComponent(selected.sku)}`;
  await Promise.all([
    showFigures(path, selected),
    claims.load(`${path}/claims`, selected),
    movements.load(`${path}/movements`, selected),
  ]);
}

async function showFigures(path, selected) {
  try {
    const row = await ask(path, { location: selected.location });
    if (selected !== state.selected || row.version < selected.version) return;
    selected.version = row.version;
    byId("detail-name").textContent = row.name ?? "";
    byId("figures").replaceChildren(...[
      ["Available", row.available], ["On hand", row.on_hand], ["Safety stock", row.safety_stock],
      ["In carts", row.cart_held], ["In orders", row.order_reserved],
      ["Warn at", row.warning_threshold],
    ].map(([name, number]) => element("div", {}, element("dt", {}, name), element("dd", {}, count.format(number)))));
  } catch (error) {
    if (selected === state.selected) byId("detail-name").textContent = `It cannot be shown: ${error.message}.`;
  }
}

// A list of the detail, which grows when more is asked for. A refresh shows as much as is open.
function growingList(name, none, show) {
  const body = byId(name);
  const more = byId(`${name}-more`);
  const list = { path: null, row: null, limit: DETAIL_ROWS, loads: 0 };
  const tell = (text) => {
    byId(`${name}-empty`).textContent = text;
    byId(`${name}-empty`).hidden = text === "";
    byId(`${name}-table`).hidden = text !== "";
  };
  const refresh = async () => {
    const load = ++list.loads;
    const { path, row, limit } = list;
    const stale = () => load !== list.loads || row !== state.selected;
    try {
      const page = await ask(path, { location: row.location, limit });
      if (stale()) return;
      body.replaceChildren(...page.items.map(show));
      more.hidden = page.next === null || limit === MOST_DETAIL_ROWS;
      tell(page.items.length === 0 ? none : "");
    } catch (error) {
      if (!stale()) tell(`They cannot be shown: ${error.message}.`);
    }
  };
  more.addEventListener("click", () => {
    list.limit = Math.min(list.limit + DETAIL_ROWS, MOST_DETAIL_ROWS);
    refresh();
  });
  return {
    load(path, row) {
      Object.assign(list, { path, row });
      return refresh();
    },
    clear() {
      list.limit = DETAIL_ROWS;
      body.replaceChildren();
      more.hidden = true;
      tell("Loading…");
    },
  };
}

const claims = growingList("claims", "Nobody holds any of it.", (claim) =>
  element(
    "tr", {},
    element("th", { scope: "row" }, claim.reference, element("small", {}, claim.kind)),
    element("td", {}, claim.state),
    element("td", {}, claim.expires_at === null ? "never" : timeOf(claim.expires_at, fromNow(claim.expires_at))),
    element("td", { class: "number" }, count.format(claim.reserved)),
  ));

const COUNTERS = [["on_hand", "on hand"], ["cart_held", "in carts"], ["order_reserved", "in orders"], ["safety_stock", "safety"]];

const movements = growingList("movements", "Nothing has happened to it yet.", ({ kind, change, after, cause, recorded_at }) => {
  const lines = COUNTERS.filter(([name]) => change[name] !== 0).map(([name, label]) =>
    element("div", {}, `${signed.format(change[name])} `, element("small", { class: "inline" }, label)));
  return element(
    "tr", {},
    element("td", {}, timeOf(recorded_at, fromNow(recorded_at))),
    element("td", {}, kind, element("small", {}, cause.reference ?? cause.type)),
    element("td", { class: "number" }, ...lines),
    element("td", { class: "number" }, count.format(after.available)),
  );
});

const refreshDetailSoon = paced(REFRESH_MS, refreshDetail);

// ---- what is published, as it comes

const pending = { rows: new Map(), reload: false, changes: [], alerts: [], passed: 0, frame: null };

// Keeps the newest; returns how many had to go.
function keep(list, entry, most) {
  list.push(entry);
  return list.splice(0, list.length - most).length;
}

// Keeps the newest change of each row. When they are too many, the table is read again instead.
function keepChange(rows, key, change) {
  if (rows.get(key)?.version >= change.version) return;
  rows.set(key, change);
  if (rows.size <= PENDING_ROWS) return;
  rows.clear();
  pending.reload = true;
}

function received(kind, event) {
  const { data } = JSON.parse(event.data);
  pending.passed += 1;
  if (kind === "stock-changed") {
    keepChange(pending.rows, keyOf(data), data);
    keep(pending.changes, data, KEPT_CHANGES);
  } else if (kind === "low-stock" || kind === "stock-shortage") {
    keep(pending.alerts, data, KEPT_ALERTS);
  }
  const selected = state.selected && keyOf(state.selected);
  const touched = kind === "reservation-result" ? data.lines.some((line) => keyOf(line) === selected) : keyOf(data) === selected;
  if (selected && touched) refreshDetailSoon();
  // Thousands may come in a second; what is drawn is drawn once a frame.
  pending.frame ??= requestAnimationFrame(draw);
}

function draw() {
  pending.frame = null;
  for (const [key, change] of pending.rows) drawRow(key, change);
  pending.rows.clear();
  if (pending.reload) reloadTable();
  pending.reload = false;
  drawList("changes", pending.changes.splice(0), KEPT_CHANGES, changeEntry);
  for (const alert of pending.alerts) announce(`${nameOf(alert)} is ${stateOf(alert)}: ${figuresOf(alert)}`);
  drawList("alerts", pending.alerts.splice(0), KEPT_ALERTS, alertEntry);
}

function drawRow(key, change) {
  if (state.meanwhile !== null) keepChange(state.meanwhile, key, change);
  if (state.rows.has(key)) changeRow(key, change);
  else if (change.version === 1 && change.sku.startsWith(state.prefix)) reloadTable();
}

function changeRow(key, change) {
  const entry = state.rows.get(key);
  if (entry === undefined || change.version <= entry.row.version) return;
  const { available, reserved, on_hand, level } = change.after;
  Object.assign(entry.row, { available, reserved, on_hand, level, version: change.version });
  showNumbers(entry);
  flash(entry.element);
}

function drawList(name, fresh, most, entryOf) {
  if (fresh.length === 0) return;
  const list = byId(name);
  list.prepend(...fresh.reverse().map(entryOf));
  while (list.childElementCount > most) list.lastElementChild.remove();
  byId(`${name}-empty`).hidden = true;
}

function changeEntry(change) {
  const difference = change.after.available - change.before.available;
  const way = difference > 0 ? "up" : difference < 0 ? "down" : "same";
  return element(
    "li", { class: "entry" },
    element("strong", {}, nameOf(change)),
    timeOf(change.recorded_at, clock.format(Date.parse(change.recorded_at))),
    element("small", {}, change.cause.reference ? `${change.cause.type} ${change.cause.reference}` : change.cause.type),
    element("span", {}, element("span", { class: way }, signed.format(difference)), ` → ${count.format(change.after.available)}`),
  );
}

// An alert is a level that was reached, or a shortage.
const stateOf = (alert) => alert.level ?? "short";
const figuresOf = (alert) => alert.level === undefined
  ? `${count.format(alert.reserved)} promised, ${count.format(alert.on_hand)} on hand`
  : `${count.format(alert.available)} available`;

function alertEntry(alert) {
  return element(
    "li", { class: "entry" },
    element("strong", {}, nameOf(alert), " ", badge(stateOf(alert))),
    timeOf(alert.recorded_at, clock.format(Date.parse(alert.recorded_at))),
    element("small", {}, alert.level === undefined ? figuresOf(alert) : `was ${alert.previous_level}; ${figuresOf(alert)}`),
  );
}

// ---- how the stream is

const STREAM_TEXTS = { live: "Live", away: "Reconnecting", paused: "Connecting" };

function showStream(kind) {
  const before = byId("stream").dataset.state;
  // A pause is nothing to tell of, and no end of an absence.
  if (kind === before || (kind === "paused" && before === "away")) return;
  byId("stream").dataset.state = kind;
  byId("stream-text").textContent = STREAM_TEXTS[kind];
  byId("banner").hidden = kind !== "away";
  if (kind === "away") {
    byId("banner").textContent =
      `The live stream has been away since ${clock.format(Date.now())}. What is shown may be old; this page reconnects by itself.`;
    announce("The live stream is away");
  } else if (before === "away") {
    announce("The live stream is back");
  }
}

// ---- keys and clicks

function moveFocus(step) {
  const buttons = [...document.querySelectorAll("#rows .sku")];
  const at = buttons.indexOf(document.activeElement);
  buttons[Math.min(Math.max(at + step, 0), buttons.length - 1)]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "/" && !typing) {
    byId("query").focus();
  } else if (event.key === "Escape" && !(typing && event.target.value !== "")) {
    closeDetail();
    return;
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.closest("#rows, #search")) {
    moveFocus(event.key === "ArrowDown" ? 1 : -1);
  } else {
    return;
  }
  event.preventDefault();
});

const search = later(SEARCH_MS, () => {
  state.prefix = byId("query").value.trim();
  state.cursors = state.shown = [null];
  state.next = null;
  showPager();
  loadTable({ said: true });
});

byId("query").addEventListener("input", search);
byId("search").addEventListener("submit", (event) => event.preventDefault());
byId("close").addEventListener("click", closeDetail);
byId("next").addEventListener("click", (event) => turnTo([...state.shown, state.next], event.currentTarget));
byId("previous").addEventListener("click", (event) => turnTo(state.shown.slice(0, -1), event.currentTarget));

setInterval(() => {
  byId("rate").textContent = pending.passed === 0 ? "" : `${count.format(pending.passed)} events a second`;
  pending.passed = 0;
}, 1000);

loadTable();
follow("api/v1/events/stream", ["stock-changed", "low-stock", "reservation-result", "stock-shortage"], {
  received,
  told: showStream,
  opened() {
    // What was missed before the stream began is in the table; what comes after it has a higher version.
    loadTable();
    refreshDetail();
  },
});
