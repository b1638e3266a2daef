"""One run from empty servers to the last comparison."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import announcements
import events
import judgement
import plan as planning
import testbed
from bus import GROUP, LOOK_S, STALL_S, Bus
from buses import BUSES
from database import Database, Progress, StockRow
from expectation import Expectation
from feed import Feed
from judgement import Answers, Judgement
from kills import Kills
from orders import Sorted
from plan import PLENTY, Plan, Supply
from progress import Bar, say
from project import Failure, Ports
from testbed import Testbed
from worker import Holdfast, Worker

HANDLED = "holdfast_events_total"
# Where there are many kills, transactions are small and looks are frequent, so that each meets another one.
BATCH_EVENTS_UNDER_KILLS = 250
LOOK_UNDER_KILLS_S = 0.02


@dataclass(frozen=True)
class Options:
    """What the caller chose."""

    cut: str
    binary: Path
    seed: int
    workers: int
    bus: str
    keep: bool
    # How many times a worker is killed during the year.
    kills: int

    @property
    def is_under_kills(self) -> bool:
        """Whether workers are killed all the way, and publishers with them."""
        return self.kills > 1


def play(options: Options, supply: Supply, found: Sorted) -> tuple[dict, Judgement]:
    """Plays the whole run; returns its figures for the report, and what was judged."""
    plan = planning.make(found, supply, options.seed, datetime.now(timezone.utc))
    expectation = Expectation(plan)
    if expectation.cancellations_beyond_their_order():
        raise Failure("the plan takes back more of an order than it has")
    kind = BUSES[options.bus]
    with (
        testbed.started(kind.servers, kind.server_options, options.keep) as bed,
        contextlib.closing(kind(bed)) as bus,
        Scenario(options, plan, bed, bus) as scenario,
    ):
        scenario.prepare()
        scenario.open_shop()
        seconds = scenario.run_year()
        return scenario.compare(expectation, seconds)


@dataclass
class Snapshot:
    """What a replay must leave as it is."""

    stock: dict[str, StockRow]
    numbers: dict[str, int]

    NUMBERS = {
        "movements": "select count(*) from movement",
        "entries of the inbox": "select count(*) from inbox",
        "the last seq": "select last_seq from outbox_counter",
        "the last published seq": "select published_seq from relay",
        "dead letters": "select count(*) from dead_letter",
    }

    @classmethod
    def take(cls, asked: Database) -> Snapshot:
        return cls(asked.stock(), {name: asked.number(query) for name, query in cls.NUMBERS.items()})

    def changes(self, later: Snapshot) -> dict[str, int]:
        """How much of each became different."""
        names = self.stock.keys() | later.stock.keys()
        rows = sum(self.stock.get(sku) != later.stock.get(sku) for sku in names)
        return {"SKUs": rows, **{name: abs(later.numbers[name] - self.numbers[name]) for name in self.numbers}}


class Scenario:
    """The phases of a run. Ends its workers and its database session when it is left."""

    def __init__(self, options: Options, plan: Plan, bed: Testbed, bus: Bus):
        self.options = options
        self.plan = plan
        self.folder = bed.folder
        self.bus = bus
        self._resources = contextlib.ExitStack()
        settings = {
            **bus.settings(),
            "source.group": GROUP,
            # Anybody's client can read it.
            "sink.encoding": "json",
            # No cart runs out while a slow machine is still comparing.
            "carts.ttl_s": "7200",
        }
        if options.is_under_kills:
            settings["engine.batch_events"] = str(BATCH_EVENTS_UNDER_KILLS)
        self.holdfast = Holdfast(options.binary, bed.folder, settings)
        ports = Ports()
        self.workers = [Worker(self.holdfast, f"worker-{n}", ports.take()) for n in range(1, options.workers + 1)]
        self.database = bus.database()
        # What the topics of the plan must hold at the end, and how many publishers were killed on the way there.
        self.published = 0
        self.publishers_killed = 0

    def __enter__(self) -> Scenario:
        self._resources.callback(self.database.close)
        for worker in self.workers:
            self._resources.callback(worker.end)
        # Called first: they end side by side.
        self._resources.callback(lambda: [worker.ask_to_stop() for worker in self.workers])
        return self

    def __exit__(self, *_) -> None:
        self._resources.close()

    def prepare(self) -> None:
        """Tables and topics."""
        self.holdfast.command("migrate")
        self.holdfast.command("topics", "apply")

    def open_shop(self) -> None:
        """Registers every SKU, then stocks it, and stops again: orders must not overtake the goods, nor goods the
        registration. Of what is published at one moment, a broker may store another topic first."""
        self.workers[0].start()
        registrations = [event for event in self.plan.opening if event.type == "sku-registered"]
        self._publish("registrations", registrations)
        self._wait_until_taken_in(len(self.plan.skus), lambda progress: True)
        self._publish("opening", [event for event in self.plan.opening if event.type != "sku-registered"])
        self._wait_until_taken_in(self._opening_events(), lambda progress: True)
        # Second copies may still wait: they change nothing, whenever they come.
        self.workers[0].stop()

    def run_year(self) -> float:
        """Starts the workers and kills some of them on the way. Returns the seconds from the first start of a worker
        until every event is in and every announcement out. Where there is one kill at most, everything is published
        before; under kills it is published on the way."""
        already, drawn = self._opening_events(), random.Random(self.options.seed)
        kills = Kills(self.options.kills, already, len(self.plan.events), drawn)
        if self.options.is_under_kills:
            feed = Feed(self.holdfast, self.plan.stream, drawn, lambda: self.bus.positions().stored)
            self._resources.callback(feed.close)
        else:
            feed = None
            self._publish("stream", self.plan.stream)

        def on_the_way(progress: Progress) -> bool:
            kills.strike(progress.events, self.workers)
            return feed is None or feed.step(may_end=not kills.left)

        began = time.monotonic()
        for worker in self.workers:
            worker.start()
        ended = self._wait_until_taken_in(len(self.plan.events), on_the_way)
        if kills.left:
            raise Failure(f"everything was taken in before all kills were done; {kills.left} were left")
        if feed is not None:
            self.published, self.publishers_killed = feed.expected, feed.killed
            say(f"killed {feed.killed} publishers")
        for worker in self.workers:
            worker.wait_until_ready()
        self.bus.wait_until_consumed(self.workers)
        return ended - began

    def compare(self, expectation: Expectation, seconds: float) -> tuple[dict, Judgement]:
        """Compares everything, replays, and compares again."""
        judged = Judgement()
        listed = {row["sku"]: row for row in self.workers[-1].listed_stock()}
        for worker in self.workers:
            worker.stop()
        say("reading what was published")
        with self.bus.announcements() as records:
            found = announcements.read(records)
        answers = Answers(found, self.plan)
        inbox, before = self.database.inbox(), Snapshot.take(self.database)
        granted = self.plan.orders if self.plan.supply is PLENTY else answers.granted
        expected = expectation.final_stock(granted)
        stale = self.plan.stale if self.bus.keeps_order else judgement.overtaken(self.plan, inbox)
        judgement.judge_deliveries(judged, self.plan, inbox, stale)
        judgement.judge_stream(judged, found, self.plan, before.numbers["the last seq"])
        held = answers.held_by_carts()
        judgement.judge_stock(judged, expected, held, before.stock, found.stock(), listed)
        judgement.judge_answers(judged, answers, self.plan, inbox, stale)
        judgement.judge_refusals(judged, found, answers, self.plan)
        judgement.judge_shortage_shown(judged, found, answers, self.plan)
        judged.note("dead_letters", "dead letters", before.numbers["dead letters"])
        self._judge_positions(judged)
        self._judge_verification(judged)
        self._replay(judged, before)
        duplicates = self.published - len(inbox) - before.numbers["dead letters"]
        return self._figures(judged, answers, found, inbox, duplicates, seconds), judged

    def _publish(self, name: str, published: list[events.Event]) -> None:
        path = self.folder / f"{name}.jsonl"
        events.write(published, path)
        began = time.monotonic()
        self.holdfast.command("publish", str(path))
        seconds = time.monotonic() - began
        self.published += len(published)
        say(f"published {len(published):,} events of the {name} in {seconds:.1f} s")

    def _opening_events(self) -> int:
        return len({event.id for event in self.plan.opening})

    def _wait_until_taken_in(self, expected: int, on_the_way: Callable[[Progress], bool]) -> float:
        """Returns the moment at which so many distinct events were in and all that they caused was published, and
        what is to be done on the way was done."""
        last, changed_at = None, time.monotonic()
        look_s = LOOK_UNDER_KILLS_S if self.options.is_under_kills else LOOK_S
        with Bar("events", expected) as bar:
            while True:
                progress, now = self.database.progress(), time.monotonic()
                if on_the_way(progress) and progress.events >= expected and progress.all_published:
                    return now
                if progress != last:
                    last, changed_at = progress, now
                if now - changed_at > STALL_S:
                    tails = "\n".join(f"{worker.name}:\n{worker.log_tail()}" for worker in self.workers)
                    raise Failure(f"no progress for {STALL_S} s at {progress.events} of {expected} events\n{tails}")
                for worker in self.workers:
                    worker.demand_running()
                bar.show(progress.events)
                time.sleep(look_s)

    def _judge_positions(self, judged: Judgement) -> None:
        """Somebody else than the workers says that everything was published and consumed."""
        positions = self.bus.positions()
        wrong = abs(positions.stored - self.published)
        judged.note("differences", "records on the topics more or less than were published", wrong)
        judged.note("lost", "records that the group did not consume", positions.stored - positions.consumed)

    def _judge_verification(self, judged: Judgement) -> None:
        say("holdfast verify")
        result = self.holdfast.attempt("verify", "--json")
        if result.returncode not in (0, 3):
            raise Failure(f"holdfast verify ended with {result.returncode}: {result.stderr.strip()}")
        if result.returncode == 3:
            say(f"holdfast verify: {result.stdout.strip()}")
        judged.note("differences", "holdfast verify found differences", result.returncode != 0)

    def _replay(self, judged: Judgement, before: Snapshot) -> None:
        """Sets the group back to the start and consumes everything again."""
        say("replaying everything")
        self.bus.rewind(self.holdfast)
        worker = self.workers[0]
        worker.start()
        deadline, seen, duplicates = time.monotonic() + STALL_S, 0, 0
        with Bar("replay", self.published) as bar:
            while seen < self.published and time.monotonic() < deadline:
                worker.demand_running()
                metrics = worker.metrics()
                now_seen = metrics.total(HANDLED) or 0
                duplicates = metrics.total(HANDLED, outcome="duplicate") or 0
                if now_seen > seen:
                    seen, deadline = now_seen, time.monotonic() + STALL_S
                bar.show(seen)
                time.sleep(LOOK_S)
        worker.stop()
        judged.note("replay_changes", "replayed events that were no duplicate", self.published - duplicates)
        for name, changes in before.changes(Snapshot.take(self.database)).items():
            judged.note("replay_changes", f"changes of {name} by the replay", changes)

    def _figures(
        self,
        judged: Judgement,
        answers: Answers,
        found: announcements.Announcements,
        inbox: dict[str, str],
        duplicates: int,
        seconds: float,
    ) -> dict:
        """The report's row. The rate is of the lines of all orders, granted and refused alike: each of them came from
        the broker, was judged in the database and was answered on the broker. Lines of carts are not counted."""
        plan, sums = self.plan, judged.figures()
        outcomes = list(inbox.values())
        lines = sum(order.lines for order in plan.orders.values())
        return {
            "store": self.bus.store,
            "bus": self.bus.name,
            "cut": self.options.cut if plan.supply is PLENTY else f"{self.options.cut}, half the stock",
            "events_in": self.published,
            "applied": outcomes.count("applied"),
            "refused": outcomes.count("refused"),
            "ignored": outcomes.count("ignored"),
            "duplicates": duplicates,
            "announcements": found.count,
            **sums,
            "orders_granted": len(answers.granted),
            "orders_refused_for_stock": len(answers.refused_for_stock),
            "orders_cancelled_before": len(answers.cancelled_before),
            "low_stock": sum(map(len, found.low_stock.values())),
            "worker_killed": self.options.kills > 0,
            "order_lines": lines,
            "order_lines_granted": sum(plan.orders[order].lines for order in answers.granted),
            "seconds": round(seconds, 2),
            "lines_per_s": round(lines / seconds),
            "kills": {"workers": self.options.kills, "publishers": self.publishers_killed},
            "left_out": dict(plan.left_out),
        }
