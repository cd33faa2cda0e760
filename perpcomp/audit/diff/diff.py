"""The difference of two published runs: payouts, causes and cells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perpcomp.audit.diff.rows import Cell, cells
from perpcomp.audit.diff.walk import Amounts, Moved, paid, walk
from perpcomp.number_text import exact, in_full
from perpcomp.publish.read_back import open_published


@dataclass(frozen=True)
class Diff:
    """`before` and `after` are what the runs pay (1e-18 of the token); the causes' amounts add up to the difference for every payee."""

    before: Amounts
    after: Amounts
    causes: tuple[Moved, ...]
    cells: tuple[Cell, ...]

    @property
    def same(self) -> bool:
        return self.before == self.after and not self.cells

    def payouts(self) -> Iterator[tuple[tuple[str, str], int, int, str]]:
        """((payee, token), before, after, why) of each payout that moved, the largest move first."""
        keys = {*self.before, *self.after}
        by = {key: self.after.get(key, 0) - self.before.get(key, 0) for key in keys}
        for key in sorted((key for key in keys if by[key]), key=lambda key: (-abs(by[key]), key)):
            yield key, self.before.get(key, 0), self.after.get(key, 0), self._why(key)

    def _why(self, key: tuple[str, str]) -> str:
        moved = [(one.cause.name, one.by[key]) for one in self.causes if key in one.by]
        if len(moved) == 1:
            return moved[0][0]
        return ", ".join(f"{name} {'+' if by > 0 else ''}{in_full(by)}" for name, by in moved)

    def fields(self) -> Mapping[str, Any]:
        """The difference for JSON, amounts as exact text."""
        return {
            "same": self.same,
            "causes": [{"cause": one.cause.name, "details": list(one.cause.details), "payouts_moved": len(one.by)} for one in self.causes],
            "payouts": [
                {
                    "payee": who,
                    "token": token,
                    "before": exact(old),
                    "after": exact(new),
                    "moved_by": exact(new - old),
                    "because_of": {one.cause.name: exact(one.by[who, token]) for one in self.causes if (who, token) in one.by},
                }
                for (who, token), old, new, _ in self.payouts()
            ],
            "cells": [vars(one) for one in self.cells],
        }


def diff(before: Path, after: Path) -> Diff:
    """Two published runs, each verified against its manifest first."""
    first, second = open_published(before), open_published(after)
    return Diff(paid(first), paid(second), tuple(walk(first, second)), tuple(cells(first, second)))
