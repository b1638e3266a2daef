"""When workers are killed, and what a stream published by killed publishers comes to."""

import contextlib
import io
import random
import tempfile
import unittest
from pathlib import Path

from events import Maker
from feed import PIECES, Feed
from kills import Kills

EVENTS = 400


class Victim:
    """A worker that counts its deaths."""

    def __init__(self, name):
        self.name = name
        self.killed = 0
        self.is_running = True

    def kill(self):
        self.is_running = False
        self.killed += 1

    def start(self):
        self.is_running = True


class Killing(unittest.TestCase):
    def setUp(self):
        silence = contextlib.redirect_stderr(io.StringIO())
        silence.__enter__()
        self.addCleanup(silence.__exit__, None, None, None)

    def test_the_only_kill_comes_after_a_third_and_hits_the_first_worker(self):
        workers, kills = [Victim("one"), Victim("two")], Kills(1, 100, 400, random.Random(1))
        kills.strike(198, workers)
        self.assertEqual((workers[0].killed, kills.left), (0, 1))
        kills.strike(199, workers)
        kills.strike(400, workers)
        self.assertEqual((workers[0].killed, workers[1].killed, kills.left), (1, 0, 0))
        self.assertTrue(workers[0].is_running)

    def test_many_kills_hit_every_worker_and_are_over_before_the_end(self):
        workers, kills = [Victim("one"), Victim("two")], Kills(20, 100, 400, random.Random(1))
        kills.strike(99, workers)
        self.assertEqual(kills.left, 20)
        while kills.left:
            kills.strike(370, workers)
        self.assertEqual(workers[0].killed + workers[1].killed, 20)
        self.assertTrue(workers[0].killed and workers[1].killed)

    def test_without_kills_nothing_is_killed(self):
        worker, kills = Victim("one"), Kills(0, 0, 400, random.Random(1))
        kills.strike(400, [worker])
        self.assertEqual((worker.killed, kills.left), (0, 0))


class Publisher:
    """A process that stores its lines when it is asked whether it ended, or half of them when it is killed."""

    def __init__(self, lines, topic):
        self._lines, self._topic = lines, topic
        self._looks = 0

    def poll(self):
        # One look is too early, so that there is something to kill.
        self._looks += 1
        if self._looks == 1:
            return None
        self._topic += self._lines
        return 0

    def kill(self):
        self._topic += self._lines[: len(self._lines) // 2]

    def wait(self):
        pass


class Shop:
    """A folder and a topic instead of a program and its bus."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.topic = []

    def piped(self, command, path, log):
        return Publisher(Path(path).read_text().splitlines(), self.topic)


class Feeding(unittest.TestCase):
    def feed(self, shop):
        make = Maker(1)
        stream = [make.order_created("2010-12-01T08:00:00Z", f"{number}", None, [("A", 1)]) for number in range(EVENTS)]
        # A seed with which several publishers are killed before the last piece.
        feed = Feed(shop, stream, random.Random(7), lambda: len(shop.topic))
        for _ in range(50 * PIECES):
            self.assertFalse(feed.step(may_end=False), "the last piece must wait")
        while not feed.step(may_end=True):
            pass
        return feed, [event.line() for event in stream]

    def test_everything_is_published_in_order_and_what_was_stored_is_counted(self):
        with tempfile.TemporaryDirectory() as folder:
            shop = Shop(folder)
            feed, lines = self.feed(shop)
        self.assertGreater(feed.killed, 3)
        self.assertEqual(feed.expected, len(shop.topic))
        self.assertGreater(feed.expected, EVENTS)
        self.assertEqual(list(dict.fromkeys(shop.topic)), lines)


if __name__ == "__main__":
    unittest.main()
