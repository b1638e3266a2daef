"""The plan of a run and the calculation made apart from it: python3 -m unittest discover examples/retail"""

import json
import unittest
from collections import Counter
from datetime import datetime, timezone

import orders
import plan as planning
from expectation import Expectation
from orders import Invoice
from plan import HALF, PLENTY

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)


def invoice(number, customer, *lines, position=0):
    return Invoice(number, "2011-05-01T10:00:00Z", customer, position, list(lines))


class Sorting(unittest.TestCase):
    def test_a_cancellation_finds_the_latest_order_that_still_has_its_units(self):
        found = orders.sort(
            [
                invoice("1", "anna", ("cup", 5)),
                invoice("2", "anna", ("cup", 3), ("cup", 3)),
                invoice("C3", "anna", ("cup", -4)),
                invoice("C4", "anna", ("cup", -4)),
                invoice("C5", "anna", ("cup", -2)),
                invoice("C6", "berta", ("cup", -1)),
            ]
        )
        matched = [(each.invoice.number, each.order.number, each.parts) for each in found.cancellations]
        self.assertEqual(matched, [("C3", "2", {"cup": 4}), ("C4", "1", {"cup": 4}), ("C5", "2", None)])
        self.assertEqual(found.left_out["cancellations without an order"], 1)

    def test_what_is_no_order_is_counted(self):
        found = orders.sort(
            [invoice("A1", "", ("fee", 1)), invoice("2", "", ("cup", -3)), invoice("3", "", ("cup", 2), ("jug", 0))]
        )
        self.assertEqual([order.lines for order in found.orders], [[("cup", 2)]])
        expected = {"bookkeeping entries": 1, "write-offs": 1, "lines that are not positive": 1}
        self.assertEqual(dict(found.left_out), expected)

    def test_the_file_holds_what_its_description_says(self):
        invoices = orders.read()
        self.assertEqual(len(invoices), 25_900)
        self.assertEqual(sum(len(invoice.lines) for invoice in invoices), 541_909)
        self.assertEqual(len(orders.sort(invoices).skus), 4_070)
        self.assertTrue(1_200 < len(orders.cut(invoices, "small")) < 1_800)


class Planning(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.found = orders.sort(orders.cut(orders.read(), "small"))
        cls.plan = planning.make(cls.found, PLENTY, 7, NOW)

    def test_the_same_seed_gives_the_same_plan(self):
        again = planning.make(self.found, PLENTY, 7, NOW)
        lines = [event.line() for event in self.plan.opening + self.plan.stream]
        self.assertEqual(lines, [event.line() for event in again.opening + again.stream])
        other = planning.make(self.found, PLENTY, 8, NOW)
        self.assertFalse(self.plan.events.keys() & other.events.keys())

    def test_every_event_is_published_and_about_one_in_twenty_twice(self):
        published = Counter(event.id for event in self.plan.opening + self.plan.stream)
        self.assertEqual(published.keys(), self.plan.events.keys())
        self.assertEqual(set(published.values()), {1, 2})
        twice = sum(times == 2 for times in published.values()) / len(published)
        self.assertTrue(0.04 < twice < 0.06, twice)

    def test_some_cancellations_come_before_their_order_and_some_carts_are_stale(self):
        place = {}
        for number, event in enumerate(self.plan.opening + self.plan.stream):
            place.setdefault(event.id, number)
        early = [
            event
            for event, order in self.plan.cancelled_orders.items()
            if place[event] < place[self.plan.orders[order].event]
        ]
        self.assertEqual(len(early), self.plan.early_cancellations)
        self.assertTrue(early)
        self.assertTrue(self.plan.stale)

    def test_receipts_bring_what_the_plan_says(self):
        for supply in (PLENTY, HALF):
            plan = planning.make(self.found, supply, 7, NOW)
            received = Counter()
            for event in plan.events.values():
                if event.type == "stock-received":
                    for line in event.body["lines"]:
                        self.assertGreater(line["quantity"], 0)
                        received[line["sku"]] += line["quantity"]
            self.assertEqual(received, Counter({sku: known.received for sku, known in plan.skus.items()}))

    def test_an_event_is_one_line_of_a_structured_cloudevent(self):
        event = next(event for event in self.plan.stream if event.type == "order-created")
        line = event.line()
        self.assertNotIn("\n", line)
        told = json.loads(line)
        self.assertEqual((told["specversion"], told["id"], told["type"]), ("1.0", event.id, "order-created"))
        self.assertEqual(told["data"]["order_id"], event.body["order_id"])


class Calculating(unittest.TestCase):
    def test_sql_over_the_file_agrees_with_adding_up(self):
        found = orders.sort(orders.cut(orders.read(), "small"))
        plan = planning.make(found, PLENTY, 7, NOW)
        expectation = Expectation(plan)
        self.assertEqual(expectation.cancellations_beyond_their_order(), 0)
        granted = {order.number for number, order in enumerate(found.orders) if number % 3}
        stock = Counter({sku: known.received for sku, known in plan.skus.items()})
        for order in found.orders:
            if order.number in granted:
                stock.subtract(order.units())
        for cancellation in found.cancellations:
            if cancellation.order.number in granted:
                stock.update(cancellation.invoice.units())
        self.assertEqual(expectation.final_stock(granted), dict(stock))


if __name__ == "__main__":
    unittest.main()
