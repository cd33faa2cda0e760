"""A rule as one sentence, "first …, then …", and back: one template a kind of step serves both ways."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from msgspec.structs import asdict

from perpcomp.findings import refusal
from perpcomp.incident.restore import Pool
from perpcomp.incident.rule_steps import EXCESS, Step
from perpcomp.incident.rules import Rule
from perpcomp.number_text import in_full

_EXCESS = dict(
    zip(
        EXCESS,
        ("the excess kept", "the excess shared by the others in proportion", "the excess shared by the others up to their claims"),
        strict=True,
    )
)

# kind -> template. A step is printed by the first template whose keys it has, all and no other; each key stands once.
TEMPLATES: tuple[tuple[str, str], ...] = (
    ("scale", "multiply by {factor}"),
    ("haircut", "cut off a share of {share}"),
    ("uplift", "add {factor} of it"),
    ("flat", "add {amount} for whoever has something"),
    ("cap-per-trader", "cap each trader at {cap}, {excess}"),
    ("tiers", "pay the first {threshold} whole and {share} of the rest"),
    ("drop-below", "drop whoever has less than {minimum}"),
    ("net-of-refund", "take off what was received already"),
    ("net-of-refund", "take off the column {column}"),
    ("net-bad-debt", "take off the bad debt"),
    ("leverage-filter", "{above} whoever opened with more than {maximum} times leverage"),
    ("address-remap", "give it to the payees of the map"),
    ("pro-rata-budget", "share {pot} pro rata"),
    ("pro-rata-budget", "share {pot} pro rata, amounts being {values}"),
    ("small-first", "pay out of {pot} the smallest {share} of the traders first and the others pro rata"),
    ("small-first", "pay out of {pot} claims of at most {threshold} first and the others pro rata"),
    ("equal-per-address", "share {pot} equally"),
    ("cap-total", "cap the total at {pot} by {by}"),
    ("set-aside", "set money aside and share {pot} pro rata"),
    ("amm-unwind", "unwind in {rounds} rounds{pools}"),
    ("amm-unwind", "unwind in {rounds} rounds{pools} and share {pot} pro rata"),
)
_NUMBER = r"[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?"
_ABOVE = {"drop": "drop", "scale": "scale down"}
_POT = rf'(?:a pot of {_NUMBER}|the budget "[^"]+")(?: less {_NUMBER} set aside)?'
_PATTERNS = {
    **dict.fromkeys(("factor", "share", "amount", "cap", "threshold", "minimum", "maximum", "rounds"), _NUMBER),
    "excess": "|".join(_EXCESS.values()),
    "above": "|".join(_ABOVE.values()),
    "column": "[A-Za-z0-9._-]+",
    "pot": _POT,
    "values": "claims|weights",
    "by": "scale|water-fill",
    "pools": rf'(?: on (?:"[^"]+" of {_NUMBER} against {_NUMBER}(?:; )?)+)?',
}
_OPTIONAL = ("set_aside", "pools")  # printed within {pot} and {pools}
_COMBINED = {
    "max": ("the larger of {}", " and "),
    "min": ("the smaller of {}", " and "),
    "plus": ("the sum of {}", " and "),
    "minus": ("{}, not below 0", " less "),
    "blend": ("a blend of {}", " and "),
}
_THEN = re.compile(r', then (?=(?:[^"]*"[^"]*")*[^"]*$)')  # not within the quotes of a budget's or a market's name
_LEVELS = {None: "", "trader": ", for each trader", "liquidation": ", for each liquidation"}


def sentence(rule: Rule) -> str:
    """The rule in one sentence, without its name, source and class."""
    listed = rule.base if rule.combine != "blend" else [f"{_number(w)} {name}" for w, name in zip(rule.weights, rule.base, strict=True)]
    words, between = _COMBINED[rule.combine] if rule.combine else ("{}", "")
    base = words.format(between.join(listed)) + _LEVELS[rule.level]
    aside = ", whose claim is not known stands aside" if rule.unknown == "set-aside" else ""
    return ", ".join(["first " + base + aside, *(f"then {step_text(step)}" for step in rule.steps)]) + "."


def step_text(step: Step) -> str:
    """One step in words."""
    given = {name for name, value in asdict(step).items() if name != "kind" and value not in (None, ())} - {*_OPTIONAL}
    template = next(text for kind, text in TEMPLATES if kind == step.kind and _keys(text) - {*_OPTIONAL} == given)
    return template.format(**{key: _PRINTED[key](step) if key in _PRINTED else _number(getattr(step, key)) for key in _keys(template)})


def parse(text: str, name: str, source: tuple[str, ...] = ()) -> Rule:
    """The rule that a sentence states. InputError where a part of it says nothing that is known."""
    first, *then = _THEN.split(text.removesuffix("."))
    matched = re.fullmatch(r"first (.+?)(, for each trader|, for each liquidation)?(, whose claim is not known stands aside)?", first)
    if matched is None:
        raise _unknown(name, first, "first margin-only")
    base, level, aside = matched.groups()
    level_key = next(key for key, words in _LEVELS.items() if words == (level or ""))
    combine, names, weights = _base(base, name)
    steps = tuple(_step(part, name) for part in then)
    return Rule(name, names, combine, weights, level_key, "set-aside" if aside else "refuse", None, steps, source)


def _base(text: str, name: str) -> tuple[str | None, tuple[str, ...], tuple[Fraction, ...]]:
    for combine, (words, between) in _COMBINED.items():
        opening, closing = words.split("{}")
        if text.startswith(opening) and text.endswith(closing) and between in text:
            listed = text[len(opening) : len(text) - len(closing)].split(between)
            if combine != "blend":
                return combine, tuple(listed), ()
            pairs = [part.split(" ", 1) for part in listed]
            return combine, tuple(base for _, base in pairs), tuple(_read(weight) for weight, _ in pairs)
    if not re.fullmatch(r"\S+", text):
        raise _unknown(name, text, "margin-only")
    return None, (text,), ()


def _step(text: str, name: str) -> Step:
    for kind, template in TEMPLATES:
        pattern = "".join(
            f"(?P<{piece[1:-1]}>{_PATTERNS[piece[1:-1]]})" if piece.startswith("{") else re.escape(piece)
            for piece in re.split(r"(\{[a-z_]+\})", template)
        )
        if matched := re.fullmatch(pattern, text):
            values: dict[str, Any] = {"kind": kind}
            for key, words in matched.groupdict().items():
                values |= _READ[key](words) if key in _READ else {key: _read(words)}
            return Step(**values)
    raise _unknown(name, text, "cap each trader at 15,000, the excess kept")


def _keys(template: str) -> set[str]:
    return set(re.findall(r"\{([a-z_]+)\}", template))


def _number(value: Any) -> str:
    """A number with all its digits: as a decimal where it is one, else as a fraction."""
    if isinstance(value, Fraction):
        near = Decimal(value.numerator) / value.denominator
        return f"{near:f}" if Fraction(near) == value else str(value)
    return in_full(value)


def _read(words: str) -> Fraction:
    return Fraction(words.replace(",", ""))


def _amount(words: str) -> Decimal:
    return Decimal(words.replace(",", ""))


def _pot(step: Step) -> str:
    pot = f'the budget "{step.pot}"' if isinstance(step.pot, str) else f"a pot of {_number(step.pot)}"
    return pot if step.set_aside is None else f"{pot} less {_number(step.set_aside)} set aside"


def _read_pot(words: str) -> dict[str, Any]:
    matched = re.fullmatch(rf'(?:a pot of ({_NUMBER})|the budget "([^"]+)")(?: less ({_NUMBER}) set aside)?', words)
    assert matched is not None
    amount, budget, aside = matched.groups()
    return {"pot": budget or _amount(amount), "set_aside": None if aside is None else _amount(aside)}


def _pools(step: Step) -> str:
    listed = [f'"{pool.market}" of {_number(pool.quote_reserve)} against {_number(pool.base_reserve)}' for pool in step.pools]
    return " on " + "; ".join(listed) if listed else ""


def _read_pools(words: str) -> dict[str, Any]:
    found: Sequence[tuple[str, str, str]] = re.findall(rf'"([^"]+)" of ({_NUMBER}) against ({_NUMBER})', words)
    return {"pools": tuple(Pool(market, _amount(quote), _amount(base)) for market, quote, base in found)}


_PRINTED: dict[str, Callable[..., str]] = {
    "excess": lambda step: _EXCESS[step.excess],
    "above": lambda step: _ABOVE[step.above],
    "pot": _pot,
    "pools": _pools,
    **{key: lambda step, key=key: str(getattr(step, key)) for key in ("column", "values", "by", "rounds")},
}
_READ: dict[str, Callable[..., dict[str, Any]]] = {
    "excess": lambda words: {"excess": next(key for key, said in _EXCESS.items() if said == words)},
    "above": lambda words: {"above": next(key for key, said in _ABOVE.items() if said == words)},
    "pot": _read_pot,
    "pools": _read_pools,
    "rounds": lambda words: {"rounds": int(words.replace(",", ""))},
    **{key: lambda words, key=key: {key: words} for key in ("column", "values", "by")},
    **{key: lambda words, key=key: {key: _amount(words)} for key in ("amount", "cap", "threshold", "minimum", "maximum")},
}


def _unknown(name: str, words: str, example: str) -> Exception:
    return refusal(
        f"rule {name}", f'"{words}" says nothing that is known.', f'Write it as "{example}"; the summary of a run prints its rules so.'
    )
