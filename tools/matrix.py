#!/usr/bin/env python3
"""Prints the matrix of the contract row by row, with the result of each row on each combination of store and bus.

    tools/matrix.py RESULTS              reads what `cargo test` printed

The rows are those of docs/semantics.md, section 10; each is a test with its sentence as its name. Exit code 1 when a row
failed or has no result somewhere.
"""

import re
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "semantics.md"
COMBINATIONS = {
    "on_postgres_kafka": "PostgreSQL, Kafka",
    "on_postgres_nats": "PostgreSQL, NATS",
    "on_sqlite_local": "SQLite, local",
}
RESULT = re.compile(r"test (\w+)::matrix::\w+::(\w+) \.\.\. (\w+)")


def rows(page: str) -> list[str]:
    """The sentences of the matrix, in their order."""
    section = page.split("## 10. The matrix", 1)[1].split("\n## ", 1)[0]
    return [" ".join(row.split()) for row in section.strip().rstrip(".").split(";")]


def name(sentence: str) -> str:
    """The name of the test of a row: its letters and digits, with one underscore for everything between."""
    words = "_".join(re.findall(r"[a-z0-9]+", sentence.lower()))
    return f"_{words}" if words[0].isdigit() else words


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    printed = Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace")
    results = {(combination, row): result for combination, row, result in RESULT.findall(printed)}
    sentences = rows(PAGE.read_text(encoding="utf-8"))
    width = max(map(len, sentences))
    print(f"{'the matrix':{width}}  " + "  ".join(COMBINATIONS.values()))
    good = 0
    for sentence in sentences:
        of_row = [results.get((combination, name(sentence)), "missing") for combination in COMBINATIONS]
        good += all(result == "ok" for result in of_row)
        shown = [f"{result:{len(title)}}" for result, title in zip(of_row, COMBINATIONS.values())]
        print(f"{sentence:{width}}  {'  '.join(shown)}".rstrip())
    print(f"{good} of {len(sentences)} rows hold on all {len(COMBINATIONS)} combinations")
    return 0 if good == len(sentences) else 1


if __name__ == "__main__":
    sys.exit(main())
