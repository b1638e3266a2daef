"""Where things are in this repository, and the parts of `tools/` that are used here."""

from __future__ import annotations

import sys
from pathlib import Path

RETAIL = Path(__file__).resolve().parent
ROOT = RETAIL.parent.parent
TOOLS = ROOT / "tools"
ORDERS_FILE = RETAIL / "online-retail-2010-2011.csv.gz"
RELEASE_BINARY = ROOT / "target" / "release" / "holdfast"
REPORTS = ROOT / "target" / "reports"

# The tools are scripts beside this folder, not an installed package.
sys.path.insert(0, str(TOOLS))

from server_process import Ports, launcher  # noqa: E402,F401  (found only after the line above)


class Failure(Exception):
    """Something did not do what it was asked to do; the text says what, and shows what was seen."""
