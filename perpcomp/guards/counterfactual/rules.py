"""The liquidation rules that a counterfactual runs under: four readings of SIP-2005, or the rules that Perp V1 itself had later.

V1's own rules are read from its sources (perpetual-protocol/perpetual-protocol, at the commits named below); what was a setting there is
a setting of [guards] here. Under none of V1's rules does an account stay flagged after it has recovered, and none freezes a flagged account.
"""

from dataclasses import dataclass, replace

from perpcomp.findings import near_miss, refusal
from perpcomp.fixed import to_integer
from perpcomp.incident.incident import Incident

SIP = "sip-2005"


@dataclass(frozen=True)
class Rules:
    """One set of liquidation rules. Ratios are integers of 1e-18 (/1); None: the rule is not part of the set."""

    name: str
    flag_rule: str = "v1"  # v1: by the contracts' margin ratio; index: by the index price
    limited: bool = False  # the two limits of the incident apply
    unflags: bool = True  # an account that has recovered is unflagged
    freezes: bool = False  # a flagged account cannot act
    over_position_notional: bool = False  # the margin ratio divides by the position notional, also where history's code did not
    fluctuation: int | None = None  # the most a block may move the spot price, in parts of the last other block's price
    throttles: str = ""  # which liquidations `fluctuation` stops: see Gate.v1_reverts
    spread: int | None = None  # from this distance from the index on, a ratio at the index at or above maintenance prevents it
    partial: int | None = None  # the part closed where the margin ratio is above the liquidation fee ratio
    partial_by_spot: bool = False  # that comparison takes the ratio at spot instead of the better one
    backstop: frozenset[str] | None = None  # the only accounts that may close a position that leaves bad debt


def sip(limited: bool = True) -> tuple[Rules, ...]:
    """SIP-2005: flagged by V1's ratio, which isolates the two limits, and by the index; each without and with unflagging.

    SIP-2005 never lifts a flag. Unflagging on recovery is not part of it: the two readings with it show what the difference costs.
    """
    return tuple(
        Rules(f"{SIP} flag={flag}{' unflag' if unflags else ''}", flag, limited, unflags, freezes=True)
        for flag in ("v1", "index")
        for unflags in (False, True)
    )


V1 = ("v1-february", "v1-spread", "v1-partial", "v1-block-fluctuation", "v1-backstop")
NAMES = (SIP, *V1)


def rules_named(name: str, incident: Incident) -> tuple[Rules, ...]:
    """The rules of a name. InputError for an unknown name, and for a setting that the rules need and [guards] does not state."""
    if name == SIP:
        return sip()
    if name not in V1:
        raise refusal(f"--rules {name}", f"No rules have the name '{name}'.", near_miss(name, NAMES))
    guards = incident.guards

    def setting(key: str) -> int:
        value = getattr(guards, key)
        if value is None:
            what = f"The rules {name} need {key}, which {incident.name}.toml does not state."
            raise refusal(f"--rules {name}", what, f"Add {key} and its source to [guards].")
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
    return (replace(rules, name=V1[4], partial_by_spot=True, backstop=frozenset(guards.backstop_providers)),)  # 37e15a1, 2022-01-27
