"""The table [[rule.step]]: one step of a rule, with the keys of its kind."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from msgspec import Struct

from perpcomp.incident.description import Condition, Key, Raw, Table
from perpcomp.incident.kinds import AMOUNT, COUNT, SHARE, choice
from perpcomp.incident.reader import TableReader
from perpcomp.incident.restore import Pool
from perpcomp.incident.rule_kinds import NAME, POT, RATIO

LINEAR, RATIONAL, JUMPS = CLASSES = ("linear", "rational", "with-jumps")  # how an amount may follow the reference price
KEPT, REDISTRIBUTED, UP_TO_CLAIM = EXCESS = ("kept", "redistribute", "up-to-claim")


class StepKind(Struct, frozen=True):
    """A kind of step: the keys that it needs and those that it may have, and how its result may follow the reference price.

    `shares` says that it is an allocation: it looks at all traders together.
    """

    needs: tuple[str, ...] = ()
    may_have: tuple[str, ...] = ()
    shape: str = LINEAR
    shares: bool = False


_POT = ("pot", "set_aside")
STEP_KINDS: dict[str, StepKind] = {
    "scale": StepKind(("factor",)),
    "haircut": StepKind(("share",)),
    "uplift": StepKind(("factor",)),
    "flat": StepKind(("amount",), shape=JUMPS),
    "cap-per-trader": StepKind(("cap", "excess")),
    "tiers": StepKind(("threshold", "share")),
    "drop-below": StepKind(("minimum",), shape=JUMPS),
    "net-of-refund": StepKind(may_have=("column",)),
    "net-bad-debt": StepKind(),
    "leverage-filter": StepKind(("maximum", "above")),
    "address-remap": StepKind(),
    "pro-rata-budget": StepKind(("pot",), ("values", "set_aside"), RATIONAL, True),
    "small-first": StepKind(("pot",), ("share", "threshold", "set_aside"), JUMPS, True),
    "equal-per-address": StepKind(("pot",), ("set_aside",), RATIONAL, True),
    "cap-total": StepKind(("pot", "by"), ("set_aside",), RATIONAL, True),
    "set-aside": StepKind(_POT, (), RATIONAL, True),
    "amm-unwind": StepKind(("rounds",), (*_POT, "pools"), JUMPS, True),
}


def _of_kinds(kinds: Sequence[str]) -> Raw:
    return {"required": ["kind"], "properties": {"kind": {"enum": [*kinds]}}}


def _needed(key: str) -> Condition:
    kinds = [name for name, kind in STEP_KINDS.items() if key in kind.needs]
    return Condition("kind is " + " or ".join(f'"{kind}"' for kind in kinds), lambda table, _: table.get("kind") in kinds, _of_kinds(kinds))


def _key(kind: Any, meaning: str, example: str, name: str, unit: str = "") -> Key:
    """A key that is required where its kind of step needs it, and optional or refused elsewhere."""
    return Key(kind, meaning, example, unit, default=None, required_if=_needed(name))


class Step(Struct, frozen=True):
    """One step of a rule. Which keys it has follows from its kind: STEP_KINDS."""

    kind: Annotated[str, Key(choice(*STEP_KINDS), "What is done to each trader's amount.", '"cap-per-trader"')]
    factor: Annotated[
        Fraction | None, _key(RATIO, "What the amount is multiplied by; of uplift, what is added.", "0.1", "factor", "/1")
    ] = None
    share: Annotated[
        Fraction | None,
        _key(
            SHARE,
            "The share cut off, paid above the threshold, or of the traders who are paid first, smallest first.",
            '"1/4"',
            "share",
            "/1",
        ),
    ] = None
    amount: Annotated[Decimal | None, _key(AMOUNT, "What everybody gets on top who gets anything.", "50", "amount", "quote asset")] = None
    cap: Annotated[Decimal | None, _key(AMOUNT, "The most that a trader gets.", "15_000", "cap", "quote asset")] = None
    excess: Annotated[
        str | None,
        _key(
            choice(*EXCESS),
            "What becomes of the money above the cap: it stays in the pot (kept), or goes to the others in proportion, up to the cap"
            " (redistribute) or up to the cap and their own claims (up-to-claim).",
            '"kept"',
            "excess",
        ),
    ] = None
    threshold: Annotated[
        Decimal | None, _key(AMOUNT, "Up to here it is paid whole; or, up to here a claim is small.", "1_000", "threshold", "quote asset")
    ] = None
    minimum: Annotated[
        Decimal | None, _key(AMOUNT, "Whoever has less gets 0; exactly this much stays.", "10", "minimum", "quote asset")
    ] = None
    column: Annotated[
        str | None, _key(NAME, "The column of the claims that says what was received; without it, [[received]].", '"received"', "column")
    ] = None
    maximum: Annotated[Decimal | None, _key(AMOUNT, "The highest leverage at opening that passes.", "10", "maximum", "/1")] = None
    above: Annotated[
        str | None,
        _key(choice("drop", "scale"), "What happens above it: 0, or the amount times maximum / leverage.", '"drop"', "above"),
    ] = None
    pot: Annotated[
        Decimal | str | None, _key(POT, "What is shared: an amount, or the name of a [[budget]].", "600_000", "pot", "quote asset")
    ] = None
    set_aside: Annotated[
        Decimal | None, _key(AMOUNT, "What of the pot is kept for later claims.", "500_000", "set_aside", "as the pot")
    ] = None
    values: Annotated[
        str | None,
        _key(
            choice("claims", "weights"),
            "Whether nobody gets more than the amount so far (claims, if absent), or amounts only weigh (weights).",
            '"weights"',
            "values",
        ),
    ] = None
    by: Annotated[
        str | None, _key(choice("scale", "water-fill"), "How the total is brought down: all in proportion, or one cap.", '"scale"', "by")
    ] = None
    rounds: Annotated[
        int | None, _key(COUNT, "In how many equal slices each position is closed, one trader after the other.", "100", "rounds")
    ] = None
    pools: Annotated[
        tuple[Pool, ...],
        Table(
            Pool,
            "states reserves on which positions unwind, instead of those of [restore]",
            required=False,
            many=True,
            absent=(),
            name="pool",
        ),
    ] = ()

    @property
    def rule_of_kind(self) -> StepKind:
        """What its kind needs and may have."""
        return STEP_KINDS[self.kind]

    @property
    def shape(self) -> str:
        """How the result may follow the reference price."""
        return RATIONAL if self.excess in (REDISTRIBUTED, UP_TO_CLAIM) else self.rule_of_kind.shape


def read_step(table: TableReader) -> Step | None:
    """The step; keys that its kind does not have are refused."""
    values = table.values()
    kind = STEP_KINDS.get(values.get("kind", ""))
    if kind is not None:
        allowed = {"kind", *kind.needs, *kind.may_have} | ({"pool"} if "pools" in kind.may_have else set())
        described = {key.name for key in table.keys.values()}
        for key in [key for key in table.raw if key in described - allowed]:
            listed = ", ".join(sorted(allowed - {"kind"})) or "none"
            table.problem(key, f"is no key of {values['kind']}.", f"Remove it. Its keys: {listed}.")
        if values["kind"] == "small-first" and (values.get("share") is None) == (values.get("threshold") is None):
            table.problem(
                "", "has both share and threshold, or neither.", "State who is paid first: a share of the traders, or a threshold."
            )
        if "set_aside" in table.raw and "pot" not in table.raw:
            table.problem("set_aside", "is given without a pot.", "Add the pot of which this is kept.")
        for market in [pool.market for pool in values.get("pools", ()) if '"' in pool.market]:
            table.problem("pool", f"names the market {market}, which has quotes.", "Give the market a name without quotes.")
        pot, aside = values.get("pot"), values.get("set_aside")
        if isinstance(pot, Decimal) and aside is not None and aside > pot:
            table.problem("set_aside", f"is {aside:,f}, more than the pot of {pot:,f}.", "Keep less, or share a larger pot.")
    return table.build(Step, values)
