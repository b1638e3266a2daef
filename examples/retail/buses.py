"""The buses that a run can choose from, by name."""

from __future__ import annotations

from kafka_bus import KafkaBus
from local_bus import LocalBus
from nats_bus import NatsBus

BUSES = {bus.name: bus for bus in (KafkaBus, NatsBus, LocalBus)}
