"""What must hold after a run: each rule counts what breaks it, under the figure of the report that it belongs to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from announcements import Announcements, Answer
from database import StockRow
from plan import PLENTY, Plan

# Figures of the report that must be 0.
FIGURES = ("repeats", "holes", "differences", "lost", "replay_changes", "dead_letters")
LEVELS = ("out", "critical", "low", "normal", "unstocked")


@dataclass
class Judgement:
    """Rules that were looked at, with how often each was broken."""

    rules: list[tuple[str, str, int]] = field(default_factory=list)

    def note(self, figure: str, rule: str, broken: int) -> None:
        self.rules.append((figure, rule, int(broken)))

    def figures(self) -> dict[str, int]:
        """The sum of what was broken, by figure."""
        sums = dict.fromkeys(FIGURES, 0)
        for figure, _, broken in self.rules:
            sums[figure] += broken
        return sums

    def broken(self) -> list[tuple[str, str, int]]:
        return [rule for rule in self.rules if rule[2]]


class Answers:
    """Answers by the event that they answer, and what follows from them."""

    def __init__(self, found: Announcements, plan: Plan):
        self.all = found.answers
        self.by_event: dict[str, list[Answer]] = defaultdict(list)
        for answer in found.answers:
            self.by_event[answer.cause].append(answer)
        self._plan = plan
        # The first answer to each order's creation.
        self.orders = {
            order: self.by_event[planned.event][0]
            for order, planned in plan.orders.items()
            if planned.event in self.by_event
        }
        self.granted = {order for order, answer in self.orders.items() if answer.outcome == "granted"}
        self.cancelled_before = {order for order, answer in self.orders.items() if answer.reason == "cancelled"}
        self.refused_for_stock = {
            order for order, answer in self.orders.items() if answer.reason == "insufficient_stock"
        }

    def held_by_carts(self) -> Counter[str]:
        """Units by SKU that carts still hold: what each was granted last, unless its order took it over."""
        last: dict[str, Answer] = {}
        for answer in self.all:
            if answer.kind == "cart":
                last[answer.reference] = answer
        closed = {self._plan.orders[order].cart for order in self.granted | self.cancelled_before}
        held: Counter[str] = Counter()
        for cart, answer in last.items():
            if answer.state == "held" and cart not in closed:
                for line in answer.lines:
                    held[line.sku] += line.granted
        return +held


def overtaken(plan: Plan, inbox: Mapping[str, str]) -> set[str]:
    """Versions of carts that a higher version may have overtaken on the way, where the bus does not keep their order:
    those that were ignored, but never the highest of a cart."""
    lower = (event.id for versions in plan.carts.values() for event in versions[:-1])
    return {event for event in lower if inbox.get(event) == "ignored"}


def judge_deliveries(judgement: Judgement, plan: Plan, inbox: Mapping[str, str], stale: Set[str]) -> None:
    """Each event of the plan was taken in once, and no other event was. Versions of carts that are stale, and only
    they, are ignored."""
    judgement.note("lost", "events without an entry in the inbox", len(plan.events.keys() - inbox.keys()))
    judgement.note("differences", "entries of the inbox without an event", len(inbox.keys() - plan.events.keys()))
    ignored = {event for event, outcome in inbox.items() if outcome == "ignored"}
    unexpected = {event for event in ignored ^ stale if event not in plan.cancelled_orders}
    judgement.note("differences", "events that are ignored, but not stale, or the reverse", len(unexpected))


def judge_stream(judgement: Judgement, found: Announcements, plan: Plan, last_seq: int) -> None:
    """The numbers are without hole and repeat, and each SKU's steps lead from one to the next."""
    judgement.note("holes", "numbers of announcements that nobody saw", found.holes(last_seq))
    judgement.note("holes", "versions of a SKU that nobody saw", found.missing_versions)
    judgement.note("repeats", "numbers of announcements seen again", found.repeats())
    judgement.note("differences", "announcements beyond the last number given", found.beyond(last_seq))
    judgement.note("differences", "steps whose 'before' is not the last 'after'", found.broken_steps)
    judgement.note("differences", "steps to a negative counter or promise", found.negative_counters)
    judgement.note("differences", "records whose key is not what they are about", found.misplaced_keys)
    judgement.note("differences", "announcements of shortage or drift", found.others)
    _judge_levels(judgement, found, plan)


def _judge_levels(judgement: Judgement, found: Announcements, plan: Plan) -> None:
    """Low stock is told once a crossing: each change of level but the first to `normal`, and nothing else."""
    missing = wrong = 0
    for sku in set(found.level_changes) | set(found.low_stock):
        chain = found.level_changes.get(sku, [])
        told = [change for change in chain if (change.previous, change.level) != ("unstocked", "normal")]
        missing += told != found.low_stock.get(sku, [])
        wrong += any(later.previous != earlier.level for earlier, later in zip(chain, chain[1:]))
    judgement.note("differences", "SKUs whose low-stock announcements are not their changes of level", missing)
    judgement.note("differences", "SKUs whose levels do not follow from each other", wrong)
    plain = {sku: _plain_level(row, plan, sku) for sku, row in found.stock().items()}
    late = sum(LEVELS.index(row.level) > LEVELS.index(plain[sku]) for sku, row in found.stock().items())
    judgement.note("differences", "SKUs that end at a level above their thresholds", late)


def _plain_level(row: StockRow, plan: Plan, sku: str) -> str:
    """The level that the numbers call for; a row may stand lower for a while, never higher."""
    available = row.on_hand - row.cart_held - row.order_reserved - row.safety_stock
    known = plan.skus[sku]
    if row.level == "unstocked":
        return "unstocked" if row.version == 1 and available == 0 else "out"
    if available <= 0:
        return "out"
    if available <= known.critical:
        return "critical"
    return "low" if available <= known.warning else "normal"


def judge_stock(
    judgement: Judgement,
    expected: Mapping[str, int],
    held_by_carts: Mapping[str, int],
    table: Mapping[str, StockRow],
    rebuilt: Mapping[str, StockRow],
    listed: Mapping[str, dict],
) -> None:
    """The stock table is what was calculated apart from it, what the stream tells, and what the sidecar says."""
    names = expected.keys() | table.keys()
    on_hand = {sku: row.on_hand for sku, row in table.items()}
    wrong = sum(expected.get(sku) != on_hand.get(sku) for sku in names)
    judgement.note("differences", "SKUs whose units are not those calculated from the file", wrong)
    carts = sum(row.cart_held != held_by_carts.get(sku, 0) for sku, row in table.items())
    judgement.note("differences", "SKUs that carts hold otherwise than they were answered", carts)
    reserved = sum(row.order_reserved != 0 or row.safety_stock != 0 for row in table.values())
    judgement.note("differences", "SKUs with units reserved or kept back that nobody asked for", reserved)
    streamed = sum(table.get(sku) != rebuilt.get(sku) for sku in table.keys() | rebuilt.keys())
    judgement.note("differences", "SKUs that the stream alone rebuilds otherwise", streamed)
    fields = StockRow.__dataclass_fields__
    shown = {sku: StockRow(**{name: item[name] for name in fields}) for sku, item in listed.items()}
    other = sum(table.get(sku) != shown.get(sku) for sku in table.keys() | shown.keys())
    judgement.note("differences", "SKUs that the sidecar lists otherwise", other)


def judge_answers(
    judgement: Judgement, answers: Answers, plan: Plan, inbox: Mapping[str, str], stale: Set[str]
) -> None:
    """Every order, cancellation and cart that is not stale got the answer that the contract calls for, once."""
    missing, repeated, wrong = Counter(), Counter(), Counter()
    for order, planned in plan.orders.items():
        got = answers.by_event.get(planned.event, [])
        missing["orders"] += not got
        repeated["orders"] += max(len(got) - 1, 0)
        wrong["orders"] += any(not _order_answer_is_right(answer, order, plan, inbox) for answer in got)
    for cart, versions in plan.carts.items():
        for event in versions:
            got = answers.by_event.get(event.id, [])
            wanted = event.id not in stale
            missing["carts"] += wanted and not got
            repeated["carts"] += max(len(got) - wanted, 0)
            wrong["carts"] += any(not _cart_answer_is_right(answer, cart, plan) for answer in got)
    _judge_cancellations(answers, plan, missing, repeated, wrong)
    for kind in ("orders", "carts", "cancellations"):
        judgement.note("lost", f"{kind} without an answer", missing[kind])
        judgement.note("repeats", f"{kind} answered again", repeated[kind])
        judgement.note("differences", f"{kind} with a wrong answer", wrong[kind])
    judgement.note("differences", "carts whose versions were answered in the wrong order", _disordered(answers, plan))
    strange = sum(event not in plan.events for event in answers.by_event)
    judgement.note("differences", "answers to no event of the plan", strange)
    stock = sum(answer.kind not in ("order", "cart") for answer in answers.all)
    judgement.note("differences", "registrations and receipts that were refused", stock)


def _order_answer_is_right(answer: Answer, order: str, plan: Plan, inbox: Mapping[str, str]) -> bool:
    """All lines or none, and for a reason that the plan allows. Whether a refusal for want of stock was right is
    judged by `judge_refusals`."""
    planned = plan.orders[order]
    if (answer.kind, answer.reference) != ("order", order):
        return False
    if answer.outcome == "granted":
        granted = {line.sku: (line.requested, line.granted) for line in answer.lines}
        right = granted == {sku: (units, units) for sku, units in planned.units.items()}
        return right and inbox.get(planned.event) == "applied"
    if answer.outcome != "refused" or inbox.get(planned.event) != "refused":
        return False
    if any(line.granted for line in answer.lines):
        return False
    if answer.reason == "cancelled":
        return any(
            found == order and "lines" not in plan.events[event].body for event, found in plan.cancelled_orders.items()
        )
    return answer.reason == "insufficient_stock" and plan.supply is not PLENTY


def _cart_answer_is_right(answer: Answer, cart: str, plan: Plan) -> bool:
    """A cart that comes after its order is told that it is closed; where there is plenty, every other gets all."""
    if (answer.kind, answer.reference) != ("cart", cart):
        return False
    if answer.outcome == "conflict":
        return answer.reason == "closed"
    return answer.outcome == "granted" or (plan.supply is not PLENTY and answer.outcome in ("partial", "refused"))


def _disordered(answers: Answers, plan: Plan) -> int:
    """Answers to a version of a cart that come after the answer to a higher one."""
    version_of = {event.id: number for versions in plan.carts.values() for number, event in enumerate(versions)}
    highest: dict[str, int] = {}
    wrong = 0
    for answer in answers.all:
        version = version_of.get(answer.cause)
        if version is not None:
            wrong += version < highest.get(answer.reference, -1)
            highest[answer.reference] = max(version, highest.get(answer.reference, -1))
    return wrong


def _judge_cancellations(
    answers: Answers, plan: Plan, missing: Counter[str], repeated: Counter[str], wrong: Counter[str]
) -> None:
    """One answer each, but none to what comes when nothing is left to call off, and none of an order that came after
    its cancellation: that order's refusal is the only answer."""
    events: dict[str, list[str]] = defaultdict(list)
    for event, order in plan.cancelled_orders.items():
        events[order].append(event)
    for order, cancellations in events.items():
        got = {event: answers.by_event.get(event, []) for event in cancellations}
        every = [answer for found in got.values() for answer in found]
        if order in answers.cancelled_before:
            wrong["cancellations"] += len(every)
            continue
        closing = [answer for answer in every if answer.outcome == "cancelled"]
        missing["cancellations"] += 0 if closing else sum(not found for found in got.values())
        repeated["cancellations"] += sum(max(len(found) - 1, 0) for found in got.values())
        repeated["cancellations"] += max(len(closing) - 1, 0)
        wrong["cancellations"] += sum(answer.outcome not in ("cancelled", "released") for answer in every)
        released: Counter[str] = Counter()
        for answer in every:
            for line in answer.lines:
                released[line.sku] += line.granted
        expected = called_off(plan, order, cancellations) if order in answers.granted else Counter()
        wrong["cancellations"] += +released != +expected


def called_off(plan: Plan, order: str, cancellations: list[str]) -> Counter[str]:
    """Units by SKU that these cancellations take back of an order in all."""
    units: Counter[str] = Counter()
    for event in cancellations:
        lines = plan.events[event].body.get("lines")
        if lines is None:
            return Counter(plan.orders[order].units)
        for line in lines:
            # Each part says how much of a line is called off so far.
            units[line["sku"]] = max(units[line["sku"]], line["quantity"])
    return units


def judge_refusals(judgement: Judgement, found: Announcements, answers: Answers, plan: Plan) -> None:
    """Follows the stream in its one order and holds each refusal for want of stock against what could be promised
    right then, the order's own cart included: it names every short line and no other, with what there was."""
    wrong = 0
    available: dict[str, int] = {}
    held: dict[str, dict[str, int]] = {}
    order_of_event = {planned.event: order for order, planned in plan.orders.items()}
    changes = iter(found.available)
    change = next(changes, None)
    for answer in answers.all:
        while change is not None and change[0] < answer.seq:
            available[change[1]] = change[2]
            change = next(changes, None)
        if answer.kind == "cart":
            holds = answer.state == "held"
            held[answer.reference] = {line.sku: line.granted for line in answer.lines} if holds else {}
        order = order_of_event.get(answer.cause)
        if order is None:
            continue
        planned = plan.orders[order]
        own = held.get(planned.cart, {})
        if order in answers.refused_for_stock:
            could = {sku: max(available.get(sku, 0) + own.get(sku, 0), 0) for sku in planned.units}
            short = {sku: (units, could[sku]) for sku, units in planned.units.items() if could[sku] < units}
            told = {line.sku: (line.requested, line.available) for line in answer.lines}
            wrong += told != short or not short
        elif planned.cart is not None:
            held.pop(planned.cart, None)
    judgement.note("differences", "refusals that do not name just the short lines", wrong)


def judge_shortage_shown(judgement: Judgement, found: Announcements, answers: Answers, plan: Plan) -> None:
    """Half the stock must have shown what it is there to show."""
    if plan.supply is PLENTY:
        return
    judgement.note("differences", "no order was refused for want of stock", not answers.refused_for_stock)
    told = {change.level for changes in found.low_stock.values() for change in changes}
    judgement.note("differences", "levels of low stock that never came up", len(set(LEVELS[:4]) - told))
