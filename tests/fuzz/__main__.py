"""`python -m tests.fuzz SECONDS [NAME ...]`: every target, or these, for so many seconds each, two at a time. Exit code 1 where an input was a fault."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.targets import TARGETS

KEPT = Path("fuzz-faults").absolute()


def ran(name: str, seconds: int) -> tuple[str, bool]:
    """What one target did, in a line, and whether it found nothing."""
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(seconds), str(KEPT)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    said = re.search(r"number_of_executed_units: *(\d+)", done.stdout)
    count = f"{int(said[1]):,} inputs" if said else "inputs"
    if not done.returncode:
        return f"{name}: {count}, no fault", True
    (KEPT / f"{name}.txt").write_text(done.stdout)
    return f"{name}: {count}, A FAULT: see {KEPT / name}.txt", False


def main(seconds: int, names: list[str]) -> int:
    KEPT.mkdir(exist_ok=True)
    found = []
    with ThreadPoolExecutor(2) as two:
        for words, fine in two.map(lambda name: ran(name, seconds), names or [*TARGETS]):
            print(words, flush=True)
            found.append(fine)
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
