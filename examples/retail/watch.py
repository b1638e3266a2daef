#!/usr/bin/env python3
"""A week of a shop's real orders, slow enough to watch.

    python3 examples/retail/watch.py [--minutes 3] [--for SECONDS] [--binary target/debug/holdfast]

Starts PostgreSQL, Kafka and one worker, stocks the shop with less than the week asks for, and prints what happens.
When the week is over, the worker goes on. Ctrl-C ends all of it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import events
import life
import orders
import plan as planning
import testbed
from kafka_bus import KafkaBus
from news import News
from plan import Plan, Supply
from progress import say
from project import RELEASE_BINARY, Failure, Ports
from worker import Holdfast, Worker

EXIT_FAILED = 1
WEEK_ENDS = "2010-12-08"
WEEK = Supply("week", 50, 80, ("2010-12-03T06:00:00Z", "2010-12-05T06:00:00Z", "2010-12-07T06:00:00Z"))
SEED = 1
USUAL_PORT = 8080
OPENING_DEADLINE_S = 120
SUMMARY_EVERY_S = 10


def main() -> int:
    arguments = parse_arguments()
    life.listen()
    try:
        watch(arguments.binary.resolve(), arguments.minutes * 60, arguments.seconds)
    except Failure as failure:
        say(str(failure))
        return EXIT_FAILED
    except (life.AskedToStop, BrokenPipeError):
        # This is how a show ends.
        pass
    return 0


def watch(binary: Path, seconds: float, at_most: float | None) -> None:
    """Sets everything up, feeds the week in so many seconds, and goes on until it is asked to stop or the show has
    lasted its time."""
    invoices = [invoice for invoice in orders.read() if invoice.invoiced_at < WEEK_ENDS]
    plan = planning.make(orders.sort(invoices), WEEK, SEED, datetime.now(timezone.utc))
    say("starting PostgreSQL and Kafka")
    with testbed.started(KafkaBus.servers, KafkaBus.server_options) as bed, contextlib.ExitStack() as stack:
        bus = KafkaBus(bed)
        holdfast = Holdfast(binary, bed.folder, bus.settings())
        holdfast.command("migrate")
        holdfast.command("topics", "apply")
        worker = Worker(holdfast, "worker", port())
        stack.callback(worker.end)
        worker.start()
        worker.wait_until_ready()
        print(f"The worker's sidecar answers at {worker.address}, for example:")
        print(f"  curl {worker.address}/api/v1/stock/85123A")
        print(f"  curl {worker.address}/metrics", flush=True)
        stock_the_shop(holdfast, plan, bus)
        news = News(plan)
        listener = follow(holdfast, news)
        stack.callback(listener.kill)
        ends_at = math.inf if at_most is None else time.monotonic() + at_most
        if feed(holdfast, worker, plan.stream, seconds, ends_at, news):
            print("The week is over. The worker goes on until Ctrl-C.", flush=True)
        while time.monotonic() < ends_at:
            worker.demand_running()
            time.sleep(0.2)


def stock_the_shop(holdfast: Holdfast, plan: Plan, bus: KafkaBus) -> None:
    """Registers and stocks every SKU of the week and waits until the goods are in."""
    path = holdfast.folder / "opening.jsonl"
    events.write(plan.opening, path)
    holdfast.command("publish", str(path))
    expected = len({event.id for event in plan.opening})
    with contextlib.closing(bus.database()) as asked:
        deadline = time.monotonic() + OPENING_DEADLINE_S
        while asked.progress().events < expected:
            if time.monotonic() > deadline:
                raise Failure(f"the shop was not stocked within {OPENING_DEADLINE_S} s")
            time.sleep(0.1)
    say(f"stocked {len(plan.skus):,} SKUs with {WEEK.opening_percent} % of what the week asks for")


def follow(holdfast: Holdfast, news: News) -> subprocess.Popen:
    """Prints what is published from the first record on, from a thread of its own. Returns the process to end."""
    log = holdfast.folder / "subscribe.log"
    subscriber = holdfast.piped("subscribe", "--from", "start", log=log, stdout=subprocess.PIPE, text=True)

    def read() -> None:
        # When nobody reads our output any more, the main thread finds out as well.
        with contextlib.suppress(BrokenPipeError):
            for line in subscriber.stdout:
                for text in news.tell(line):
                    print(text, flush=True)

    threading.Thread(target=read, daemon=True).start()
    return subscriber


def feed(
    holdfast: Holdfast,
    worker: Worker,
    stream: list[events.Event],
    seconds: float,
    ends_at: float,
    news: News,
) -> bool:
    """Publishes the events one by one at an even pace. Returns whether all of them were when the time was up."""
    publisher = holdfast.piped("publish", "-", log=holdfast.folder / "publish.log", stdin=subprocess.PIPE, text=True)
    began = summary_at = time.monotonic()
    try:
        for number, event in enumerate(stream):
            time.sleep(max(began + seconds * number / len(stream) - time.monotonic(), 0))
            now = time.monotonic()
            if now >= ends_at:
                return False
            worker.demand_running()
            publisher.stdin.write(event.line() + "\n")
            publisher.stdin.flush()
            if now - summary_at >= SUMMARY_EVERY_S:
                summary_at = now
                print(news.summary(number / (now - began)), flush=True)
        return True
    finally:
        with contextlib.suppress(BrokenPipeError):
            publisher.stdin.close()
        publisher.wait()


def port() -> int:
    """The usual port of the sidecar, or a free one when it is taken."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return Ports().take()
    return USUAL_PORT


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=RELEASE_BINARY, metavar="FILE", help="the worker's program")
    parser.add_argument("--minutes", type=float, default=3, help="how long the week takes")
    parser.add_argument("--for", type=float, metavar="SECONDS", dest="seconds", help="end the show by itself after so long")
    arguments = parser.parse_args()
    if arguments.minutes <= 0:
        parser.error("--minutes must be above 0")
    if not arguments.binary.is_file():
        parser.error(f"{arguments.binary} does not exist; build it with: cargo build --release")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
