"""What the show prints."""

import json
import unittest

from events import Maker
from news import News
from plan import PLENTY, Plan


def told(news, kind, cause, cause_type, /, **body):
    event = {"type": kind, "data": {"cause": {"id": cause, "type": cause_type}, **body}}
    return news.tell(json.dumps(event))


class Telling(unittest.TestCase):
    def setUp(self):
        plan = Plan(PLENTY)
        self.opened = Maker(1).stock_received("2010-12-01T06:00:00Z", "receipt-1", [("cup", 5)])
        plan.opening.append(self.opened)
        self.news = News(plan)

    def test_stocking_the_shop_is_no_news(self):
        change = {"on_hand": 5}
        self.assertEqual(told(self.news, "stock-changed", self.opened.id, "stock-received", change=change), [])

    def test_an_order_stands_with_the_shelves_that_it_emptied(self):
        change = {"on_hand": -5}
        self.assertEqual(told(self.news, "stock-changed", "a", "order-created", change=change), [])
        self.assertEqual(told(self.news, "low-stock", "a", "order-created", sku="cup", level="out"), [])
        line = {"sku": "cup", "requested": 5, "granted": 5, "available": 5}
        answer = {"kind": "order", "reference": "536365", "outcome": "granted", "lines": [line]}
        lines = told(self.news, "reservation-result", "a", "order-created", **answer)
        expected = ["order 536365    granted            5 units of 1 SKU", "      stock now out: cup"]
        self.assertEqual(lines, expected)

    def test_a_refusal_says_what_was_short(self):
        line = {"sku": "cup", "requested": 5, "granted": 0, "available": 2, "reason": "insufficient_stock"}
        answer = {"kind": "order", "reference": "536366", "outcome": "refused", "lines": [line] * 5}
        (text,) = told(self.news, "reservation-result", "b", "order-created", **answer)
        self.assertTrue(text.startswith("order 536366    refused            wanted 5 of cup, 2 there; "), text)
        self.assertTrue(text.endswith(" and 2 more"), text)

    def test_goods_are_told_when_something_else_begins(self):
        for units in (3, 4):
            change = {"on_hand": units}
            self.assertEqual(told(self.news, "stock-changed", "c", "stock-received", change=change), [])
        lines = told(self.news, "stock-changed", "d", "order-created", change={"on_hand": -1})
        self.assertEqual(lines, ["goods came in: 7 units"])


if __name__ == "__main__":
    unittest.main()
