#!/usr/bin/env python3
"""Fuzzes everything that reads what comes from outside, each target for a while.

    tools/fuzz.py [--seconds 60] [TARGET...]

Inputs start from fuzz/seeds; what a fuzzer learns on the way is kept in target/fuzz/corpus. An input that breaks a promise
is written to fuzz/findings, where the tests read it ever after. Exit code 1 when there was one. The figures go to
target/reports/fuzz.json as well.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The address sanitizer needs a nightly compiler, and the crate forbids unsafe code: coverage alone is what guides.
BUILD = ["--sanitizer", "none", "--target-dir", str(ROOT / "target" / "fuzz")]
# One input takes microseconds; one that takes so many seconds is a finding.
TIMEOUT_SECONDS = 10
MEMORY_MEBIBYTES = 2048


def targets() -> list[str]:
    """Every target, as cargo-fuzz lists them."""
    listed = subprocess.run(["cargo", "fuzz", "list"], cwd=ROOT, check=True, capture_output=True, text=True)
    return listed.stdout.split()


def fuzz(target: str, seconds: int) -> dict:
    """Runs one target. Says how often it ran, how much it reached and whether it found anything."""
    corpus = ROOT / "target" / "fuzz" / "corpus" / target
    findings = ROOT / "fuzz" / "findings" / target
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    run = subprocess.run(
        ["cargo", "fuzz", "run", *BUILD, target, str(corpus), str(ROOT / "fuzz" / "seeds" / target), "--"]
        + [f"-max_total_time={seconds}", f"-timeout={TIMEOUT_SECONDS}", f"-rss_limit_mb={MEMORY_MEBIBYTES}"]
        + ["-print_final_stats=1", f"-artifact_prefix={findings}/"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if not any(findings.iterdir()):
        findings.rmdir()
    executed = re.search(r"stat::number_of_executed_units: (\d+)", run.stderr)
    covered = re.findall(r"cov: (\d+)", run.stderr)
    if run.returncode != 0:
        print(run.stderr[-6000:], file=sys.stderr)
    return {
        "target": target,
        "executions": int(executed.group(1)) if executed else 0,
        "edges": int(covered[-1]) if covered else 0,
        "held": run.returncode == 0,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="how long each target runs (default 60)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="only these")
    arguments = parser.parse_args()
    known = targets()
    unknown = [target for target in arguments.targets if target not in known]
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such target; there are {', '.join(known)}")
    subprocess.run(["cargo", "fuzz", "build", *BUILD], cwd=ROOT, check=True)
    results = []
    for target in arguments.targets or known:
        result = fuzz(target, arguments.seconds)
        results.append(result)
        verdict = "held" if result["held"] else "BROKEN: see fuzz/findings/" + target
        print(f"{target:17} {result['executions']:>11,} inputs  {result['edges']:>7,} edges  {verdict}", flush=True)
    report = ROOT / "target" / "reports" / "fuzz.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps({"seconds": arguments.seconds, "targets": results}, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result["held"] and result["executions"] > 0 for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
