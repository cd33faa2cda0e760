"""What installed packages add to perpcomp by entry points: formulas (group `perpcomp.formulas`) and protocols (`perpcomp.systems`)."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from perpcomp.findings import near_miss, refusal

FORMULAS = "perpcomp.formulas"
SYSTEMS = "perpcomp.systems"
_ONE = {FORMULAS: "formula", SYSTEMS: "system"}  # what messages call one entry of a group


@contextmanager
def same_recursion_limit() -> Iterator[None]:
    """Around the import of web3 or eth-account, whose py_ecc raises Python's limit to 100,000 for the whole process.

    A deeply nested JSON of a node or a file would then overflow the stack and kill the process, instead of being refused.
    """
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def names(group: str) -> list[str]:
    """The names installed under a group, sorted; no module is imported. InputError where two packages give one name to two objects."""
    return sorted(_points(group))


def load(group: str, name: str) -> Any:
    """The object installed under that name. InputError: the name is unknown (with the nearest one), or its module cannot be imported."""
    points, where = _points(group), f"{_ONE[group]} '{name}'"
    if name not in points:
        raise refusal(where, "No installed package provides it.", near_miss(name, points))
    try:
        return _object(points[name])
    except Exception as error:  # other people's code
        raise refusal(where, f"It cannot be loaded from {points[name].value}: {error!r}.", "Repair or uninstall its package.") from error


def target(group: str, name: str) -> str:
    """Where an installed object is, as "module:object"."""
    return _points(group)[name].value


@cache  # a run asks some hundred times, and to find the module again takes 0.02 ms
def _object(point: EntryPoint) -> Any:
    return point.load()


def _points(group: str) -> dict[str, EntryPoint]:
    return _found(group, entry_points, tuple(sys.path))


@cache
def _found(group: str, read: Callable[[], Any], path: tuple[str, ...]) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in sorted(_every(read, path).select(group=group), key=lambda p: (p.name, p.value)):
        if point.name in found and found[point.name].value != point.value:  # an editable install may list one entry point twice
            what = f"It is installed twice: as {found[point.name].value} and as {point.value}."
            raise refusal(f"{_ONE[group]} '{point.name}'", what, "Uninstall one of the two packages.")
        found[point.name] = point
    return found


@cache  # reading the metadata of every installed package takes some 8 ms, for one group as for all
def _every(read: Callable[[], Any], _: tuple[str, ...]) -> Any:
    return read()
