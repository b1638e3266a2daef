// The live stream: connected while somebody looks, and begun anew where going on would tell of old things as if they happened now.

const RETRY_MS = [1000, 2000, 5000, 10000, 30000];
const AWAY_MS = 2000;
const HIDDEN_MS = 5000;
const TICK_MS = 1000;
const SLEPT_MS = 30000;

// Calls `opened()` whenever the stream begins, `received(kind, event)` for what comes, and `told("live" | "away" | "paused")`
// for how it is.
export function follow(path, kinds, { opened, received, told }) {
  const stream = { source: null, failures: 0, retry: null, rest: null, ticked: Date.now() };

  function connect() {
    pause();
    const source = new EventSource(path);
    stream.source = source;
    source.addEventListener("open", () => {
      stream.failures = 0;
      told("live");
      opened();
    });
    for (const kind of kinds) {
      source.addEventListener(kind, (event) => {
        if (!beganAnew()) received(kind, event);
      });
    }
    source.addEventListener("gone", () => reconnect(source));
    source.addEventListener("error", () => {
      // A stream that was closed in good order is there again a moment later; only a longer absence is told.
      if (source.readyState === EventSource.CLOSED) reconnect(source);
      else tellAwayUnlessBack(source);
    });
  }

  function tellAwayUnlessBack(source) {
    setTimeout(() => {
      if (source === stream.source && source.readyState !== EventSource.OPEN) told("away");
    }, AWAY_MS);
  }

  // Begins anew, from now on: the browser gave up, or what it missed is not kept any more.
  function reconnect(source) {
    if (source !== stream.source) return;
    source.close();
    const wait = RETRY_MS[Math.min(stream.failures, RETRY_MS.length - 1)];
    stream.failures += 1;
    if (stream.failures > 1) told("away");
    stream.retry = setTimeout(connect, wait);
  }

  function pause() {
    clearTimeout(stream.retry);
    stream.source?.close();
    stream.source = null;
  }

  // The browser goes on after the number seen last. A page that nobody saw, or a machine that slept, would be told hours
  // of changes at once, which the table has already.
  function beganAnew() {
    const slept = Date.now() - stream.ticked > SLEPT_MS;
    stream.ticked = Date.now();
    const anew = slept || (stream.source === null && !document.hidden);
    if (!anew) return false;
    if (document.hidden) pause();
    else connect();
    return true;
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(stream.rest);
    if (!document.hidden) beganAnew();
    else {
      stream.rest = setTimeout(() => {
        pause();
        told("paused");
      }, HIDDEN_MS);
    }
  });
  setInterval(beganAnew, TICK_MS);
  if (!document.hidden) connect();
}
