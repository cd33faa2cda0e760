"""The table [input]: the files of the incident."""

from dataclasses import dataclass
from typing import Annotated

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import PATH


@dataclass(frozen=True)
class InputFiles:
    """The files beside the incident file; without one, --input or --rpc gives the logs."""

    file: Annotated[str | None, Key(PATH, "The logs or events, or a folder of them.", '"rehearsal/logs.jsonl.gz"', default=None)] = None
    blocks: Annotated[
        str | None, Key(PATH, "A list of block numbers and times, where the logs state no times.", '"blocks.csv"', default=None)
    ] = None
