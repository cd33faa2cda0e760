"""CPU seconds of the command line: the help page, and a whole run of the rehearsal."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import Line, child_seconds

HELP_SECONDS, RUN_SECONDS = 0.4, 3.0
HEAVY = ("polars", "web3")

IMPORTED = """
import sys
from perpcomp.cli.main import main
sys.argv = ["perpcomp", "--help"]
try:
    main()
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


def lines() -> Iterator[Line]:
    perpcomp = str(Path(sys.executable).with_name("perpcomp"))
    modules = subprocess.run([sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True).stderr.split()
    assert "perpcomp.cli.main" in modules, "the child did not list its imports"
    heavy = [name for name in HEAVY if name in modules]
    assert not heavy, f"perpcomp --help imports {' and '.join(heavy)}"
    with TemporaryDirectory() as folder:
        for what, arguments, target in (("--help", ["--help"], HELP_SECONDS), ("run --quiet", ["run", "--quiet"], RUN_SECONDS)):
            seconds = child_seconds([perpcomp, *arguments], Path(folder))
            yield Line(f"perpcomp {what}", f"{seconds:.2f} CPU-s", target=f"< {target:g} CPU-s", met=seconds < target)
