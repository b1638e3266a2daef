"""What was published, as any subscriber sees it: read once, record by record, and turned into stock and answers."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from database import StockRow
from project import Failure

COUNTERS = ("on_hand", "cart_held", "order_reserved", "safety_stock", "available")
# What stands before the first step of a SKU.
NOTHING = (0, {**dict.fromkeys(COUNTERS, 0), "level": "unstocked"})


@dataclass(slots=True)
class Line:
    """A line of an answer, in units."""

    sku: str
    requested: int
    granted: int
    available: int
    reason: str | None


@dataclass(slots=True)
class Answer:
    """A `reservation-result`; `cause` is the id of the event that it answers."""

    seq: int
    kind: str
    reference: str
    outcome: str
    state: str
    reason: str | None
    lines: list[Line]
    cause: str


@dataclass(slots=True)
class LowStock:
    """A `low-stock`."""

    version: int
    level: str
    previous: str


@dataclass
class Announcements:
    """Everything that one pass over the out topics tells."""

    count: int = 0
    # How often each seq was seen; seq 1 stands at index 1.
    seen: bytearray = field(default_factory=lambda: bytearray(1))
    # Version and `after` of the last `stock-changed` of each SKU.
    last: dict[str, tuple[int, dict]] = field(default_factory=dict)
    # Versions of a SKU that were skipped, and steps whose `before` is not the last `after`.
    missing_versions: int = 0
    broken_steps: int = 0
    misplaced_keys: int = 0
    negative_counters: int = 0
    # Changes of level by SKU, once as `stock-changed` tells them and once as `low-stock` does.
    level_changes: dict[str, list[LowStock]] = field(default_factory=lambda: defaultdict(list))
    low_stock: dict[str, list[LowStock]] = field(default_factory=lambda: defaultdict(list))
    # What could be promised of a SKU from a seq on: (seq, SKU, units).
    available: list[tuple[int, str, int]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    others: int = 0

    def stock(self) -> dict[str, StockRow]:
        """The stock table as the stream alone tells it."""
        return {
            sku: StockRow(*(after[name] for name in COUNTERS[:4]), version, after["level"])
            for sku, (version, after) in self.last.items()
        }

    def holes(self, last_seq: int) -> int:
        """Numbers up to the last one given that nobody saw."""
        return sum(1 for seq in range(1, last_seq + 1) if seq >= len(self.seen) or not self.seen[seq])

    def repeats(self) -> int:
        """Records that carry a number which another record had carried before."""
        return sum(times - 1 for times in self.seen if times > 1)

    def beyond(self, last_seq: int) -> int:
        """Records with a number that was never given."""
        return sum(self.seen[last_seq + 1 :]) + self.seen[0]


def read(records: Iterable[str]) -> Announcements:
    """Reads every record, given as its key, a tab and its body in JSON."""
    result = Announcements()
    for record in records:
        key, _, text = record.partition("\t")
        try:
            body = json.loads(text)
        except ValueError:
            raise Failure(f"a published record is no JSON after its key: {record[:200]!r}") from None
        _note_seq(result, body["seq"])
        if "before" in body:
            _note_change(result, key, body)
        elif "previous_level" in body:
            result.low_stock[body["sku"]].append(LowStock(body["version"], body["level"], body["previous_level"]))
            result.misplaced_keys += key != body["sku"]
        elif "outcome" in body:
            result.answers.append(_answer(body))
            result.misplaced_keys += key != body["reference"]
        else:
            result.others += 1
    # Partitions were read one after the other; the numbers give back the one order in which it all happened.
    result.available.sort(key=lambda change: change[0])
    result.answers.sort(key=lambda answer: answer.seq)
    return result


def _note_seq(result: Announcements, seq: int) -> None:
    result.count += 1
    if seq >= len(result.seen):
        result.seen.extend(bytes(max(seq + 1 - len(result.seen), len(result.seen))))
    # A byte is enough to tell once from more often.
    result.seen[seq] = min(result.seen[seq] + 1, 255)


def _note_change(result: Announcements, key: str, body: dict) -> None:
    """One step of one SKU. All records of a SKU lie in one partition and so come in their order."""
    sku, version, before, after = body["sku"], body["version"], body["before"], body["after"]
    last_version, last_after = result.last.get(sku, NOTHING)
    result.last[sku] = (version, after)
    result.misplaced_keys += key != sku
    result.missing_versions += max(version - last_version - 1, 0)
    continues = version == last_version + 1 and last_after.items() <= before.items()
    adds_up = all(before[name] + units == after[name] for name, units in body["change"].items())
    result.broken_steps += not (continues and adds_up)
    result.negative_counters += min(after[name] for name in COUNTERS) < 0
    result.available.append((body["seq"], sku, after["available"]))
    if before["level"] != after["level"]:
        result.level_changes[sku].append(LowStock(version, after["level"], before["level"]))


def _answer(body: dict) -> Answer:
    lines = [
        Line(line["sku"], line["requested"], line["granted"], line["available"], line.get("reason"))
        for line in body["lines"]
    ]
    return Answer(
        body["seq"],
        body["kind"],
        body["reference"],
        body["outcome"],
        body["state"],
        body.get("reason"),
        lines,
        body["cause"]["id"],
    )
