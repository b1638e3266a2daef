// What is low and nobody looks after yet, with a button for whoever does.

import { paced } from "./pace.js";

const SHOWN = 8;
const REFRESH_MS = 400;
const SEND_MS = 30000;

const byId = (id) => document.getElementById(id);

async function acknowledge(id) {
  const response = await fetch(`api/v1/alerts/${encodeURIComponent(id)}/acknowledge`, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json" },
    body: "{}",
    signal: AbortSignal.timeout(SEND_MS),
  });
  if (response.ok) return;
  const { detail } = await response.json().catch(() => ({}));
  throw new Error(detail ?? `the answer was ${response.status}`);
}

// Returns what shows the list anew soon. `ask` asks the interface, `entryOf` shows one alert with its button, and
// `announce` tells those who hear the page.
export function openAlerts({ ask, entryOf, announce }) {
  let loads = 0;
  const tell = (text) => {
    byId("open-alerts-empty").textContent = text;
    byId("open-alerts-empty").hidden = text === "";
  };
  const refresh = async () => {
    const load = ++loads;
    try {
      const page = await ask("api/v1/alerts", { state: "open", limit: SHOWN });
      if (load !== loads) return;
      const focused = document.activeElement?.closest?.("#open-alerts li")?.dataset.id;
      byId("open-alerts").replaceChildren(...page.items.map((alert) => entryOf(alert, () => done(alert))));
      // Whoever works through the list with a keyboard goes on where they were.
      if (focused) (buttonOf(focused) ?? document.querySelector("#open-alerts button"))?.focus();
      if (page.items.length === 0) tell("Nothing is low that nobody looks after.");
      else tell(page.next === null ? "" : "There are more; these are the newest.");
    } catch (error) {
      if (load === loads) tell(`They cannot be shown: ${error.message}.`);
    }
  };
  const soon = paced(REFRESH_MS, refresh);
  const buttonOf = (id) => document.querySelector(`#open-alerts li[data-id="${CSS.escape(id)}"] button`);
  const done = async (alert) => {
    const button = buttonOf(alert.id);
    if (button === null || button.getAttribute("aria-disabled") === "true") return;
    // Not disabled, which would lose the focus.
    button.setAttribute("aria-disabled", "true");
    try {
      await acknowledge(alert.id);
      announce(`${alert.sku} is acknowledged`);
    } catch (error) {
      announce(`${alert.sku} is not acknowledged: ${error.message}`);
    }
    await refresh();
  };
  return soon;
}
