"""The figures of the runs as a table for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from judgement import FIGURES, Judgement

EXIT_DIFFERENT = 3


def write(runs: list[dict], path: Path) -> None:
    """Writes `{"runs": [...]}`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"runs": runs}, indent=2) + "\n")


def table(runs: list[dict]) -> str:
    """One row a figure, one column a run."""
    names = [name for name in runs[0] if not isinstance(runs[0][name], dict)]
    columns = [names, *([_shown(run[name]) for name in names] for run in runs)]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in zip(*columns):
        first, *others = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:]))]
        mark = "  must be 0" if first in FIGURES else ""
        lines.append("  ".join(cells) + mark)
    return "\n".join(lines)


def broken(judgement: Judgement) -> str:
    """What was broken, a line each."""
    return "\n".join(f"  {figure}: {found:,} {rule}" for figure, rule, found in judgement.broken())


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
