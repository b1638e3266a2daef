#!/usr/bin/env python3
"""A year of a shop's real orders through Holdfast, compared figure by figure.

    python3 examples/retail/run.py [--bus kafka|nats|local] [--kills N] [--cut small] [--binary target/debug/holdfast]

Starts PostgreSQL and the bus, or nothing where both are one file, turns the invoices of the retail file into events,
runs two workers, kills one of them on the way, compares the outcome with a calculation made apart, and replays
everything. The same again with half the stock, so that orders are refused. With more kills than one, the events are
published while the workers run, and publishers are killed as well. Exit codes: 0 all is well, 1 the run failed, 2 wrong
usage, 3 a figure that must be 0 is not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import life
import orders
import report
from buses import BUSES
from plan import HALF, PLENTY, Supply
from progress import say
from project import RELEASE_BINARY, REPORTS, Failure
from scenario import Options, play

EXIT_FAILED = 1
SUPPLIES = {supply.name: supply for supply in (PLENTY, HALF)}


def main() -> int:
    arguments = parse_arguments()
    options = Options(
        cut=arguments.cut,
        binary=arguments.binary.resolve(),
        seed=arguments.seed,
        workers=arguments.workers,
        bus=arguments.bus,
        keep=arguments.keep,
        kills=arguments.kills,
    )
    life.listen()
    try:
        supplies = [SUPPLIES[name] for name in SUPPLIES if arguments.supply in (None, name)]
        return run(options, supplies, arguments.report or report_file(options))
    except Failure as failure:
        say(str(failure))
        return EXIT_FAILED
    except life.AskedToStop:
        say("stopped")
        return life.EXIT_INTERRUPTED


def run(options: Options, supplies: Iterable[Supply], path: Path) -> int:
    """Plays a run with each supply, prints and writes what they showed, and judges."""
    found = orders.sort(orders.cut(orders.read(), options.cut))
    say(f"{len(found.orders):,} orders, {len(found.cancellations):,} cancellations of them")
    say("left out: " + ", ".join(f"{count:,} {reason}" for reason, count in found.left_out.items()))
    runs, broken = [], []
    for supply in supplies:
        say(f"the run with {supply.name}: {supply.total_percent} % of the stock that the orders ask for")
        figures, judged = play(options, supply, found)
        runs.append(figures)
        broken.append(report.broken(judged))
        say(f"{figures['lines_per_s']:,} order lines a second")
        report.write(runs, path)
    print(report.table(runs))
    for figures, lines in zip(runs, broken):
        if lines:
            print(f"broken in {figures['cut']}:\n{lines}")
    return report.EXIT_DIFFERENT if any(broken) else 0


def report_file(options: Options) -> Path:
    """Where the figures of such runs go, unless the caller says where."""
    under_kills = f"-{options.kills}-kills" if options.is_under_kills else ""
    return REPORTS / f"retail-{options.bus}{under_kills}.json"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cut", choices=["full", "small"], default="full", help="small is about 1,500 invoices")
    parser.add_argument("--binary", type=Path, default=RELEASE_BINARY, metavar="FILE", help="the worker's program")
    parser.add_argument("--supply", choices=list(SUPPLIES), help="only the run with this stock")
    parser.add_argument("--seed", type=int, default=1, help="of what is repeated, delayed and swapped")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="workers in the group")
    bus_help = "kafka and nats beside PostgreSQL, or local: SQLite with the log in the same file"
    parser.add_argument("--bus", choices=list(BUSES), default="kafka", help=bus_help)
    kills_help = "how often a worker is killed during the year; 0 gives the undisturbed rate"
    parser.add_argument("--kills", type=int, default=1, metavar="N", help=kills_help)
    parser.add_argument("--keep", action="store_true", help="keep logs, events and the servers' data")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where the figures go as JSON")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")
    if arguments.kills < 0:
        parser.error("--kills must be at least 0")
    if not arguments.binary.is_file():
        parser.error(f"{arguments.binary} does not exist; build it with: cargo build --release")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
