"""Every option and argument that more than one command takes, described once, and the groups of options that belong together."""

import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from perpcomp.findings import refusal
from perpcomp.object_store import url

if TYPE_CHECKING:
    from datetime import datetime

Result = TypeVar("Result")
URL_VARIABLE = "PERPCOMP_RPC_URL"  # may be set for other incidents: an incident with its own logs passes over it
GUARDS_COMMANDS = ("verdicts", "profiles", "vectors")  # `perpcomp guards` accepts a query where it accepts these


class Proof(StrEnum):
    """Which blocks --prove covers."""

    WINDOW = "window"
    ALL = "all"


class EngineName(StrEnum):
    """Where the work is done."""

    LOCAL = "local"
    DASK = "dask"


def query_name(query: str) -> str:
    """The query, unless `perpcomp guards` would take its name for a command: then InputError."""
    name = Path(query).stem
    if name in GUARDS_COMMANDS:
        raise refusal(query, f"'{name}' is a command of `perpcomp guards` and cannot name an incident.", "Rename the file.")
    return query


def block_or_time(text: str | None, option: str = "--at", number: str = "a block") -> "int | datetime | None":
    """A block number, or a time with its zone. `number` says what else a number may be."""
    from datetime import datetime

    if text is None or (text.isascii() and text.replace("_", "").isdigit()):
        return None if text is None else int(text.replace("_", ""))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        example = "13500195" if number == "a block" else "1613861100"
        raise refusal(option, f"'{text}' is neither {number} nor a time.", f"Write {example}, or 2021-02-20T22:45:00Z.") from None
    if moment.tzinfo is None:
        raise refusal(option, f"{text} has no zone.", "Add Z, or an offset such as +08:00.")
    return moment


def unix_seconds(text: str, option: str) -> int:
    """A time in unix seconds, from digits or from a time with its zone in whole seconds."""
    from datetime import datetime

    moment = block_or_time(text, option, "unix seconds")
    if isinstance(moment, datetime):
        if moment.microsecond:
            raise refusal(option, f"{text} lies within a second.", "Give a whole second.")
        return int(moment.timestamp())
    assert moment is not None
    return moment


def block_range(text: str | None) -> tuple[int, int] | None:
    """FROM:TO as two block numbers, both included."""
    if text is None:
        return None
    first, colon, last = text.replace("_", "").replace(",", "").partition(":")
    if not (colon and first.isascii() and first.isdigit() and last.isascii() and last.isdigit() and int(first) <= int(last)):
        raise refusal("--blocks", f"'{text}' is not a range of blocks.", "Write FROM:TO, such as 14648000:14657000; both are included.")
    return int(first), int(last)


Query = Annotated[str, typer.Argument(metavar="QUERY", help="An incident file or a built-in name.", show_default=True, callback=query_name)]
Input = Annotated[
    Path | None,
    typer.Option("--input", metavar="FILE", help="Logs (.jsonl, .jsonl.gz) or an events table (.parquet, .csv); or an s3:// URL."),
]
FormulaName = Annotated[str | None, typer.Option("--formula", metavar="NAME", help="Pay by this formula, not by the incident's.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Where results go; default outputs/NAME.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace a run of another incident, or of another version of the incident file, in the folder.")
]
Charts = Annotated[Path | None, typer.Option("--charts", metavar="DIR", help="Draw the run, too: charts as SVG and PNG files go there.")]
PayeeRpc = Annotated[
    str | None, typer.Option("--payee-rpc", metavar="URL", help="A node of the chain that pays: say which payees are contracts.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, amounts as exact text.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, every column and every digit.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors and warnings only.")]


@dataclass(frozen=True)
class Form:
    """How a table is printed: to read, or for programs with every column and every digit."""

    as_json: AsJson = False
    as_csv: AsCsv = False

    def __post_init__(self) -> None:
        """InputError for two forms at once."""
        if self.as_json and self.as_csv:
            raise refusal("--json, --csv", "A table is printed in one form.", "Leave one of the two out.")

    @property
    def to_read(self) -> bool:
        """Whether a person reads it."""
        return not (self.as_json or self.as_csv)


@dataclass(frozen=True)
class Logs:
    """Where the logs come from: a file, or a node with how to ask it."""

    input: Input = None
    rpc: Annotated[
        list[str] | None,
        typer.Option(
            "--rpc",
            metavar="URL",
            help=f"A node that serves the logs; give several for fail-over.  [env var: {URL_VARIABLE}]",
        ),
    ] = None
    second_rpc: Annotated[
        str | None, typer.Option("--second-rpc", metavar="URL", help="A node of another operator: compare its logs, block by block.")
    ] = None
    prove: Annotated[
        Proof | None,
        typer.Option("--prove", help="Prove that no log is missing or altered: in the window (the default), or in all blocks."),
    ] = None
    blocks: Annotated[str | None, typer.Option("--blocks", metavar="FROM:TO", help="Fetch these blocks, not the window's.")] = None
    store: Annotated[Path | None, typer.Option("--store", metavar="FOLDER", help="Where fetched logs are kept; default store/NAME.")] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be asked of the node; send and write nothing.")] = False

    def __post_init__(self) -> None:
        """InputError for an option of fetching where nothing is fetched, and for a second node that is the first."""
        if self.input is not None:
            self.refuse_fetching(f"The logs come from {url(self.input)}, so nothing is fetched.", "Leave it out, or leave --input out.")
        elif not self.urls and not self.dry_run:
            self.refuse_fetching("No node is given, so nothing is fetched.", "Add --rpc URL, or leave it out.")
        if self.second_rpc is not None and self.second_rpc in self.urls:
            raise refusal("--second-rpc", "It is the node of --rpc, so it would be compared with itself.", "Give another operator's node.")

    @property
    def urls(self) -> list[str]:
        """The nodes of --rpc; without it, those of the environment variable."""
        return self.rpc or os.environ.get(URL_VARIABLE, "").split()

    def refuse_fetching(self, why: str, advice: str) -> None:
        """InputError that says why, if the command line holds an option of fetching."""
        given = {
            "--rpc": bool(self.rpc),
            "--second-rpc": self.second_rpc is not None,
            "--prove": self.prove is not None,
            "--blocks": self.blocks is not None,
            "--store": self.store is not None,
            "--dry-run": self.dry_run,
        }
        idle = [option for option, is_given in given.items() if is_given]
        if idle:
            raise refusal(", ".join(idle), f"{why} The option would do nothing.", advice)


@dataclass(frozen=True)
class Workers:
    """Where the work is done: in this process, or on a Dask cluster."""

    engine: Annotated[
        EngineName, typer.Option("--engine", help="Where logs are fetched, decoded and replayed; dask needs pip install 'perpcomp[dask]'.")
    ] = EngineName.LOCAL
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="ADDRESS", help="The Dask cluster's scheduler, tcp://HOST:PORT; default: a cluster on this machine."
        ),
    ] = None
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch", metavar="FOLDER", help="Where Dask's workers leave decoded logs; all must see it. Default: temporary files."
        ),
    ] = None

    def __post_init__(self) -> None:
        """InputError for a scheduler or a shared folder without the engine that has them."""
        if self.scheduler is not None and self.engine != EngineName.DASK:
            raise refusal("--scheduler", "Only the engine dask has a scheduler.", "Add --engine dask.")
        if self.scratch is not None and self.engine != EngineName.DASK:
            raise refusal("--scratch", "Only the engine dask needs a folder that several processes see.", "Add --engine dask.")


def _default(field: "Field[Any]") -> Any:
    """The default of an option of a group; none where the option must be given."""
    return inspect.Parameter.empty if field.default is MISSING else field.default


def with_option_groups(function: Callable[..., Result]) -> Callable[..., Result]:
    """The function for Typer: each parameter that is a dataclass of options is replaced by that dataclass's fields."""
    signature = inspect.signature(function)
    groups: dict[str, Any] = {name: p.annotation for name, p in signature.parameters.items() if is_dataclass(p.annotation)}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for parameter in signature.parameters.values()
        for name, default, annotation in (
            [(field.name, _default(field), field.type) for field in fields(groups[parameter.name])]
            if parameter.name in groups
            else [(parameter.name, parameter.default, parameter.annotation)]
        )
    ]

    @wraps(function)
    def call(**values: Any) -> Result:
        made = {name: group(**{field.name: values.pop(field.name) for field in fields(group)}) for name, group in groups.items()}
        return function(**values, **made)

    call.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call
