"""The incident file's [guards]."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from perpcomp.incident import toml
from perpcomp.incident.sources import Source, read_source
from perpcomp.incident.toml import Section

VERDICTS = (
    *("LIQUIDATED", "FLAG_ONLY_DELTA", "FLAG_ONLY_PD", "FLAG_ONLY_BOTH"),
    *("NOT_FLAGGABLE_AT_INDEX", "NO_INDEX", "UNKNOWN"),
)


@dataclass(frozen=True)
class Limits:
    """A market's liquidation guards: the most one liquidation may move the price, and the most the price may differ from the index.

    Both are parts of the index price (/1); None: no limit. 0 lets nothing pass but a forced liquidation.
    """

    market: str | None  # None: every market without limits of its own
    max_liquidation_delta: Decimal | None
    max_pd: Decimal | None
    source: tuple[str, ...]


@dataclass(frozen=True)
class IndexPrices:
    """A file of index prices, with the columns market_name, time and price: a row every `interval` seconds or less of each market."""

    file: str
    interval: int
    source: tuple[str, ...]


@dataclass(frozen=True)
class Guards:
    """Liquidation guards to try on history. Without limits each market's own fees give them.

    flag_rule says at which price an account may be flagged: `index`, or `v1` by the contracts' own margin ratio. keeper: `historical`
    tries an account first when history liquidated it, `eager` as soon as it may be. Accounts of liquidators that are `endorsed` may be
    forced through the guards `forced_delay` seconds after the flag. The rest are settings that Perp V1's later guards need.
    """

    flag_rule: str = "index"
    keeper: str = "historical"
    endorsed: tuple[str, ...] = ()
    forced_delay: int = 0
    fluctuation_limit: Decimal | None = None
    partial_liquidation_ratio: Decimal | None = None
    backstop_providers: tuple[str, ...] = ()
    limits: tuple[Limits, ...] = ()
    index: IndexPrices | None = None
    source: tuple[str, ...] = ()

    @property
    def stated(self) -> bool:
        """Whether the incident file has them."""
        return bool(self.source)


def read_guards(section: Section, known: dict[str, Source]) -> Guards:
    limits, index = [], None
    for one in section.each("limits"):
        most = (one.take("max_liquidation_delta", toml.limit), one.take("max_pd", toml.limit))
        limits.append(Limits(one.take("market", toml.text, required=False), *most, read_source(one, known)))
        one.close()
    if "index" in section.table:
        given = section.sub("index")
        file, interval = given.take("file", toml.inside), given.take("interval", toml.count)
        index = IndexPrices(file or "", interval or 1, read_source(given, known))
        given.close()
    guards = Guards(
        flag_rule=section.take("flag_rule", toml.choice(("index", "v1")), "index", required=False) or "",
        keeper=section.take("keeper", toml.choice(("historical", "eager")), "historical", required=False) or "",
        endorsed=section.take("endorsed", _addresses, (), required=False) or (),
        forced_delay=section.take("forced_delay", toml.count, 0, required=False) or 0,
        fluctuation_limit=section.take("fluctuation_limit", toml.amount, required=False),
        partial_liquidation_ratio=section.take("partial_liquidation_ratio", toml.amount, required=False),
        backstop_providers=section.take("backstop_providers", _addresses, (), required=False) or (),
        limits=tuple(limits),
        index=index,
        source=read_source(section, known),
    )
    section.close()
    return guards


def _addresses(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"is {toml.shown(value)}, not a list.", "Write addresses in brackets, each in quotes.")
    return tuple(toml.address(one) for one in value)
