"""Who is paid: from traders to payees by the incident's map, what stands at a payee's address, and which addresses nobody may pay."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from perpcomp import fixed
from perpcomp.entitlement import Entitlement
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.incident.lists import CONTRACT, SAFE
from perpcomp.incident.payees import Payee
from perpcomp.number_text import counted, in_full
from perpcomp.tables.payouts import PAYEES, REDIRECTED
from perpcomp.tables.schema import check, frame_of

NAMED = 20  # so many addresses are named in a finding
NOT_CHECKED = "not-checked"
UNPAYABLE = "unpayable: "  # how the reason of such a row begins
IS_CONTRACT = "payee-is-contract"

# No key gives an address with 12 zero bytes in a row: 2**96 keys would have to be tried. Precompiles, predeploys and burn addresses are so.
_NO_KEY = "0" * 24
_BURN = re.compile(r"dead0{8}.*|.*0{8}dead|(dead){4}.*|.*(dead){4}|(deadbeef){5}|f{40}|e{40}")


@dataclass(frozen=True)
class Part:
    """What one payee is paid for one trader. `entry` is the line of the payee map that says so; None: the trader is paid."""

    trader: str
    payee: str
    entitlement: Entitlement
    entry: Payee | None = None


def parts(owed: Mapping[str, Entitlement], incident: Incident) -> list[Part]:
    """Every trader's entitlement as parts of its payees. Shares are cut to whole 1e-18 USDC; the last payee of a trader takes the rest."""
    entries: dict[str, list[Payee]] = {}
    for one in incident.payees:
        entries.setdefault(one.account, []).append(one)
    found = []
    for trader, own in owed.items():
        if trader not in entries:
            found.append(Part(trader, trader, own))
            continue
        *first, last = entries[trader]
        amounts = [own.known * entry.share.numerator // entry.share.denominator for entry in first]
        for entry, amount in zip((*first, last), (*amounts, own.known - sum(amounts)), strict=True):
            found.append(Part(trader, entry.to, replace(own, known=amount), entry))
    return found


def per_payee(paid_for: Iterable[Part]) -> dict[str, Entitlement]:
    """Payee -> the sum of its parts, sorted by address."""
    sums: dict[str, Entitlement] = {}
    for part in paid_for:
        one, more = sums.get(part.payee, Entitlement(0, 0, 0)), part.entitlement
        sums[part.payee] = Entitlement(
            one.known + more.known,
            one.unknown + more.unknown,
            one.liquidations + more.liquidations,
            one.taken_off + more.taken_off,
        )
    return dict(sorted(sums.items()))


def contracts(incident: Incident, liquidations: pl.DataFrame) -> dict[str, str]:
    """Address -> what it is, of every contract that the incident or its input names. `liquidations` is the published table."""
    return dict.fromkeys(liquidations.get_column("market").unique(), "a market of the input") | incident.contracts


def why_unpayable(address: str, named: Mapping[str, str]) -> str | None:
    """Why nobody may pay this address; None for an account. `named` are the contracts of the incident and its input."""
    digits = address[2:]
    if not int(digits, 16):
        return "the zero address"
    if address in named:
        return named[address]
    if _NO_KEY in digits:
        return "a precompile or burn address without a key"
    if _BURN.fullmatch(digits):
        return "a burn address without a key"
    return None


def table(payouts: pl.DataFrame, paid_for: Iterable[Part], named: Mapping[str, str], kinds: Mapping[str, str]) -> pl.DataFrame:
    """The payees table: who receives how much. `kinds` says what stands at an address on the chain that pays, as far as it is known."""
    traders: dict[str, set[str]] = {}
    for part in paid_for:
        traders.setdefault(part.payee, set()).add(part.trader)
    rows = []
    for row in payouts.iter_rows(named=True):
        payee, reason = row["trader"], why_unpayable(row["trader"], named)
        value = fixed.to_integer(row["value"])
        rows.append(
            {
                "payee": payee,
                "token": row["token"],
                "traders": len(traders[payee]),
                "account_kind": kinds.get(payee, NOT_CHECKED),
                "payable": reason is None,
                "value": value,
                "amount": fixed.to_integer(row["amount"]),
                "amount_base_units": row["amount_base_units"],
                "unpayable": value if reason else 0,
                "rounded_off": fixed.to_integer(row["rounded_off"]),
                "reason": f"{UNPAYABLE}{reason}" if reason else row["reason"],
            }
        )
    return check(frame_of(rows, PAYEES), PAYEES)


def with_kinds(payees: pl.DataFrame, kinds: Mapping[str, str]) -> pl.DataFrame:
    """The payees table with what stands at each address."""
    known = pl.col("payee").replace_strict(dict(kinds), default=NOT_CHECKED, return_dtype=pl.String)
    return check(payees.with_columns(known.alias("account_kind")), PAYEES)


def redirected(paid_for: Iterable[Part]) -> pl.DataFrame:
    """The redirected table: each trader for whom the payee map names somebody, and what is paid to whom."""
    rows = [
        {
            "trader": part.trader,
            "payee": part.payee,
            "share": str(part.entry.share),
            "entitlement": part.entitlement.known,
            "reason": part.entry.reason,
            "evidence": part.entry.evidence or None,
            "source": ", ".join(part.entry.source),
        }
        for part in paid_for
        if part.entry is not None
    ]
    return check(frame_of(rows, REDIRECTED), REDIRECTED)


def findings(payees: pl.DataFrame, incident: Incident, owed: Mapping[str, Entitlement]) -> list[Finding]:
    """An error for each address that is owed money and cannot be paid; warnings on entries of the payee map that need a look."""
    found = []
    due = (
        payees.filter(pl.col("unpayable") > 0)
        .group_by("payee", maintain_order=True)
        .agg(pl.col("unpayable").sum(), pl.col("reason").first())
    )
    mapped = {one.to: one.account for one in incident.payees}
    for payee, amount, reason in due.iter_rows():
        what = f"{payee} is owed {in_full(amount)} USDC and is not paid: it is {reason.removeprefix(UNPAYABLE)}."
        if payee in mapped:
            advice = f"The payee map names it for {mapped[payee]}: correct its payee, or let the vote decide."
        else:
            advice = (
                f'Find out whose money it is, and let the vote name a payee: [[payee]] with account = "{payee}", to, reason and source.'
            )
        found.append(Finding("error", "payee.csv", what, f"{advice} Until then the amount is unpayable.", code="unpayable"))
    found += _received(incident, owed)
    file = f"{incident.name}.toml [[payee]]"
    absent = sorted({one.account for one in incident.payees} - {*owed})
    if absent:
        what = f"{counted(len(absent), 'account')} of the payee map {'is' if len(absent) == 1 else 'are'} not compensated in this run: {_listed(absent)}."
        advice = "Check the addresses against 2-liquidations.csv and left-out.csv: a wrong digit pays the trader itself."
        found.append(Finding("warning", file, what, advice, code="payee-unused"))
    excluded = sorted({one.to for one in incident.payees} & {one.address for one in incident.eligibility.exclusions})
    if excluded:
        what = f"{counted(len(excluded), 'payee')} of the payee map {'is' if len(excluded) == 1 else 'are'} excluded as a trader: {_listed(excluded)}."
        found.append(Finding("warning", file, what, "Decide whether an excluded account may be paid for others.", code="payee-excluded"))
    return found


def _received(incident: Incident, owed: Mapping[str, Entitlement]) -> list[Finding]:
    """A note on what is taken off because it was received already; warnings where that is more than is owed, or of nobody here."""
    received, file = incident.received_by, f"{incident.name}.toml [[received]]"
    found = []
    if taken := {trader: own.taken_off for trader, own in owed.items() if own.taken_off}:
        what = (
            f"{counted(len(taken), 'trader')} received {in_full(sum(taken.values()))} USDC already, which is taken off what they are owed."
        )
        found.append(Finding("note", file, what, "Nothing.", code="already-received"))
    for trader in sorted(received):
        if trader not in owed:
            what = f"{trader} is not compensated in this run, but is stated to have received {in_full(received[trader])} USDC."
            advice = "Check the address against 2-liquidations.csv: with a wrong digit, nothing is taken off."
            found.append(Finding("warning", file, what, advice, code="received-unused"))
        elif received[trader] > owed[trader].taken_off:
            left = received[trader] - owed[trader].taken_off
            what = f"{trader} received {in_full(received[trader])} USDC, {in_full(left)} USDC more than it is owed by this formula."
            found.append(Finding("warning", file, what, "Check the amount. The trader is paid 0.", code="received-more"))
    return found


def kind_findings(payees: pl.DataFrame) -> list[Finding]:
    """A warning where payees are contracts on the chain that pays."""
    code = (
        payees.filter("payable", pl.col("account_kind").is_in([SAFE, CONTRACT])).select("payee", "account_kind").unique(maintain_order=True)
    )
    if code.is_empty():
        return []
    listed = [f"{payee} ({kind})" for payee, kind in code.iter_rows()]
    what = f"{counted(len(listed), 'payee')} {'is a contract' if len(listed) == 1 else 'are contracts'} on the chain that pays: {_listed(listed)}."
    advice = (
        "A contract may be unable to move the tokens, and the same address on another chain may belong to somebody else."
        " Ask its owner, and name another account in a [[payee]] where needed; it is paid as it stands."
    )
    return [Finding("warning", "payee.csv", what, advice, code=IS_CONTRACT)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
