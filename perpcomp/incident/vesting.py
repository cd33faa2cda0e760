"""The incident file's [vesting]."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from perpcomp.incident import toml
from perpcomp.incident.sources import Source, read_source
from perpcomp.incident.toml import Section


@dataclass(frozen=True)
class Vesting:
    """When it unlocks: `upfront` at the start, the rest in `tranches` (or along a line) until the end.

    calendar is calendar-months, fixed-days, seconds or blocks, and `length` counts that unit. binding is tranches or line.
    start_block and block_seconds belong to a calendar of blocks.
    """

    upfront: Fraction
    calendar: str
    length: int
    tranches: int
    binding: str
    start: datetime
    start_block: int | None
    block_seconds: Decimal | None
    source: tuple[str, ...]


def read_vesting(section: Section, known: dict[str, Source]) -> Vesting:
    calendar = section.take("calendar", toml.choice(("calendar-months", "fixed-days", "seconds", "blocks"))) or ""
    in_blocks = calendar == "blocks"
    vesting = Vesting(
        upfront=section.take("upfront", toml.ratio) or Fraction(),
        calendar=calendar,
        length=section.take("length", toml.count) or 1,
        tranches=section.take("tranches", toml.count) or 1,
        binding=section.take("binding", toml.choice(("tranches", "line")), "tranches", required=False) or "",
        start=section.take("start", toml.moment) or datetime.min.replace(tzinfo=UTC),
        start_block=section.take("start_block", toml.count, required=in_blocks),
        block_seconds=section.take("block_seconds", toml.amount, required=in_blocks),
        source=read_source(section, known),
    )
    if not in_blocks and (vesting.start_block or vesting.block_seconds):
        section.problem("start_block", "belongs to a calendar of blocks.", 'Remove it and block_seconds, or set calendar = "blocks".')
    if vesting.tranches > 1000:
        section.problem("tranches", f"is {vesting.tranches}.", "At most 1000 dates; a finer schedule is a line.")
    section.close()
    return vesting
