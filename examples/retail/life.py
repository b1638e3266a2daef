"""Signals of whoever started us: the first one unwinds to where everything is ended, further ones are not heard."""

from __future__ import annotations

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_INTERRUPTED = 130


class AskedToStop(BaseException):
    """A signal that ends the run. Not an `Exception`, so that nothing on the way takes it for a failure."""


def listen() -> None:
    """From now on a signal raises `AskedToStop` in the main thread."""
    for number in SIGNALS:
        signal.signal(number, _stop)


def _stop(number: int, frame) -> None:
    for known in SIGNALS:
        signal.signal(known, signal.SIG_IGN)
    raise AskedToStop
