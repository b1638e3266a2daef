"""One run from empty servers to the last comparison."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import announcements
import database
import events
import judgement
import plan as planning
import testbed
from broker import Broker
from database import Database, Progress, StockRow
from expectation import Expectation
from judgement import Answers, Judgement
from orders import Sorted
from plan import PLENTY, Plan, Supply
from progress import Bar, say
from project import Failure, Ports
from testbed import Testbed
from worker import Holdfast, Worker

GROUP = "retail"
# A run without any progress for so long has failed.
STALL_S = 120
LOOK_S = 0.25
# The worker measures its lag once a second; two looks so far apart cannot see the same measurement.
LAG_LOOK_S = 1.5
DUPLICATES = "holdfast_events_total"
LAG = "holdfast_source_lag_records"


@dataclass(frozen=True)
class Options:
    """What the caller chose."""

    cut: str
    binary: Path
    seed: int
    workers: int
    bus: str
    store: str
    keep: bool
    kill: bool


def play(options: Options, supply: Supply, found: Sorted) -> tuple[dict, Judgement]:
    """Plays the whole run; returns its figures for the report, and what was judged."""
    plan = planning.make(found, supply, options.seed, datetime.now(timezone.utc))
    expectation = Expectation(plan)
    if expectation.cancellations_beyond_their_order():
        raise Failure("the plan takes back more of an order than it has")
    with testbed.started(options.keep) as bed, Scenario(options, plan, bed) as scenario:
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

    def __init__(self, options: Options, plan: Plan, bed: Testbed):
        self.options = options
        self.plan = plan
        self.folder = bed.folder
        self._resources = contextlib.ExitStack()
        url = database.create(bed.postgres, bed.folder / "psql.log")
        settings = {
            "store.url": url,
            "source.url": f"kafka://{bed.kafka['bootstrap']}",
            "source.group": GROUP,
            # Anybody's client can read it.
            "sink.encoding": "json",
            # No cart runs out while a slow machine is still comparing.
            "carts.ttl_s": "7200",
            # How long the partitions of the killed worker wait for another one; the default is 15 s.
            "source.kafka.session.timeout.ms": "6000",
        }
        self.holdfast = Holdfast(options.binary, bed.folder, settings)
        self.broker = Broker(bed.kafka, GROUP, bed.folder / "kafka-tools.log")
        ports = Ports()
        self.workers = [Worker(self.holdfast, f"worker-{n}", ports.take()) for n in range(1, options.workers + 1)]
        self.database = Database(bed.postgres, database.NAME, bed.folder / "psql.log")

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
        """Registers and stocks every SKU, and stops again: orders must not overtake the goods."""
        self._publish("opening", self.plan.opening)
        self.workers[0].start()
        self._wait_until_taken_in(self._opening_events(), lambda progress: None)
        self._wait_without_lag()
        self.workers[0].stop()

    def run_year(self) -> float:
        """Publishes everything, then starts the workers and kills one of them on the way. Returns the seconds from
        the first start of a worker until every event is in and every announcement out."""
        self._publish("stream", self.plan.stream)
        already = self._opening_events()
        kill_at = already + (len(self.plan.events) - already) // 3 if self.options.kill else None

        def on_the_way(progress: Progress) -> None:
            nonlocal kill_at
            if kill_at is not None and progress.events >= kill_at:
                kill_at = None
                self.workers[0].kill()
                self.workers[0].start()
                say(f"killed {self.workers[0].name} after {progress.events - already:,} events and started it again")

        began = time.monotonic()
        for worker in self.workers:
            worker.start()
        ended = self._wait_until_taken_in(len(self.plan.events), on_the_way)
        if kill_at is not None:
            raise Failure("everything was taken in before a worker could be killed")
        self._wait_without_lag()
        return ended - began

    def compare(self, expectation: Expectation, seconds: float) -> tuple[dict, Judgement]:
        """Compares everything, replays, and compares again."""
        judged = Judgement()
        listed = {row["sku"]: row for row in self.workers[-1].listed_stock()}
        for worker in self.workers:
            worker.stop()
        say("reading what was published")
        with self.broker.announcements() as records:
            found = announcements.read(records)
        answers = Answers(found, self.plan)
        inbox, before = self.database.inbox(), Snapshot.take(self.database)
        granted = self.plan.orders if self.plan.supply is PLENTY else answers.granted
        expected = expectation.final_stock(granted)
        judgement.judge_deliveries(judged, self.plan, inbox)
        judgement.judge_stream(judged, found, self.plan, before.numbers["the last seq"])
        held = answers.held_by_carts()
        judgement.judge_stock(judged, expected, held, before.stock, found.stock(), listed)
        judgement.judge_answers(judged, answers, self.plan, inbox)
        judgement.judge_refusals(judged, found, answers, self.plan)
        judgement.judge_shortage_shown(judged, found, answers, self.plan)
        judged.note("dead_letters", "dead letters", before.numbers["dead letters"])
        consumed = self._judge_offsets(judged)
        self._judge_verification(judged)
        self._replay(judged, before)
        duplicates = consumed - len(inbox) - before.numbers["dead letters"]
        return self._figures(judged, answers, found, inbox, duplicates, seconds), judged

    def _publish(self, name: str, published: list[events.Event]) -> None:
        path = self.folder / f"{name}.jsonl"
        events.write(published, path)
        began = time.monotonic()
        self.holdfast.command("publish", str(path))
        seconds = time.monotonic() - began
        say(f"published {len(published):,} events of the {name} in {seconds:.1f} s")

    def _opening_events(self) -> int:
        return len({event.id for event in self.plan.opening})

    def _wait_until_taken_in(self, expected: int, on_the_way: Callable[[Progress], None]) -> float:
        """Returns the moment at which so many distinct events were in and all that they caused was published."""
        last, changed_at = None, time.monotonic()
        with Bar("events", expected) as bar:
            while True:
                progress, now = self.database.progress(), time.monotonic()
                if progress.events >= expected and progress.all_published:
                    return now
                if progress != last:
                    last, changed_at = progress, now
                if now - changed_at > STALL_S:
                    tails = "\n".join(f"{worker.name}:\n{worker.log_tail()}" for worker in self.workers)
                    raise Failure(f"no progress for {STALL_S} s at {progress.events} of {expected} events\n{tails}")
                for worker in self.workers:
                    worker.demand_running()
                bar.show(progress.events)
                on_the_way(progress)
                time.sleep(LOOK_S)

    def _wait_without_lag(self) -> None:
        """Returns when the workers have consumed what is left: repetitions, of which the database shows nothing."""
        deadline = time.monotonic() + STALL_S
        clear = 0
        while clear < 2:
            if time.monotonic() > deadline:
                raise Failure(f"records still wait after {STALL_S} s:\n{self.workers[0].log_tail()}")
            running = [worker for worker in self.workers if worker.is_running()]
            lags = [worker.metrics().total(LAG) for worker in running]
            clear = clear + 1 if not any(lag is None or lag > 0 for lag in lags) else 0
            time.sleep(LAG_LOOK_S)

    def _judge_offsets(self, judged: Judgement) -> int:
        """Kafka's own tool says that everything was published and consumed. Returns the records consumed."""
        offsets = self.broker.offsets()
        ends = sum(end for _, end in offsets.values())
        consumed = sum(committed for committed, _ in offsets.values())
        judged.note("differences", "records on the topics more or less than planned", abs(ends - self.plan.deliveries))
        judged.note("lost", "records that the group did not consume", ends - consumed)
        return consumed

    def _judge_verification(self, judged: Judgement) -> None:
        say("holdfast verify")
        result = self.holdfast.attempt("verify", "--json")
        if result.returncode not in (0, 3):
            raise Failure(f"holdfast verify ended with {result.returncode}: {result.stderr.strip()}")
        if result.returncode == 3:
            say(f"holdfast verify: {result.stdout.strip()}")
        judged.note("differences", "holdfast verify found differences", result.returncode != 0)

    def _replay(self, judged: Judgement, before: Snapshot) -> None:
        """Sets the group back to the start with Kafka's own tool and consumes everything again."""
        say("replaying everything")
        self.broker.reset_to_start()
        worker = self.workers[0]
        worker.start()
        deadline, seen, duplicates = time.monotonic() + STALL_S, 0, 0
        with Bar("replay", self.plan.deliveries) as bar:
            while seen < self.plan.deliveries and time.monotonic() < deadline:
                worker.demand_running()
                metrics = worker.metrics()
                now_seen = metrics.total(DUPLICATES) or 0
                duplicates = metrics.total(DUPLICATES, outcome="duplicate") or 0
                if now_seen > seen:
                    seen, deadline = now_seen, time.monotonic() + STALL_S
                bar.show(seen)
                time.sleep(LOOK_S)
        self._wait_without_lag()
        worker.stop()
        judged.note("replay_changes", "replayed events that were no duplicate", self.plan.deliveries - duplicates)
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
            "store": self.options.store,
            "bus": self.options.bus,
            "cut": self.options.cut if plan.supply is PLENTY else f"{self.options.cut}, half the stock",
            "events_in": plan.deliveries,
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
            "worker_killed": self.options.kill,
            "order_lines": lines,
            "order_lines_granted": sum(plan.orders[order].lines for order in answers.granted),
            "seconds": round(seconds, 2),
            "lines_per_s": round(lines / seconds),
            "left_out": dict(plan.left_out),
        }
