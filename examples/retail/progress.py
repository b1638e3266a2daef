"""Progress on standard error: a bar on a terminal, a line a step elsewhere."""

from __future__ import annotations

import sys
import time

WIDTH = 30
REDRAW_S = 0.1


def say(text: str) -> None:
    """One line about what happens now."""
    print(f"retail: {text}", file=sys.stderr, flush=True)


class Bar:
    """A bar that grows from nothing to `total`; its line is cleared when it is done. Draws nothing where standard
    error is no terminal."""

    def __init__(self, name: str, total: int):
        self._name = name
        self._total = max(total, 1)
        self._shown = sys.stderr.isatty()
        self._drawn_at = 0.0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, done: int) -> None:
        now = time.monotonic()
        if not self._shown or now - self._drawn_at < REDRAW_S:
            return
        self._drawn_at = now
        filled = min(WIDTH * done // self._total, WIDTH)
        bar = "#" * filled + "-" * (WIDTH - filled)
        print(f"\r{self._name} [{bar}] {done:,} of {self._total:,}\x1b[K", end="", file=sys.stderr, flush=True)
