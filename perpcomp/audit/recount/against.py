"""Two published lists against each other, or a list against the payouts of a run: who is in one only, and whose amounts differ by how much."""

from collections.abc import Sequence
from dataclasses import dataclass

from perpcomp.audit.recount.listing import Column, Listing
from perpcomp.audit.recount.numbers import shown
from perpcomp.findings import Finding, near_miss, refusal
from perpcomp.number_text import counted


@dataclass(frozen=True)
class Amounts:
    """What one list pays each (address, token), in integers of 10**-places. Without a column of tokens, the token is ""."""

    name: str
    column: str
    places: int
    paid: dict[tuple[str, str], int]


@dataclass(frozen=True)
class Against:
    """One address (and token) whose amounts differ; None where a list does not have it. All are integers of 10**-places."""

    address: str
    token: str
    here: int | None
    there: int | None

    @property
    def by(self) -> int:
        return (self.here or 0) - (self.there or 0)


def amounts_of(listing: Listing, column: str | None, decimals: int, token: str | None) -> Amounts:
    """The amounts of a list by address. Rows of one address, such as its tranches, are added up. Base units become tokens by `decimals`."""
    chosen = _column(listing, column)
    paid: dict[tuple[str, str], int] = {}
    for n in listing.of_token(token):
        key = (listing.keys[n][0], listing.tokens[n])
        paid[key] = paid.get(key, 0) + (chosen.values[n] or 0)
    return Amounts(listing.name, chosen.name, chosen.places or decimals, paid)


def _column(listing: Listing, name: str | None) -> Column:
    if name is None and len(listing.columns) > 1:
        names = ", ".join(listing.columns)
        raise refusal("--column", f"{listing.name} has several columns of numbers: {names}.", "Say which one is paid with --column.")
    if name is not None and name not in listing.columns:
        raise refusal("--column", f"{listing.name} has no column of numbers {name!r}.", near_miss(name, listing.columns))
    return next(iter(listing.columns.values())) if name is None else listing.columns[name]


def differences(here: Amounts, there: Amounts) -> tuple[list[Against], int]:
    """Every (address, token) whose amounts differ, largest difference first, and the places of their integers.

    Where one of the lists names no tokens, it is compared with the one token of the other. InputError where the other has several.
    """
    places = max(here.places, there.places)
    ours, theirs = _one_token(here, there), _one_token(there, here)
    scaled = [{key: amount * 10 ** (places - one.places) for key, amount in paid.items()} for one, paid in ((here, ours), (there, theirs))]
    rows = [Against(*key, scaled[0].get(key), scaled[1].get(key)) for key in sorted({*ours, *theirs})]
    return sorted((row for row in rows if row.here != row.there), key=lambda row: (-abs(row.by), row.address)), places


def _one_token(one: Amounts, other: Amounts) -> dict[tuple[str, str], int]:
    tokens = {token for _, token in one.paid if token}
    if not tokens or {token for _, token in other.paid if token}:
        return one.paid
    if len(tokens) > 1:
        what = f"{one.name} lists several tokens, {', '.join(sorted(tokens))}, and {other.name} names none."
        raise refusal("--token", what, "Say which is meant with --token.")
    return {(address, ""): amount for (address, _), amount in one.paid.items()}


def findings(here: Amounts, there: Amounts, rows: Sequence[Against], places: int) -> list[Finding]:
    """A note where the lists are equal; else one error for each way in which they differ, with the largest difference in units."""
    total = len({*here.paid})
    if not rows:
        return [Finding("note", here.name, f"All {counted(total, 'amount')} are those of {there.name}.", "Nothing.", code="lists-equal")]
    found = []
    only_here, only_there = ([row for row in rows if getattr(row, side) is None] for side in ("there", "here"))
    for only, name, other in ((only_here, here.name, there.name), (only_there, there.name, here.name)):
        if only:
            worth = shown(sum(abs(row.by) for row in only), places)
            listed = ", ".join(row.address for row in only[:3]) + (f" and {len(only) - 3} more" if len(only) > 3 else "")
            what = f"{counted(len(only), 'payee')} of {name} {'is' if len(only) == 1 else 'are'} not in {other}: {listed}; {worth} in all."
            found.append(Finding("error", name, what, "Find out who was left out, or added.", code="only-in-one"))
    both = [row for row in rows if row.here is not None and row.there is not None]
    if both:
        largest = both[0]
        what = (
            f"{counted(len(both), 'amount')} of {total:,} differ from {there.name}. The largest difference is {abs(largest.by):,} units"
            f" of 10**-{places}: {largest.address} gets {shown(largest.here or 0, places)}, and {shown(largest.there or 0, places)} there."
        )
        if any(
            all((row.here or 0) * up == (row.there or 0) * down for row in both) for n in (6, 18) for up, down in ((1, 10**n), (10**n, 1))
        ):
            what += " One list is in tokens, the other in base units: say how many with --decimals."
        found.append(Finding("error", here.name, what, "Find out which rule or input differs.", code="amounts-differ"))
    return found
