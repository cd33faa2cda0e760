"""The incident file's [sources], and the `source` key of every policy table."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from perpcomp.findings import near_miss
from perpcomp.incident import toml
from perpcomp.incident.toml import Section


@dataclass(frozen=True)
class Source:
    """A text that a policy comes from."""

    text: str
    url: str | None


def _in_known(known: dict[str, Source], value: Any) -> tuple[str, ...]:
    keys = [value] if isinstance(value, str) else value
    if not isinstance(keys, list) or not keys or not all(isinstance(k, str) for k in keys):
        raise ValueError(f"is {toml.shown(value)}.", "Name a key of [sources], or a list of them.")
    for key in keys:
        if key not in known:
            raise ValueError(f'names "{key}", which is not in [sources].', near_miss(key, known))
    return tuple(keys)


def read_source(section: Section, known: dict[str, Source]) -> tuple[str, ...]:
    """Every policy table names where it comes from."""
    if "source" not in section.table:
        section.asked.add("source")
        section.problem("", "has no source.", 'A voter must be able to see where it comes from. Add source = "<a key of [sources]>".')
        return ()
    return section.take("source", partial(_in_known, known)) or ()


def read_sources(section: Section) -> dict[str, Source]:
    known = {}
    for key in section.table:
        if isinstance(section.table[key], dict):
            entry = Section(section.file, f"[sources.{key}]", section.table[key], section.problems)
            text, url = entry.take("text", toml.text), entry.take("url", toml.text, required=False)
            entry.close()
        else:
            text, url = section.take(key, toml.text), None
        section.asked.add(key)
        known[key] = Source(text or "", url)
    return known
