"""Who prefers which option: by pairs, as a matrix, and whether one beats all others or they go in a ring; and who gains and loses."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.decide.field import Field, Option, sum_where
from perpcomp.tables.decide import DIFFERENCES, PREFERENCES
from perpcomp.tables.schema import check, frame_of


class Pair(Struct, frozen=True):
    """How many traders get more under an option than under another, less, or the same; and the money moved each way (1e-18, exact).

    `moved` is what those who prefer it get more under it, `moved_back` what the others get more under the other one.
    """

    more: int
    less: int
    same: int
    moved: Fraction
    moved_back: Fraction


class Condorcet(Struct, frozen=True):
    """The option that beats every other by a majority of traders; or the rings of majorities; or neither, where there are ties."""

    winner: str | None
    rings: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        if self.winner is not None:
            return f"{self.winner} beats every other formula that may be paid: more traders get more under it than less, against each."
        if self.rings:
            rings = "; ".join(" beats ".join((*ring, ring[0])) for ring in self.rings)
            return f"No formula beats all others. They beat each other in a ring, so the order of votes decides: {rings}."
        return "No formula beats all others, because some pairs are tied."


Matrix = Mapping[tuple[str, str], Pair]


def matrix(field: Field) -> dict[tuple[str, str], Pair]:
    """(option, other) -> their pair, for every two options in both directions."""
    pairs: dict[tuple[str, str], Pair] = {}
    for (n, m), (up, down) in field.better.items():
        one, other = field.options[n], field.options[m]
        both, more, less = (int(which.sum()) for which in (one.is_known & other.is_known, up, down))
        gained = sum_where(one, up) - sum_where(other, up)
        lost = sum_where(other, down) - sum_where(one, down)
        pairs[one.name, other.name] = Pair(more, less, both - more - less, gained, lost)
        pairs[other.name, one.name] = Pair(less, more, both - more - less, lost, gained)
    return pairs


def condorcet(pairs: Matrix, names: Sequence[str]) -> Condorcet:
    """Whether one of these options beats all others. Options that are in a ring with each other are listed by name."""
    beats = {name: {other for other in names if other != name and pairs[name, other].more > pairs[name, other].less} for name in names}
    for name in names:
        if len(beats[name]) == len(names) - 1:
            return Condorcet(name)
    return Condorcet(None, tuple(_rings(beats, names)))


def _rings(beats: Mapping[str, set[str]], names: Sequence[str]) -> list[tuple[str, ...]]:
    """For each group of options that reach each other by majorities: one shortest ring through its first, in the order of beating."""
    rings, seen = list[tuple[str, ...]](), set[str]()
    for start in names:
        if start in seen:
            continue
        paths: dict[str, tuple[str, ...]] = {start: (start,)}
        here = [start]
        found: tuple[str, ...] | None = None
        while here and found is None:
            following = []
            for name in here:
                if start in beats[name]:
                    found = paths[name]
                    break
                for other in sorted(beats[name] - paths.keys()):
                    paths[other] = (*paths[name], other)
                    following.append(other)
            here = following
        if found is not None:
            rings.append(found)
            seen |= set(found)
    return rings


def table(pairs: Matrix) -> pl.DataFrame:
    """The preferences table. Money is cut to whole 1e-18."""
    rows = [
        {
            "option": name,
            "other": other,
            "prefer": pair.more,
            "prefer_other": pair.less,
            "indifferent": pair.same,
            "money_moved": int(pair.moved),
            "money_moved_back": int(pair.moved_back),
        }
        for (name, other), pair in sorted(pairs.items())
    ]
    return check(frame_of(rows, PREFERENCES), PREFERENCES)


def differences(field: Field, chosen: str) -> pl.DataFrame:
    """The differences table: what every other option gives each trader, less what the chosen one gives; empty where that is not compared."""
    base = next((one for one in field.options if one.name == chosen), None)
    found, traders = [DIFFERENCES.empty()], pl.Series("trader", field.traders, dtype=pl.String)
    for one in field.options if base is not None else ():
        if base is not None and one is not base:
            cut, exact = _apart(one, base)
            rows = pl.DataFrame({"trader": traders, "difference": cut.reinterpret(dtype=fixed.AMOUNT), "exact": exact})
            known = rows.filter(base.is_known & one.is_known)
            found.append(known.select(pl.lit(one.name).alias("option"), *rows.columns))
    return check(pl.concat(found), DIFFERENCES)


def _apart(one: Option, base: Option) -> tuple[pl.Series, pl.Series]:
    """What one option gives each trader less what another one gives: cut to whole 1e-18, and exact as text."""
    whole = one.amounts.denominator == base.amounts.denominator == 1
    if whole and max(fixed.largest(one.whole), fixed.largest(base.whole)) < fixed.LIMIT // 2:
        difference = one.whole - base.whole  # below the limit of Int128, beyond which Polars wraps
        return difference, difference.cast(pl.String)
    differences = [one.amounts[n] - base.amounts[n] for n in range(len(one.amounts))]
    return pl.Series([int(value) for value in differences], dtype=pl.Int128), pl.Series([*map(str, differences)], dtype=pl.String)


def pairs_of(preferences: pl.DataFrame) -> Matrix:
    """The pairs of a preferences table, its money cut as there."""
    amounts = (fixed.to_integers(preferences.get_column(name)) for name in ("money_moved", "money_moved_back"))
    counts = preferences.select("option", "other", "prefer", "prefer_other", "indifferent").iter_rows()
    return {
        (option, other): Pair(more, less, same, Fraction(moved or 0), Fraction(back or 0))
        for (option, other, more, less, same), moved, back in zip(counts, *amounts, strict=True)
    }


def winner(preferences: pl.DataFrame, elections: pl.DataFrame) -> Condorcet:
    """The winner or the rings among what may be paid, from the published tables."""
    return condorcet(pairs_of(preferences), elections.get_column("option").unique().sort().to_list())
