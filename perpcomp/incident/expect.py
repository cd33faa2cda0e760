"""The incident file's [[expect]]."""

from dataclasses import dataclass
from decimal import Decimal

from perpcomp.incident import toml
from perpcomp.incident.sources import Source, read_source
from perpcomp.incident.toml import Section

EXPECTED = ("traders", "positions", "liquidations", "entitlement", "margin", "amount", "eligible")


@dataclass(frozen=True)
class Expectation:
    """A published figure, compared with the result and never used. `what` says which; trader or token where it needs one."""

    what: str
    value: Decimal | None
    trader: str | None
    token: str | None
    note: str
    source: tuple[str, ...]


def read_expectation(section: Section, known: dict[str, Source]) -> Expectation:
    what = section.take("what", toml.choice(EXPECTED)) or ""
    expectation = Expectation(
        what=what,
        value=section.take("value", toml.amount, required=what != "eligible"),
        trader=section.take("trader", toml.address, required=what == "eligible"),
        token=section.take("token", toml.text, required=what == "amount"),
        note=section.take("note", toml.text, "", required=False) or "",
        source=read_source(section, known),
    )
    section.close()
    return expectation
