"""CPU seconds of checking a bundle: `verify`, and `verify.py` alone, of the rehearsal and of 2,000 traders."""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import perpcomp
from perpcomp.audit.bundle import bundle
from perpcomp.publish.carried import VERIFIER
from tests.bench.measure import ROOT, Line, child_seconds

ALONE = 30
RUNS = {"rehearsal": ("rehearsal", 5), "2,000 traders": (str(ROOT / "tests" / "lab" / "large.toml"), 30)}


def lines() -> Iterator[Line]:
    command = str(Path(sys.executable).with_name("perpcomp"))
    for what, (query, target) in RUNS.items():
        with TemporaryDirectory() as place:
            folder = Path(place)
            perpcomp.publish_run(perpcomp.compute(query), folder / "run")
            (folder / "run.zip").write_bytes(bundle(folder / "run"))
            for name, words, most in (
                ("perpcomp verify", [command, "verify", "run.zip", "--quiet"], target),
                ("verify.py", [sys.executable, "-I", f"run/{VERIFIER}", "run.zip"], ALONE),
            ):
                seconds = child_seconds(words, folder)
                yield Line(f"{name}: {what}", f"{seconds:.2f} CPU-s", target=f"< {most} CPU-s", met=seconds < most)
