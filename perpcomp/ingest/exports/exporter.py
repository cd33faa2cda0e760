"""What an exporter must say about itself, and what a protocol wants from an export."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from perpcomp.ingest.decode import Event

if TYPE_CHECKING:
    from perpcomp.ingest.exports.sheet import Sheet  # every protocol imports this module, and few inputs are exports

Kind = Literal["raw logs", "decoded events", "events table"]


class Wanted(Struct, frozen=True):
    """What is read of an export; every address and topic in lower case.

    `house` is the contract that logs `events`; `addresses` are all contracts whose logs are kept, the house among them, and `topics`
    all topic0. `refused` are beginnings of topics of event layouts that cannot be read. Raw logs of the topics
    `anywhere` are kept whatever contract logged them. A decoded export must hold every event
    named in `needed`.
    """

    chain_id: int
    house: str
    addresses: Collection[str]
    topics: Collection[str]
    refused: tuple[str, ...]
    events: tuple[Event, ...]
    needed: tuple[str, ...]
    anywhere: frozenset[str] = frozenset()


def _as_it_is(sheet: "Sheet") -> "Sheet":
    return sheet


def _no_events(_: "Sheet", __: Wanted) -> "Iterable[tuple[Event, Sheet]]":
    return ()


class Exporter(Struct, frozen=True):
    """One tool's format: how its columns are recognised, and how its cells become ours.

    `columns` are those it must have, under our names; `aliases` are its names (in snake_case) for our columns. `log_sheet` puts raw
    logs into our columns; `event_sheets` gives one sheet in our columns for every event of a decoded table.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    recognises: "Callable[[Sheet, Wanted], bool]"
    aliases: Mapping[str, str] = field(default_factory=dict)
    log_sheet: "Callable[[Sheet], Sheet]" = _as_it_is
    event_sheets: "Callable[[Sheet, Wanted], Iterable[tuple[Event, Sheet]]]" = _no_events

    @property
    def plain(self) -> bool:
        """Whether its raw logs have our columns as they are."""
        return self.log_sheet is _as_it_is
