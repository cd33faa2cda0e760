"""The constant-product curve of an automated market maker on whole wei: what a trade moves, digit for digit as the contracts round it.

Every number is an integer of 1e-18. Sizes are signed: + long, - short. The formulas are those of Amm in npm @perp/contract 1.1.0 and
2.2.0 (getInputPriceWithReserves, getOutputPriceWithReserves, getSpotPrice), tested against the contracts themselves.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from perpcomp.fixed import ONE, div_integers


class Reverts(ArithmeticError):
    """The contract's view has no answer: a pool cannot give out all that it holds, and nothing divides by 0."""


class Reserves(Struct, frozen=True):
    """An Amm's pool: quote asset and base asset."""

    quote: int
    base: int
    product: int  # quote * base truncated to 18 digits, with 18 zeros: the numerator that the formulas below divide

    @classmethod
    def of(cls, quote: int, base: int) -> "Reserves":
        return cls(quote, base, quote * base // ONE * ONE)

    @property
    def spot(self) -> int:
        """Quote asset per base (Amm.getSpotPrice)."""
        return div_integers(self.quote, self.base)


def out_price(size: int, pool: Reserves) -> int:
    """Quote asset that closing `size` moves: what a long gets, what a short pays (Amm.getOutputPriceWithReserves)."""
    if size == 0:
        return 0
    after = pool.base + size
    if after <= 0:
        raise Reverts("the short is as large as the pool")
    quote, rest = divmod(pool.product, after)
    amount = abs(quote - pool.quote)
    if rest:  # rounded against the trader
        return amount - 1 if size > 0 else amount + 1
    return amount


def in_price(add: bool, amount: int, pool: Reserves) -> int:
    """Base that `amount` of quote moves: bought where it is added, sold where it is taken (Amm.getInputPriceWithReserves)."""
    if amount == 0:
        return 0
    after = pool.quote + amount if add else pool.quote - amount
    if after <= 0:
        raise Reverts("more of the quote asset than the pool holds")
    base, rest = divmod(pool.product, after)
    moved = abs(base - pool.base)
    if rest:
        return moved - 1 if add else moved + 1
    return moved


def moved_to(quote: int, pool: Reserves) -> Reserves:
    """The pool after one swap that brings its quote reserve to `quote`: another spot price on the same k."""
    base = in_price(quote > pool.quote, abs(quote - pool.quote), pool)
    return Reserves.of(quote, pool.base - base if quote > pool.quote else pool.base + base)


class Average(Struct, frozen=True):
    """A time-weighted average to be taken: pools with the seconds each counts, and what the sum is divided by."""

    pools: Sequence[tuple[Reserves, int]]
    seconds: int

    def of(self, value: Callable[[Reserves], int]) -> int:
        """The average of a value of the pool, truncated once (Amm.calcTwap)."""
        return sum(value(pool) * weight for pool, weight in self.pools) // self.seconds
