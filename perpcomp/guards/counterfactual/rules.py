"""Which rules a replay lives by: SIP-2005's in four readings, or those that Perp V1 itself had later.

V1's own rules are read from its sources (perpetual-protocol/perpetual-protocol, the commits named); what was a setting there is a
setting of [guards] here. On none of them does an account stay flagged that has recovered, and none freezes it.
"""

from dataclasses import dataclass, replace

from perpcomp.findings import near_miss, refusal
from perpcomp.fixed import to_integer
from perpcomp.incident.incident import Incident

SIP = "sip-2005"


@dataclass(frozen=True)
class Rules:
    """One rulebook. Ratios are integers of 1e-18; None: the rule is not part of it."""

    name: str
    flag_rule: str = "v1"  # v1: by the contracts' margin ratio; index: by the index price
    limited: bool = False  # the two limits of the incident bind
    unflags: bool = True  # an account that has recovered is no longer flagged
    freezes: bool = False  # a flagged account cannot act
    over_position_notional: bool = False  # also where history's code divided by the open notional
    fluctuation: int | None = None  # how far, in parts of the last other block's price, a block may move the spot price
    throttles: str = ""  # "liquidations": those too, unless one alone moves further; "blocks": nothing once the price is outside
    spread: int | None = None  # from this distance from the index on, a healthy ratio at the index saves
    partial: int | None = None  # the share that is closed where the ratio is above the liquidation fee's
    partial_by_spot: bool = False  # by the ratio at spot instead of the better one
    backstop: frozenset[str] | None = None  # who alone may close a position that leaves bad debt


def sip(limited: bool = True) -> tuple[Rules, ...]:
    """SIP-2005: flagged by V1's ratio, which shows what the two limits do, and by the index; as it is, and with unflagging.

    A flag is never lifted in SIP-2005. Unflagging on recovery is not part of it; it shows what the difference costs.
    """
    return tuple(
        Rules(f"{SIP} flag={flag}{' unflag' if unflags else ''}", flag, limited, unflags, freezes=True)
        for flag in ("v1", "index")
        for unflags in (False, True)
    )


V1 = ("v1-february", "v1-spread", "v1-partial", "v1-block-fluctuation", "v1-backstop")
NAMES = (SIP, *V1)


def rulebook(name: str, incident: Incident) -> tuple[Rules, ...]:
    """The rules behind a name. InputError for an unknown one, and for a setting that they need and [guards] does not state."""
    if name == SIP:
        return sip()
    if name not in V1:
        raise refusal(f"rules '{name}'", "are unknown.", near_miss(name, NAMES))
    asked = incident.guards

    def setting(key: str) -> int:
        value = getattr(asked, key)
        if value is None:
            what = f"need {key}, which {incident.name}.toml does not state."
            raise refusal(f"The rules {name}", what, f"Add {key} and its source to [guards].")
        return to_integer(value)

    fluctuation = setting("fluctuation_limit")
    rules = Rules(V1[0], fluctuation=fluctuation, throttles="liquidations")  # d0e3afc, 2021-02-19
    if name == V1[0]:
        return (rules,)
    rules = replace(rules, name=V1[1], over_position_notional=True, spread=10**17)  # 4e1ad53, 2021-04-20: 10 % is in its code
    if name == V1[1]:
        return (rules,)
    rules = replace(rules, name=V1[2], throttles="", partial=setting("partial_liquidation_ratio"))  # 8060328, 2021-04-26
    if name == V1[2]:
        return (rules,)
    rules = replace(rules, name=V1[3], throttles="blocks")  # ed3a891, 2021-05-07
    if name == V1[3]:
        return (rules,)
    return (replace(rules, name=V1[4], partial_by_spot=True, backstop=frozenset(asked.backstop_providers)),)  # 37e15a1, 2022-01-27
