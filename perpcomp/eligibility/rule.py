"""What an eligibility rule is, and what it reads besides the liquidations."""

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.incident.eligibility import Eligibility
from perpcomp.incident.incident import Incident

NOT_SET = (None, (), "include")  # values of a key that ask for no rule


class Facts(Struct, frozen=True):
    """What rules read besides a liquidation: the incident, and the index drawdown of each market over the window.

    `drawdowns` maps a market's AMM address to a fraction in 1e-18 units. A market whose drawdown is not in the logs is absent.
    """

    incident: Incident
    drawdowns: Mapping[str, int]

    @property
    def eligibility(self) -> Eligibility:
        """The incident's [eligibility]."""
        return self.incident.eligibility

    def limit(self, key: str) -> pl.Expr:
        """A limit of [eligibility] as an exact amount."""
        return fixed.amount(getattr(self.eligibility, key))


class Rule(Struct, frozen=True):
    """A rule that takes a liquidation out.

    `keys` are the keys of the incident file that it comes from: fields of Eligibility, or of Market with the prefix "market.". The
    rule is asked where at least one of them is set. `applies` says of each row of the valued liquidations whether the rule takes it
    out; null counts as no. `reason` is the published sentence, with the numbers of the row.
    """

    code: str
    keys: tuple[str, ...]
    applies: Callable[[Facts], pl.Expr]
    reason: Callable[[Facts], pl.Expr]

    def is_asked(self, incident: Incident) -> bool:
        """Whether the incident file asks for this rule."""
        return any(value not in NOT_SET for key in self.keys for value in _values(incident, key))


def _values(incident: Incident, key: str) -> list[Any]:
    table, _, name = key.rpartition(".")
    return [getattr(owner, name) for owner in (incident.markets if table == "market" else (incident.eligibility,))]
