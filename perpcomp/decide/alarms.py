"""Plausibility alarms on the formula or rule that pays: more than the loss, more than the notional, too large a share of all.

A payee that is a contract, or an address that nobody can be paid at, has a finding of its own (payees.py).
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import polars as pl

from perpcomp.decide.compare import worth
from perpcomp.entitlement import compensated, per_trader
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted, in_full
from perpcomp.owed import Due
from perpcomp.systems.units import units

NAMED = 3  # so many traders are named in a finding


def alarms(due: Due, liquidations: pl.DataFrame, incident: Incident) -> list[Finding]:
    """A warning for each kind of alarm, with the traders whose case is the worst; nothing where the incident states no [alarms]."""
    if incident.alarms is None:
        return []
    eligible = liquidations.filter("eligible")
    lost = worth(liquidations)
    opened = per_trader(eligible.get_column("trader"), compensated(eligible.get_column("open_notional_at_reference"), eligible))
    paid = {trader: Fraction(one.known) for trader, one in due.owed.items() if not one.unknown}
    total = sum(paid.values(), Fraction(0))
    losses = {trader: Fraction(max(0, lost[trader].known)) for trader in paid if trader in lost and not lost[trader].unknown}
    notionals = {trader: Fraction(opened[trader].known) for trader in paid if trader in opened and not opened[trader].unknown}
    limit, stated = incident.alarms.largest_share, incident.alarms.largest_share * total
    found = []
    for code, words, bounds in (
        ("paid-above-loss", "more than was lost at the reference price", losses),
        ("paid-above-notional", "more than the open notional of the positions", notionals),
        ("paid-above-share", f"more than {limit} of all, which is {in_full(int(stated))}", dict.fromkeys(paid, stated)),
    ):
        above = [(paid[trader] - bound, trader, bound) for trader, bound in bounds.items() if paid[trader] > bound]
        if above:
            found.append(_finding(code, words, sorted(above, key=lambda case: (-case[0], case[1])), paid, incident))
    return found


def _finding(
    code: str, words: str, above: Sequence[tuple[Fraction, str, Fraction]], paid: dict[str, Fraction], incident: Incident
) -> Finding:
    quote = units(incident).quote
    named: Iterable[str] = (
        f"{trader} gets {in_full(int(paid[trader]))} {quote} against {in_full(int(bound))}" for _, trader, bound in above[:NAMED]
    )
    gets = f"{counted(len(above), 'trader')} {'gets' if len(above) == 1 else 'get'}"
    what = f"{gets} {words}: {'; '.join(named)}{'; …' if len(above) > NAMED else ''}."
    assert incident.alarms is not None
    advice = f"Explain them before the vote (`perpcomp explain ADDRESS`), or choose another rule. [alarms] states this ({', '.join(incident.alarms.source)})."
    return Finding("warning", "3-payouts.csv", what, advice, code=code)
