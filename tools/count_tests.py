#!/usr/bin/env python3
"""Counts the tests of each adapter, and fails where the adapters of one suite do not have the same ones.

    tools/count_tests.py                 asks the integration tests, which must be built
    tools/count_tests.py LIST            reads what `cargo test --test it -- --list` printed

The tests of a suite stand once and are compiled below a module for each adapter (`on_sqlite::store::…`). Leaving one out
for an adapter would be silent otherwise.
"""

import subprocess
import sys

# Each suite with its adapters, by the modules that they stand below.
SUITES = {
    "store": {"postgres": "on_postgres", "sqlite": "on_sqlite", "model": "on_model"},
    "bus": {"kafka": "on_kafka", "nats": "on_nats", "local": "on_local"},
    "worker": {
        "postgres_kafka": "on_postgres_kafka",
        "postgres_nats": "on_postgres_nats",
        "sqlite_local": "on_sqlite_local",
    },
}
LIST = ["cargo", "test", "--quiet", "--all-features", "--test", "it", "--", "--list"]


def names_below(listed: str) -> dict[str, set[str]]:
    """The names of tests below each top module: 'on_sqlite::store::a: test' is 'store::a' below on_sqlite."""
    below: dict[str, set[str]] = {}
    for line in listed.splitlines():
        name, colon, kind = line.rpartition(": ")
        module, _, rest = name.partition("::")
        if colon and kind == "test" and rest:
            below.setdefault(module, set()).add(rest)
    return below


def differences(adapters: dict[str, set[str]]) -> list[str]:
    """What one adapter has and another one lacks, for people."""
    everything = set().union(*adapters.values())
    return [
        f"{adapter} lacks {name}"
        for adapter, names in adapters.items()
        for name in sorted(everything - names)
    ]


def main() -> int:
    if len(sys.argv) > 2:
        print(__doc__, file=sys.stderr)
        return 2
    if len(sys.argv) == 2:
        with open(sys.argv[1], encoding="utf-8") as file:
            listed = file.read()
    else:
        listed = subprocess.run(LIST, check=True, capture_output=True, text=True).stdout
    below = names_below(listed)
    if not below:
        print("no test is listed: is this what `cargo test --test it -- --list` prints?", file=sys.stderr)
        return 1
    found = []
    print("tests of each adapter:")
    for suite, modules in SUITES.items():
        adapters = {adapter: below.get(module, set()) for adapter, module in modules.items()}
        counts = ", ".join(f"{adapter} {len(names)}" for adapter, names in adapters.items())
        print(f"  {suite:<7} {counts}")
        found += [f"{suite}: {adapter} has no test" for adapter, names in adapters.items() if not names]
        found += [f"{suite}: {difference}" for difference in differences(adapters)]
    for difference in found:
        print(difference, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
