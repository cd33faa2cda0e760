"""The levels that parse foreign files, in a process of their own with limits of time and memory: a Parquet file can abort its reader.

`python -P -m perpcomp.audit.in_child` reads what to check from stdin as JSON and prints the levels as JSON. The addresses of nodes come by
stdin, too, because they can hold keys and everybody can read a command line.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from perpcomp.audit.level import Level, skipped
from perpcomp.findings import WRONG_INPUT, InputError

SECONDS = 1_800  # of the clock, for all levels together
BYTES = 16 * 2**30  # of addresses: threads and their stacks ask for many that they never use


@dataclass(frozen=True)
class Asked:
    """What to check: the folder of a run, and what the options name. Of a temporary folder no place names the path."""

    run: str
    levels: tuple[str, ...]
    urls: tuple[str, ...] = ()
    published: str | None = None
    sheet: str | None = None
    temporary: bool = False


def check(asked: Asked, seconds: float = SECONDS, memory: int = BYTES) -> list[Level]:
    """The levels, checked in a child. A child that ends in another way than by an answer cannot check: that is said, not passed over."""
    command = [sys.executable, "-P", "-m", "perpcomp.audit.in_child", str(memory)]
    try:
        done = subprocess.run(command, input=json.dumps(asdict(asked)), capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return [skipped(name, f"The check was ended after {seconds:,.0f} seconds.", WRONG_INPUT) for name in asked.levels]
    lines = [line.replace(f"{asked.run}/", "") if asked.temporary else line for line in done.stdout.splitlines()]
    answered = [Level.read(json.loads(line)) for line in lines if line.startswith("{")]
    lacking = asked.levels[len(answered) :]
    if lacking:
        last = (done.stderr.strip().splitlines() or ["no words"])[-1][:200]
        ended = f"by signal {-done.returncode}" if done.returncode < 0 else f"with {done.returncode}"
        why = f"The process that reads the files ended {ended} ({last})."
        answered += [skipped(name, why if n == 0 else "The process ended before.", WRONG_INPUT) for n, name in enumerate(lacking)]
    return answered


def _answer(asked: Asked) -> None:
    from perpcomp.audit.checks import CHECKS

    for name in asked.levels:
        try:
            level = CHECKS[name](asked)
        except InputError as error:
            level = skipped(name, "It could not be checked.", error.exit_code, tuple(error.problems))
        print(json.dumps(level.members()), flush=True)


def _limit(memory: int) -> None:
    """No more addresses than this, where the system can hold a process to it (not on Windows)."""
    try:
        import resource
    except ImportError:
        return
    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main(arguments: Sequence[str]) -> None:
    """Answer one question. Memory that runs out ends the process with a traceback, which the parent reports."""
    _limit(int(arguments[0]))
    members = json.load(sys.stdin)
    lists = {name: tuple(members[name]) for name in ("levels", "urls")}
    _answer(Asked(**{**members, **lists}))


if __name__ == "__main__":
    main(sys.argv[1:])
