"""Every option and argument that more than one command takes, described once."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.findings import refusal

if TYPE_CHECKING:
    from datetime import datetime


class Proved(StrEnum):
    """How much --prove covers."""

    WINDOW = "window"
    ALL = "all"


class Engines(StrEnum):
    """Where the work is done."""

    LOCAL = "local"
    DASK = "dask"


Query = Annotated[str, typer.Argument(metavar="[QUERY]", help="An incident file or a built-in name.", show_default=True)]

Input = Annotated[
    Path | None, typer.Option("--input", metavar="FILE", help="Logs (.jsonl, .jsonl.gz) or an events table (.parquet, .csv).")
]

FormulaName = Annotated[str | None, typer.Option("--formula", metavar="NAME", help="Another rule than the incident's.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, amounts as exact text.")]

Rpc = Annotated[
    list[str] | None,
    typer.Option(
        "--rpc", metavar="URL", envvar="PERPCOMP_RPC_URL", show_envvar=True, help="A node to fetch the logs from; several are fail-over."
    ),
]

SecondRpc = Annotated[
    str | None, typer.Option("--second-rpc", metavar="URL", help="A node of another operator: compare its logs, block by block.")
]

Prove = Annotated[
    Proved | None, typer.Option("--prove", help="Prove that no log is missing or altered: over the window, or over all blocks.")
]

Blocks = Annotated[str | None, typer.Option("--blocks", metavar="FROM:TO", help="Fetch these blocks instead of the window's.")]

StoreFolder = Annotated[Path | None, typer.Option("--store", metavar="FOLDER", help="Where fetched logs are kept; default store/NAME.")]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be asked of the node; send nothing.")]

OnEngine = Annotated[
    Engines, typer.Option("--engine", help="Where the logs are decoded and replayed; dask needs pip install 'perpcomp[dask]'.")
]

Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster, tcp://HOST:PORT; default: one on this machine.")
]

Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]


def block_or_time(text: str | None) -> "int | datetime | None":
    from datetime import datetime

    if text is None or (text.isascii() and text.replace("_", "").isdigit()):
        return None if text is None else int(text.replace("_", ""))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refusal("--at", f"'{text}' is no block and no time.", "Write 13500195, or 2021-02-20T22:45:00Z.") from None
    if moment.tzinfo is None:
        raise refusal("--at", f"{text} has no zone.", "Add Z, or an offset as +08:00.")
    return moment


def block_range(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, colon, last = text.replace("_", "").replace(",", "").partition(":")
    if not (colon and first.isascii() and first.isdigit() and last.isascii() and last.isdigit() and int(first) <= int(last)):
        raise refusal("--blocks", f"'{text}' is no range of blocks.", "Write FROM:TO, as 14648000:14657000; both are included.")
    return int(first), int(last)
