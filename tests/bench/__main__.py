"""Runs all benches, or those named, and prints a table of each when it is done. Exit code 1 if a target was missed."""

import argparse
import subprocess
import sys

from tests.bench import (
    claims,
    cluster,
    decoding,
    fetching,
    guards_history,
    guards_rules,
    replaying,
    reporting,
    scaling,
    side_by_side,
    spoilt,
    startup,
    verifying,
    vesting,
    workbook,
)
from tests.bench.measure import ROOT, Line

BENCHES = {
    "startup": startup.lines,
    "decoding": decoding.lines,
    "spoilt": spoilt.lines,
    "fetching": fetching.lines,
    "replaying": replaying.lines,
    "reporting": reporting.lines,
    "scaling": scaling.lines,
    "cluster": cluster.lines,
    "vesting": vesting.lines,
    "side-by-side": side_by_side.lines,
    "guards-rules": guards_rules.lines,
    "guards-history": guards_history.lines,
    "claims": claims.lines,
    "verifying": verifying.lines,
    "workbook": workbook.lines,
}
HEAD = ("what", "ours", "peer", "ratio", "target", "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("bench", nargs="*", help=f"which: {', '.join(BENCHES)}; without a name all")
    names = parser.parse_args().bench or [*BENCHES]
    if unknown := [name for name in names if name not in BENCHES]:
        parser.error(f"there is no bench {', '.join(unknown)}")
    if len(names) > 1:  # a process each: what one bench leaves in memory must not count as the next one's
        done = [subprocess.run([sys.executable, "-m", "tests.bench", name], cwd=ROOT, check=False) for name in names]
        return int(any(one.returncode for one in done))
    lines = [*BENCHES[names[0]]()]
    _show(lines)
    return int(any(line.met is False for line in lines))


def _show(lines: list[Line]) -> None:
    table = [HEAD, *(_cells(line) for line in lines)]
    widths = [max(len(row[n]) for row in table) for n in range(len(HEAD))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(flush=True)


def _cells(line: Line) -> tuple[str, ...]:
    verdict = {None: "", True: "met", False: "MISSED"}[line.met]
    return (line.what, line.ours, line.peer, line.ratio, line.target, verdict)


sys.exit(main())
