"""CPU seconds of the command line: version, help page, an explanation and a whole run of the rehearsal.

Beside them stands what importing the three libraries alone costs that every command with a table needs.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import Line, child_seconds

TRADER = "0xf014343bdffbed8660a9d8721dec985126f189f3"
COMMANDS = (
    ("--version", ["--version"], 0.09),
    ("--help", ["--help"], 0.4),
    ("explain", ["explain", TRADER], 0.40),
    ("run --quiet", ["run", "--quiet", "--force"], 0.55),
)
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
        imports = child_seconds([sys.executable, "-c", "import typer, rich, polars"], Path(folder))
        for what, arguments, target in COMMANDS:
            seconds = child_seconds([perpcomp, *arguments], Path(folder))
            peer, ratio = f"{imports:.2f} (import typer, rich, polars)", f"{seconds / imports:.1f} x"
            yield Line(f"perpcomp {what}", f"{seconds:.2f} CPU-s", peer, ratio, f"< {target:g} CPU-s", seconds < target)
