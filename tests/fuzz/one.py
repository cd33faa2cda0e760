"""`python -m tests.fuzz.one NAME SECONDS FOLDER`: one target for so long. Exit code 0 if no input was a fault; what was is kept in FOLDER.

With atheris by coverage, from a corpus of the seeds; without it (there are wheels for some interpreters only) by random damage to them.
"""

import sys
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

try:
    import atheris
except ImportError:
    from tests.fuzz.targets import TARGETS
else:
    with atheris.instrument_imports(include=["perpcomp"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS

from tests.fuzz.mutate import PIECES, mutated

HANG, MEMORY = 60, 6_144  # seconds of one input, MiB


def by_coverage(name: str, seconds: int, kept: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    target, corpus = TARGETS[name], kept / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for n, seed in enumerate(target.seeds()):
        (corpus / f"seed-{n}").write_bytes(seed)
    words = kept / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in piece[:60]) + '"\n' for piece in PIECES if piece))
    place = TemporaryDirectory()
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={HANG}",
        f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={kept}/{name}-",
        f"-dict={words}",
    ]
    atheris.Setup([name, *options, "-print_final_stats=1", str(corpus)], lambda data: bool(target.run(data, Path(place.name))) and None)
    atheris.Fuzz()


def by_chance(name: str, seconds: int, kept: Path) -> None:
    target, chance, end, count = TARGETS[name], Random(name), time.monotonic() + seconds, 0
    whole = target.seeds()
    with TemporaryDirectory() as place:
        while time.monotonic() < end:
            data, count = mutated(chance.choice(whole), whole, chance), count + 1
            try:
                target.run(data, Path(place))
            except BaseException:
                (kept / f"{name}-fault").write_bytes(data)
                raise
    print(f"stat::number_of_executed_units: {count}")


if __name__ == "__main__":
    (by_coverage if "atheris" in sys.modules else by_chance)(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
