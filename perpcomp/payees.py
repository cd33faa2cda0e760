"""Who is paid: from traders to payees by the incident's map, what stands at a payee's address, and which addresses nobody may pay."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from perpcomp import fixed
from perpcomp.entitlement import Entitlement, Sums, part_of
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.incident.lists import CONTRACT, SAFE
from perpcomp.incident.payees import Payee
from perpcomp.number_text import counted, in_full
from perpcomp.systems.units import units
from perpcomp.tables.payouts import PAYEES, REDIRECTED
from perpcomp.tables.schema import check, frame_of

NAMED = 20  # so many addresses are named in a finding
NOT_CHECKED = "not-checked"
PAID_FOR = {"payee": pl.String, "trader": pl.String}  # who is paid for whom
UNPAYABLE = "unpayable: "  # how the reason of such a row begins
IS_CONTRACT = "payee-is-contract"

# No key gives an address with 12 zero bytes in a row: 2**96 keys would have to be tried. Precompiles, predeploys and burn addresses are so.
_NO_KEY = "0" * 24
_BURN = re.compile(r"dead0{8}.*|.*0{8}dead|(dead){4}.*|.*(dead){4}|(deadbeef){5}|f{40}|e{40}")
_DOUBTFUL = "0{8}|dead|f{40}|e{40}"  # every address of these rules has one of these


class Part(NamedTuple):
    """What one payee is paid for one trader. `entry` is the line of the payee map that says so; None: the trader is paid."""

    trader: str
    payee: str
    entitlement: Entitlement
    entry: Payee | None = None


def parts(owed: Mapping[str, Entitlement], incident: Incident) -> list[Part]:
    """Every trader's entitlement as parts of its payees. Shares of what a formula gives are cut to whole 1e-18 of the quote asset; the last payee of a trader takes the rest."""
    entries: dict[str, list[Payee]] = {}
    for one in incident.payees:
        entries.setdefault(one.account, []).append(one)
    found = []
    for trader, own in owed.items():
        if trader not in entries:
            found.append(Part(trader, trader, own))
            continue
        *first, last = entries[trader]
        amounts = [part_of(own.known, entry.share) for entry in first]
        for entry, amount in zip((*first, last), (*amounts, own.known - sum(amounts)), strict=True):
            found.append(Part(trader, entry.to, own._replace(known=amount), entry))
    return found


def per_payee(paid_for: Iterable[Part]) -> dict[str, Entitlement]:
    """Payee -> the sum of its parts, sorted by address."""
    own: dict[str, list[Entitlement]] = {}
    for part in paid_for:
        own.setdefault(part.payee, []).append(part.entitlement)
    return {payee: parts[0] if len(parts) == 1 else _sum(parts) for payee, parts in sorted(own.items())}


def _sum(parts: Sequence[Entitlement]) -> Entitlement:
    return Entitlement(
        sum(part.known for part in parts),
        sum(part.unknown for part in parts),
        sum(part.liquidations for part in parts),
        sum(part.taken_off for part in parts),
        sum(changes) if (changes := [part.adjusted for part in parts if part.adjusted is not None]) else None,
    )


def contracts(incident: Incident, liquidations: pl.DataFrame) -> dict[str, str]:
    """Address -> what it is, of every contract that the incident or its input names. `liquidations` is the published table."""
    return dict.fromkeys(liquidations.get_column("market").unique(), "a market of the input") | incident.contracts


def why_unpayable(address: str, named: Mapping[str, str]) -> str | None:
    """Why nobody may pay this address; None for an account. `named` are the contracts of the incident and its input."""
    digits = address[2:]
    if not digits.strip("0"):
        return "the zero address"
    if address in named:
        return named[address]
    if _NO_KEY in digits:
        return "a precompile or burn address without a key"
    if _BURN.fullmatch(digits):
        return "a burn address without a key"
    return None


def unpayable(payees: Iterable[str], named: Mapping[str, str]) -> dict[str, str]:
    """Payee -> why nobody may pay it, of the payees that are none or no account. `named` are the contracts of the incident and its input."""
    payees = pl.Series([*payees], dtype=pl.String)
    doubtful = payees.filter(payees.str.contains(_DOUBTFUL) | payees.is_in([*named]))  # of 100,000 a hundred, in a tenth of the time
    return {payee: why for payee in doubtful if (why := why_unpayable(payee, named)) is not None}


def table(payouts: pl.DataFrame, paid_for: pl.DataFrame, unpayable: Mapping[str, str], kinds: Mapping[str, str]) -> pl.DataFrame:
    """The payees table: who receives how much. `paid_for` has PAID_FOR, `unpayable` says why an address cannot be paid, `kinds` what
    stands at an address on the chain that pays, as far as it is known.
    """
    payee, nothing = pl.col("payee"), pl.lit(0, dtype=pl.Int128).reinterpret(dtype=fixed.AMOUNT)
    reason = payee.replace_strict(
        {address: f"{UNPAYABLE}{why}" for address, why in unpayable.items()}, default=None, return_dtype=pl.String
    )
    rows = (
        payouts.rename({"trader": "payee"})
        .join(
            paid_for.unique().group_by("payee").agg(pl.len().cast(pl.Int64).alias("traders")),
            on="payee",
            how="left",
            maintain_order="left",
        )
        .with_columns(
            _account_kind(kinds),
            reason.is_null().alias("payable"),
            pl.when(reason.is_null()).then(nothing).otherwise("value").alias("unpayable"),
            pl.coalesce(reason, "reason").alias("reason"),
        )
    )
    return check(rows.select(*PAYEES.schema), PAYEES)


def with_kinds(payees: pl.DataFrame, kinds: Mapping[str, str]) -> pl.DataFrame:
    """The payees table with what stands at each address."""
    return check(payees.with_columns(_account_kind(kinds)), PAYEES)


def _account_kind(kinds: Mapping[str, str]) -> pl.Expr:
    return pl.col("payee").replace_strict(dict(kinds), default=NOT_CHECKED, return_dtype=pl.String).alias("account_kind")


def redirected(paid_for: Iterable[Part]) -> pl.DataFrame:
    """The redirected table: each trader for whom the payee map names somebody, and what is paid to whom."""
    rows = [
        {
            "trader": part.trader,
            "payee": part.payee,
            "share": str(part.entry.share),
            "entitlement": int(part.entitlement.known),
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
        what = f"{payee} is owed {in_full(amount)} {units(incident).paid} and is not paid: it is {reason.removeprefix(UNPAYABLE)}."
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
    received, file, quote = incident.received_by, f"{incident.name}.toml [[received]]", units(incident).quote
    found = []
    if taken := [] if isinstance(owed, Sums) else [own.taken_off for own in owed.values() if own.taken_off]:
        what = (
            f"{counted(len(taken), 'trader')} received {in_full(int(sum(taken)))} {quote} already, which is taken off what they are owed."
        )
        found.append(Finding("note", file, what, "Nothing.", code="already-received"))
    for trader in sorted(received):
        if trader not in owed:
            what = f"{trader} is not compensated in this run, but is stated to have received {in_full(received[trader])} {quote}."
            advice = "Check the address against 2-liquidations.csv: with a wrong digit, nothing is taken off."
            found.append(Finding("warning", file, what, advice, code="received-unused"))
        elif received[trader] > owed[trader].taken_off:
            left = received[trader] - int(owed[trader].taken_off)
            what = f"{trader} received {in_full(received[trader])} {quote}, {in_full(left)} {quote} more than it is owed by this formula."
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
