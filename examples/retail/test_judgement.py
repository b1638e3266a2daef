"""The judgement, held against a small shop that keeps the contract, and against streams that break it."""

import json
import unittest
from datetime import datetime, timezone

import announcements
import judgement
import orders
import plan as planning
from database import StockRow
from expectation import Expectation
from judgement import Answers, Judgement
from plan import HALF, PLENTY

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
INVOICES = 300
ORDER = ("out", "critical", "low", "normal")


class Shop:
    """What a worker would publish when it took the events one after the other. Written for this test alone: it knows
    only the events of the plan, and orders are deducted when they are created."""

    def __init__(self, plan):
        self.records = []
        self.inbox = {}
        self.stock = {}
        # Units of each granted order: as they were asked for, and what is left of them.
        self.ordered = {}
        self.sold = {}
        self.state = {}
        self.waiting = {}
        self.versions = {}
        self.holds = {}
        for event in plan.opening + plan.stream:
            if event.id not in self.inbox:
                self.inbox[event.id] = "applied"
                getattr(self, event.type.replace("-", "_"))(event, event.body)

    def sku_registered(self, event, body):
        row = {"on_hand": 0, "cart_held": 0, "version": 0, "level": "unstocked"}
        row.update(warning=body["warning_threshold"], critical=body["critical_threshold"])
        self.stock[body["sku"]] = row
        self.change(event, body["sku"], 0, 0)

    def stock_received(self, event, body):
        for line in body["lines"]:
            self.change(event, line["sku"], line["quantity"], 0)

    def cart_updated(self, event, body):
        cart, version = body["cart_id"], body["cart_version"]
        if version <= self.versions.get(cart, 0):
            self.inbox[event.id] = "ignored"
            return
        self.versions[cart] = version
        if self.state.get(cart) == "converted":
            self.inbox[event.id] = "refused"
            self.answer(event, "cart", cart, "conflict", "converted", "closed", [])
            return
        lines, held = [], self.holds.setdefault(cart, {})
        for sku, units in summed(body["lines"]).items():
            could = self.available(sku) + held.get(sku, 0)
            reason = "insufficient_stock" if units > could else None
            if reason is None:
                self.change(event, sku, 0, units - held.get(sku, 0))
                held[sku] = units
            lines.append(line_of(sku, units, held.get(sku, 0), could, reason))
        short = any(line.get("reason") for line in lines)
        holds = any(held.values())
        outcome = "granted" if not short else "partial" if holds else "refused"
        self.state[cart] = "held" if holds else "released"
        self.answer(event, "cart", cart, outcome, self.state[cart], None, lines)

    def order_created(self, event, body):
        order, cart, units = body["order_id"], body.get("cart_id"), summed(body["lines"])
        own = self.holds.get(cart, {})
        if self.state.get(order) == "cancelled":
            self.convert(event, cart, {})
            lines = [line_of(sku, count, 0, 0, "cancelled") for sku, count in units.items()]
            self.inbox[event.id] = "refused"
            self.answer(event, "order", order, "refused", "cancelled", "cancelled", lines)
            return
        could = {sku: self.available(sku) + own.get(sku, 0) for sku in units}
        short = [sku for sku in units if could[sku] < units[sku]]
        if short:
            lines = [line_of(sku, units[sku], 0, could[sku], "insufficient_stock") for sku in short]
            self.state[order], self.inbox[event.id] = "refused", "refused"
            self.answer(event, "order", order, "refused", "refused", "insufficient_stock", lines)
        else:
            self.convert(event, cart, units)
            self.state[order], self.ordered[order], self.sold[order] = "deducted", units, dict(units)
            lines = [line_of(sku, count, count, could[sku], None) for sku, count in units.items()]
            self.answer(event, "order", order, "granted", "deducted", None, lines)
        for waiting in self.waiting.pop(order, []):
            self.cancel(waiting, waiting.body)

    def order_cancelled(self, event, body):
        if body["order_id"] in self.state:
            self.cancel(event, body)
        elif "lines" in body:
            self.waiting.setdefault(body["order_id"], []).append(event)
        else:
            self.state[body["order_id"]] = "cancelled"

    def cancel(self, event, body):
        order = body["order_id"]
        if self.state[order] == "cancelled":
            self.inbox[event.id] = "ignored"
            return
        left = self.sold.get(order, {})
        first = self.ordered.get(order, {})
        parts = summed(body["lines"]) if "lines" in body else None
        lines = []
        for sku, cumulative in (parts or first).items():
            back = max(cumulative - (first.get(sku, 0) - left.get(sku, 0)), 0) if sku in left else 0
            if back:
                left[sku] -= back
                self.change(event, sku, back, 0)
            lines.append(line_of(sku, cumulative, back, self.available(sku), None))
        whole = parts is None or (order in self.sold and not any(left.values()))
        if whole:
            self.state[order] = "cancelled"
        self.answer(event, "order", order, "cancelled" if whole else "released", self.state[order], None, lines)

    def convert(self, event, cart, units):
        own = self.holds.pop(cart, {})
        for sku in sorted(units.keys() | own.keys()):
            self.change(event, sku, -units.get(sku, 0), -own.get(sku, 0))
        if cart is not None:
            self.state[cart] = "converted"

    def available(self, sku):
        return self.stock[sku]["on_hand"] - self.stock[sku]["cart_held"]

    def change(self, event, sku, on_hand, cart_held):
        row = self.stock[sku]
        if row["version"] and not on_hand and not cart_held:
            return
        before = self.snapshot(sku)
        row["on_hand"] += on_hand
        row["cart_held"] += cart_held
        row["version"] += 1
        row["level"] = self.level(row)
        after = self.snapshot(sku)
        change = {"on_hand": on_hand, "cart_held": cart_held, "order_reserved": 0, "safety_stock": 0}
        body = {"sku": sku, "version": row["version"], "change": change, "before": before, "after": after}
        self.publish(sku, event, body)
        old, new = before["level"], after["level"]
        if old != new and (old, new) != ("unstocked", "normal"):
            body = {"sku": sku, "version": row["version"], "level": new, "previous_level": old}
            self.publish(sku, event, body)

    def level(self, row):
        if row["level"] == "unstocked" and not row["on_hand"]:
            return "unstocked"
        available = row["on_hand"] - row["cart_held"]
        bounds = (0, row["critical"], row["warning"])
        plain = next((name for name, bound in zip(ORDER, bounds) if available <= bound), "normal")
        if row["level"] == "unstocked" or ORDER.index(plain) <= ORDER.index(row["level"]):
            return plain
        place = ORDER.index(row["level"])
        while place < ORDER.index(plain) and available >= bounds[place] + max(1, -(-bounds[place] // 10)):
            place += 1
        return ORDER[place]

    def snapshot(self, sku):
        row = self.stock[sku]
        names = {"order_reserved": 0, "safety_stock": 0, "available": self.available(sku)}
        return {**names, **{name: row[name] for name in ("on_hand", "cart_held", "level")}}

    def answer(self, event, kind, reference, outcome, state, reason, lines):
        body = {"kind": kind, "reference": reference, "outcome": outcome, "state": state, "lines": lines}
        self.publish(reference, event, body if reason is None else {**body, "reason": reason})

    def publish(self, key, event, body):
        self.records.append((key, {"seq": len(self.records) + 1, "cause": {"id": event.id}, **body}))

    def table(self):
        return {
            sku: StockRow(row["on_hand"], row["cart_held"], 0, 0, row["version"], row["level"])
            for sku, row in self.stock.items()
        }


def summed(lines):
    units = {}
    for line in lines:
        units[line["sku"]] = units.get(line["sku"], 0) + line["quantity"]
    return units


def line_of(sku, requested, granted, available, reason):
    line = {"sku": sku, "requested": requested, "granted": granted, "available": available}
    return line if reason is None else {**line, "reason": reason}


def judge(plan, expectation, records, inbox, table, last_seq):
    found = announcements.read(f"{key}\t{json.dumps(body)}\n" for key, body in records)
    answers = Answers(found, plan)
    judged = Judgement()
    listed = {sku: {name: getattr(row, name) for name in StockRow.__dataclass_fields__} for sku, row in table.items()}
    granted = plan.orders if plan.supply is PLENTY else answers.granted
    expected = expectation.final_stock(granted)
    judgement.judge_deliveries(judged, plan, inbox, plan.stale)
    judgement.judge_stream(judged, found, plan, last_seq)
    judgement.judge_stock(judged, expected, answers.held_by_carts(), table, found.stock(), listed)
    judgement.judge_answers(judged, answers, plan, inbox, plan.stale)
    judgement.judge_refusals(judged, found, answers, plan)
    judgement.judge_shortage_shown(judged, found, answers, plan)
    return judged


class Judging(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.found = orders.sort(orders.cut(orders.read(), "small")[:INVOICES])
        cls.plan = planning.make(cls.found, HALF, 1, NOW)
        cls.expectation = Expectation(cls.plan)
        cls.shop = Shop(cls.plan)

    def judge(self, records=None, inbox=None, table=None):
        records = self.shop.records if records is None else records
        inbox, table = inbox or self.shop.inbox, table or self.shop.table()
        judged = judge(self.plan, self.expectation, records, inbox, table, len(self.shop.records))
        return judged, judged.figures()

    def test_a_shop_that_keeps_the_contract_breaks_no_rule(self):
        judged, _ = self.judge()
        self.assertEqual(judged.broken(), [])

    def test_with_plenty_no_rule_is_broken_either(self):
        plan = planning.make(self.found, PLENTY, 1, NOW)
        shop = Shop(plan)
        judged = judge(plan, Expectation(plan), shop.records, shop.inbox, shop.table(), len(shop.records))
        self.assertEqual(judged.broken(), [])

    def test_records_may_come_partition_by_partition(self):
        records = sorted(self.shop.records, key=lambda record: hash(record[0]) % 12)
        self.assertEqual(self.judge(records)[0].broken(), [])

    def test_a_missing_record_is_a_hole_and_a_second_one_a_repeat(self):
        middle = len(self.shop.records) // 2
        records = list(self.shop.records)
        repeated = records.pop(middle)
        self.assertGreaterEqual(self.judge(records)[1]["holes"], 1)
        records = [*self.shop.records[:middle], repeated, *self.shop.records[middle:]]
        self.assertGreaterEqual(self.judge(records)[1]["repeats"], 1)

    def test_a_missing_answer_and_a_missing_event_are_losses(self):
        answer = next(number for number, (_, body) in enumerate(self.shop.records) if body.get("kind") == "order")
        records = [*self.shop.records[:answer], *self.shop.records[answer + 1 :]]
        self.assertEqual(self.judge(records)[1]["lost"], 1)
        inbox = dict(self.shop.inbox)
        del inbox[next(iter(inbox))]
        self.assertEqual(self.judge(inbox=inbox)[1]["lost"], 1)

    def test_a_unit_too_many_is_a_difference(self):
        table = self.shop.table()
        sku, row = next(iter(table.items()))
        table[sku] = StockRow(row.on_hand + 1, row.cart_held, 0, 0, row.version, row.level)
        # From the file, and from the stream.
        self.assertEqual(self.judge(table=table)[1]["differences"], 2)

    def test_a_refusal_that_hides_a_short_line_is_a_difference(self):
        def hides_one(body):
            refused = body.get("reason") == "insufficient_stock" and body["kind"] == "order"
            return refused and len(body["lines"]) > 1

        self.assertEqual(self.judge(self.without_a_line(hides_one))[1]["differences"], 1)

    def test_an_order_granted_in_part_is_a_difference(self):
        records = self.without_a_line(lambda body: body.get("kind") == "order" and body["outcome"] == "granted")
        self.assertEqual(self.judge(records)[1]["differences"], 1)

    def without_a_line(self, wanted):
        """The records with the last line taken out of the first answer that is wanted."""
        number = next(number for number, (_, body) in enumerate(self.shop.records) if wanted(body))
        key, body = self.shop.records[number]
        changed = (key, {**body, "lines": body["lines"][:-1]})
        return [*self.shop.records[:number], changed, *self.shop.records[number + 1 :]]

    def test_a_level_that_is_not_told_is_a_difference(self):
        low = next(number for number, (_, body) in enumerate(self.shop.records) if "previous_level" in body)
        records = [*self.shop.records[:low], *self.shop.records[low + 1 :]]
        figures = self.judge(records)[1]
        self.assertEqual((figures["differences"], figures["holes"]), (1, 1))

    def test_a_version_that_was_overtaken_may_be_ignored_but_not_the_highest(self):
        versions = next(versions for versions in self.plan.carts.values() if len(versions) > 2)
        first, last = versions[0].id, versions[-1].id
        inbox = {**self.shop.inbox, first: "ignored", last: "ignored"}
        overtaken = judgement.overtaken(self.plan, inbox)
        self.assertIn(first, overtaken)
        self.assertNotIn(last, overtaken)

    def test_answers_to_a_cart_in_the_wrong_order_are_a_difference(self):
        records = list(self.shop.records)
        cart = next(body["reference"] for _, body in records if body.get("kind") == "cart" and self.versions(body) > 1)
        places = [place for place, (_, body) in enumerate(records) if body.get("reference") == cart]
        (key, first), (_, second) = (records[place] for place in places[:2])
        records[places[0]] = (key, {**first, "cause": second["cause"]})
        records[places[1]] = (key, {**second, "cause": first["cause"]})
        rules = [rule for _, rule, _ in self.judge(records)[0].broken()]
        self.assertIn("carts whose versions were answered in the wrong order", rules)

    def versions(self, body):
        return len(self.plan.carts[body["reference"]])


if __name__ == "__main__":
    unittest.main()
