"""Adding up a published table again: what its rows come to, and whatever contradicts the table itself or what was said of it."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations

from perpcomp.audit.recount import rounding
from perpcomp.audit.recount.listing import Column, Listing
from perpcomp.audit.recount.numbers import Stated, in_units, met, shown
from perpcomp.findings import Finding, near_miss, refusal
from perpcomp.number_text import counted
from perpcomp.payees import why_unpayable

SHARES = re.compile(r"(^|[^a-z])(shares?|ppm|bps)([^a-z]|$)", re.IGNORECASE)
WHOLES = {"1": 0, "100": 2, "10,000 bps": 4, "1,000,000 ppm": 6}  # what shares add up to -> its power of ten


@dataclass(frozen=True)
class Asked:
    """What was said of the table elsewhere: totals and pots by column, how many rows, and the decimals of columns of base units."""

    totals: Sequence[tuple[str, Stated]] = ()
    pots: Sequence[tuple[str, Stated]] = ()
    count: int | None = None
    decimals: int = 0
    token: str | None = None


@dataclass(frozen=True)
class Recount:
    """A table added up: (column, token, rows, sum as text) each, and the findings."""

    sums: Sequence[tuple[str, str, int, str]]
    findings: Sequence[Finding] = field(default=())


def check(listing: Listing, asked: Asked) -> Recount:
    """The sums and every finding. InputError where a column or token that was named is not in the table."""
    tokens = sorted({one for one in listing.tokens if one})
    if asked.token is not None and asked.token not in tokens:
        raise refusal("--token", f"{listing.name} has no token {asked.token!r}.", near_miss(asked.token, tokens))
    sums = [
        (name, token, len(listing.of_token(token)), shown(_sum(listing, column, token), column.places, asked.decimals))
        for name, column in listing.columns.items()
        for token in ([asked.token] if asked.token else tokens) or [""]
    ]
    findings = [
        *listing.problems,
        *_addresses(listing),
        *_rows(listing, asked),
        *_stated_in_the_table(listing, asked),
        *(one for name, stated in asked.totals for one in _total(listing, name, stated, asked)),
        *(one for name, stated in asked.pots for one in _pot(listing, name, stated, asked)),
        *(one for column in listing.columns.values() for one in _column(listing, column)),
        *_rules(listing),
    ]
    return Recount(sums, findings)


def _sum(listing: Listing, column: Column, token: str | None) -> int:
    return sum(column.values[n] or 0 for n in listing.of_token(token or None))


def _named(listing: Listing, name: str, option: str, asked: Asked) -> tuple[Column, int]:
    """The column that an option names, and its sum in the one token that is meant."""
    if name not in listing.columns:
        raise refusal(option, f"{listing.name} has no column of numbers {name!r}.", near_miss(name, listing.columns))
    tokens = sorted({one for one in listing.tokens if one})
    if asked.token is None and len(tokens) > 1:
        raise refusal(option, f"{listing.name} lists several tokens: {', '.join(tokens)}.", "Say which is meant with --token.")
    column = listing.columns[name]
    return column, _sum(listing, column, asked.token)


def _total(listing: Listing, name: str, stated: Stated, asked: Asked) -> Iterator[Finding]:
    """What was said that a column adds up to, against its rows. A total is met where the sum rounds or cuts to its places."""
    column, total = _named(listing, name, "--total", asked)
    said, found = in_units(stated, column.places, asked.decimals), shown(total, column.places, asked.decimals)
    where = f"{listing.name} {name}"
    if met(total, stated, column.places, asked.decimals):
        yield Finding("note", where, f"The rows add up to {found}, and {stated.text} is stated.", "Nothing.", code="total-met")
    else:
        by = shown(abs(total - said), column.places, asked.decimals)
        what = f"The rows add up to {found}, but {stated.text} is stated: the rows have {by} {'more' if total > said else 'less'}."
        yield Finding("error", where, what, "Ask its author which is right before anybody is paid.", code="total-differs")


def _pot(listing: Listing, name: str, stated: Stated, asked: Asked) -> Iterator[Finding]:
    """A column against the pot that it shares."""
    column, total = _named(listing, name, "--pot", asked)
    pot, where = in_units(stated, column.places, asked.decimals), f"{listing.name} {name}"
    found, by = shown(total, column.places, asked.decimals), shown(abs(total - pot), column.places, asked.decimals)
    if total <= pot:
        what = f"The rows add up to {found} of the pot of {stated.text}; {by} of it are left."
        yield Finding("note", where, what, "Nothing.", code="pot-enough")
        return
    what = f"The rows add up to {found}, which is {by} above the pot of {stated.text}: the last to claim find too little."
    for other in listing.columns.values():
        rule = None if other is column else _rule(column, other)
        if rule is not None and pot:
            low, high = pot / rule.high, pot / rule.low
            middle, weights = round((low + high) / 2), sum(other.known)
            divisor = ("" if high - low <= 2 else "about ") + shown(middle, other.places, asked.decimals)
            what += (
                f" Each row is {other.name} * {stated.text} / {divisor}, {rule.mode}; but {other.name} adds up to"
                f" {shown(weights, other.places, asked.decimals)}, so the divisor is wrong by"
                f" {shown(abs(weights - middle), other.places, asked.decimals)}."
            )
            break
    yield Finding("error", where, what, "Correct the divisor or the pot, and compute every row again.", code="pot-exceeded")


def _addresses(listing: Listing) -> Iterator[Finding]:
    for number, (address, *_) in zip(listing.numbers, listing.keys, strict=True):
        if address.startswith("0x") and (why := why_unpayable(address, {})) is not None:
            what = f"{address} is {why}: nobody can move what it is paid."
            yield Finding("error", f"{listing.name} row {number}", what, "Find out who is meant.", code="unpayable")


def _rows(listing: Listing, asked: Asked) -> Iterator[Finding]:
    rows, addresses = len(listing.of_token(asked.token)), len({key[0] for key in listing.keys})
    if asked.count is not None and asked.count not in (addresses, rows):
        held = counted(rows, "row")
        what = f"The table has {held} of {addresses:,} addresses, but {asked.count:,} are stated."
        yield Finding("error", listing.name, what, "Find out who was added or left out.", code="count-differs")


def _stated_in_the_table(listing: Listing, asked: Asked) -> Iterator[Finding]:
    """The table's own rows of totals."""
    for number, values in listing.stated:
        for name, value in values.items():
            total, places = _sum(listing, listing.columns[name], None), listing.columns[name].places
            if total != value:
                what = f"{name} is {shown(value, places, asked.decimals)}, but the rows add up to {shown(total, places, asked.decimals)}."
                advice = "Find out which row was changed after the total was written."
                yield Finding("error", f"{listing.name} row {number}", what, advice, code="total-row-differs")


def _column(listing: Listing, column: Column) -> Iterator[Finding]:
    where = f"{listing.name} {column.name}"
    negative = [number for number, value in zip(listing.numbers, column.values, strict=True) if value is not None and value < 0]
    if negative:
        what = f"{counted(len(negative), 'amount')} {'is' if len(negative) == 1 else 'are'} below 0, first in row {negative[0]}."
        yield Finding("error", where, what, "Nobody can be paid less than 0: find out what is meant.", code="negative")
    if SHARES.search(column.name) and not column.name.lower().startswith("per") and len(column.known) > 1:
        yield from _shares(listing, column)
    if column.places == 0:
        long, exact, by_chance = rounding.are_doubles(column.known)
        if exact > rounding.FEWEST and exact > 10 * (by_chance + 1):
            every = exact == long
            largest = max(column.known).bit_length() - 54
            what = (
                f"{'All' if every else f'{exact:,} of'} {long:,} long amounts are exact binary doubles; by chance"
                f" {'none would be' if by_chance < 1 else f'about {round(by_chance):,} would be'}. They went through a program that"
                f" counts in floats, which changes an amount by up to {2**largest:,} units."
            )
            advice = "Compute the amounts again in integers, or say that the last digits mean nothing."
            yield Finding("error" if every else "warning", where, what, advice, code="floats")
    elif rounding.are_texts_of_doubles(column.known, column.places):
        what = "Each number is the shortest text of a binary double: it has at most 17 digits of what was computed."
        yield Finding("warning", where, what, "Pay from a column of whole base units, if there is one.", code="float-texts")


def _shares(listing: Listing, column: Column) -> Iterator[Finding]:
    """Shares that must add up to 1: or 100, 10,000 or 1,000,000, whichever is nearest."""
    one = 10**column.places
    for token in sorted(set(listing.tokens)):
        rows = listing.of_token(token or None)
        total = sum(column.values[n] or 0 for n in rows)
        word, whole = min(((word, one * 10**power) for word, power in WHOLES.items()), key=lambda near: abs(near[1] - total) / near[1])
        if total == whole or not total:
            continue
        by, cut = shown(abs(total - whole), column.places), abs(total - whole) <= len(rows)
        what = f"The shares{f' of {token}' if token else ''} add up to {shown(total, column.places)}, {by} {'less' if total < whole else 'more'} than {word}."
        if cut:
            what += " No more than cutting each row's last place explains."
        advice = "Name who gets the rest." if total < whole else "More is promised than there is: correct the shares."
        yield Finding("warning" if cut and total < whole else "error", f"{listing.name} {column.name}", what, advice, code="shares")


def _rule(derived: Column, source: Column) -> rounding.Rule | None:
    rows = [(d, s) for d, s in zip(derived.values, source.values, strict=True) if d is not None and s is not None]
    return rounding.recognise([d for d, _ in rows], [s for _, s in rows])


def _rules(listing: Listing) -> Iterator[Finding]:
    """How columns were made out of each other: a note for each column of which the numbers say it."""
    rest: list[Column] = []
    for column in listing.columns.values():
        twin = next((one for one in rest if (one.places, one.values) == (column.places, column.values) and any(column.known)), None)
        if twin is None:
            rest.append(column)
        else:
            yield Finding("note", listing.name, f"{column.name} and {twin.name} are equal in every row.", "Nothing.", code="rounding")
    made: dict[str, tuple[rounding.Rule, Column, Column]] = {}
    for one, other in combinations(rest, 2):
        found = [(rule, d, s) for d, s in ((one, other), (other, one)) if (rule := _rule(d, s)) is not None]
        if found:
            best = min(found, key=lambda each: each[0].width)
            made[best[1].name] = min(best, made.get(best[1].name, best), key=lambda each: each[0].width)
            continue
        for d, s in ((one, other), (other, one)):
            rows = [(a, b) for a, b in zip(d.values, s.values, strict=True) if a is not None and b is not None]
            if d.places and not s.places and (n := rounding.same_number([a for a, _ in rows], d.places, [b for _, b in rows])) is not None:
                yield _lost(listing, d, s, n)
    for rule, d, s in made.values():
        made_of = f"{s.name} {rule.factor(s.places - d.places)}".rstrip()
        what = f"{d.name} is {made_of}, {rule.mode}, in every row."
        yield Finding("note", listing.name, what, "Nothing.", code="rounding")


def _lost(listing: Listing, derived: Column, source: Column, n: int) -> Finding:
    """What a column with decimals has lost of the column of base units that it shows."""
    rows = zip(listing.numbers, derived.values, source.values, strict=True)
    lost = [(abs(Fraction(d * 10**n, 10**derived.places) - s), number) for number, d, s in rows if d is not None and s is not None]
    largest, number = max(lost, key=lambda each: each[0])
    changed = sum(by > 0 for by, _ in lost)
    what = (
        f"{derived.name} is {source.name} / 10**{n} with digits lost: it differs in {changed:,} of {counted(len(lost), 'row')},"
        f" most in row {number}, by {math.ceil(largest):,} units."
    )
    return Finding("note", listing.name, what, f"Pay from {source.name}.", code="rounding")
