"""amm-unwind: every position closed on the curve in equal slices, the smallest trader first, as if all had reduced gradually.

The order of traders is by the notional of all their positions at the reference price, ties by address. In each round everybody closes
one slice of the original size, whether or not the account is under water by then. On x * y = k a pool of base y holds k / y of quote,
so a slice moves k / y before less k / y after: nothing is rounded on the way, and a claim is cut once to whole 1e-18.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from msgspec import Struct

from perpcomp.findings import near_miss, refusal
from perpcomp.fixed import to_integer
from perpcomp.incident.rule_steps import Step
from perpcomp.number_text import counted, exact
from perpcomp.rules.allocation import pot_of, shared
from perpcomp.rules.amounts import Amounts
from perpcomp.rules.population import Population
from perpcomp.rules.standing import Result, Standing

TERMS = ("size", "open_notional", "margin", "funding", "notional")  # of each row, by these names
_GUARD = 128  # bits below 1e-18 that are carried: where they do not decide a claim's last digit, fractions do


def amm_unwind(step: Step, before: Standing) -> Result:
    """max(0, margin - funding + what closing realizes) for each trader; then the pot is shared pro rata, where there is one."""
    assert step.rounds is not None
    population = before.population
    pools = {pool.market: (to_integer(pool.quote_reserve), to_integer(pool.base_reserve)) for pool in step.pools} or population.pools
    aside = {trader for trader, unknown in zip(before.traders, before.unknown, strict=True) if unknown}
    sizes, own = _positions(population, aside)
    _check(sizes, pools, population, step)
    order = sorted((trader for trader in before.traders if trader not in aside), key=lambda trader: own[trader][1])  # stable: by address
    fetched, exactly = unwound(order, sizes, pools, step.rounds)
    claims = [0 if trader in aside else max(0, own[trader][0] + _whole(fetched[trader], exactly, trader)) for trader in before.traders]
    after = before.having(Amounts(claims))
    how = f"{counted(step.rounds, 'round')} of {counted(len(order), 'trader')}"
    if step.pot is None:
        return Result(after, how=how)
    given = shared(after, after.amounts, pot_of(step, before))
    return Result(given.standing, left_over=given.left_over, how=f"{how}, {given.how}")


Sizes = Mapping[str, Mapping[str, int]]  # trader -> market -> signed size
Pools = Mapping[str, tuple[int, int]]  # market -> reserves of quote and base
Low = tuple[int, int]  # a sum over 2**_GUARD that is at most so many units too low or too high


def unwound(order: Sequence[str], sizes: Sizes, pools: Pools, rounds: int) -> tuple[dict[str, Low], "_Exact"]:
    """What each trader fetches (pays: below 0) in 1e-18 * 2**-_GUARD, with its error; and the same in fractions on demand."""
    held = {market: (quote * base << _GUARD) // base for market, (quote, base) in pools.items()}
    sums, errors = dict.fromkeys(order, 0), dict.fromkeys(order, 0)
    for trader, market, _, after in _slices(order, sizes, pools, rounds):
        quote, base = pools[market]
        left = (quote * base << _GUARD) // after
        sums[trader] += held[market] - left
        errors[trader] += 1
        held[market] = left
    return {trader: (sums[trader], errors[trader]) for trader in order}, _Exact(order, sizes, pools, rounds)


class _Exact(Struct, frozen=True):
    """The same sums as fractions, one trader at a time: for the claims whose last digit the guard bits leave open."""

    order: Sequence[str]
    sizes: Sizes
    pools: Pools
    rounds: int

    def of(self, trader: str) -> Fraction:
        """What this trader fetches, in 1e-18."""
        total = Fraction(0)
        for who, market, before, after in _slices(self.order, self.sizes, self.pools, self.rounds):
            if who == trader:
                quote, base = self.pools[market]
                total += Fraction(quote * base, before) - Fraction(quote * base, after)
        return total


def _slices(order: Sequence[str], sizes: Sizes, pools: Pools, rounds: int) -> Iterator[tuple[str, str, int, int]]:
    """(trader, market, base in the pool before, after) of each slice. A long adds base, a short takes it out."""
    base = {market: reserves[1] for market, reserves in pools.items()}
    walk = [
        (trader, market, abs(size), 1 if size > 0 else -1) for trader in order for market, size in sorted(sizes[trader].items()) if size
    ]
    for number in range(1, rounds + 1):
        for trader, market, size, sign in walk:
            part = size * number // rounds - size * (number - 1) // rounds
            if part:
                before = base[market]
                base[market] = before + sign * part
                yield trader, market, before, base[market]


def _whole(fetched: Low, exactly: _Exact, trader: str) -> int:
    """The sum cut down to whole 1e-18."""
    total, error = fetched
    low, high = (total - error) >> _GUARD, (total + error) >> _GUARD
    if low == high:
        return low
    value = exactly.of(trader)
    return value.numerator // value.denominator


def _positions(population: Population, aside: set[str]) -> tuple[dict[str, dict[str, int]], dict[str, tuple[int, int]]]:
    """Trader -> market -> size; and trader -> (margin - funding less what the positions cost, notional at the reference price)."""
    sizes: dict[str, dict[str, int]] = {trader: defaultdict(int) for trader in population.traders}
    own = dict.fromkeys(population.traders, (0, 0))
    terms = zip(*(population.term(name) for name in TERMS), strict=True)
    for trader, market, row in zip(population.accounts, population.markets, terms, strict=True):
        if trader in aside:
            continue
        known = [value for value in row if value is not None]
        if len(known) < len(row):
            lacking = TERMS[row.index(None)].replace("_", " ")
            what = f"The {lacking} of {trader} in {market} is not known, so no position can be closed after it on the curve."
            advice = "Add the missing logs, or fill the cell; or exclude the trader, if the vote says so."
            raise refusal(f"{population.file} amm-unwind", what, advice)
        size, opened, margin, funding, notional = known
        sizes[trader][market] += size
        owed, worth = own[trader]
        own[trader] = (owed + margin - funding - (opened if size > 0 else -opened), worth + abs(notional))
    return {trader: dict(of) for trader, of in sizes.items()}, own


def _check(sizes: Sizes, pools: Pools, population: Population, step: Step) -> None:
    """InputError where a market has no pool, or a pool may hold less than the shorts take out of it."""
    taken: dict[str, int] = defaultdict(int)
    for positions in sizes.values():
        for market, size in positions.items():
            taken[market] += max(0, -size)
    for market in sorted(taken):
        if market not in pools:
            raise refusal(
                f"{population.file} amm-unwind",
                f"There is no pool of {market}, on whose curve its positions would be closed.",
                f"Add [[rule.step.pool]], or [restore]. {near_miss(market, pools)}",
            )
        if taken[market] >= pools[market][1]:
            what = f"The shorts of {market} take {exact(taken[market])} out of a pool of {exact(pools[market][1])}."
            raise refusal(f"{population.file} {step.kind}", what, "Correct base_reserve, or the sizes.")
