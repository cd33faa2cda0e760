"""A program that calculates a workbook with the package `formulas`: FILE, and on stdin a list of {cell: value}; prints {cell: result} of each.

It runs in a process of its own, with nothing of ours: the package brings NumPy, which Polars would import in every command.
"""

import json
import sys
from typing import Any

from formulas import ExcelModel


def main() -> None:
    """The book is read once, which takes longer than calculating it several times."""
    model = ExcelModel().loads(sys.argv[1]).finish()
    results = []
    for inputs in json.load(sys.stdin):
        solution = model.calculate(inputs=inputs)
        results.append({key: plain(found.value[0, 0]) for key, found in solution.items() if hasattr(found, "value") and ":" not in key})
    json.dump(results, sys.stdout)


def plain(value: Any) -> object:
    """A result as JSON holds it; an error of a formula as its text."""
    value = value.item() if hasattr(value, "item") else value  # a number of NumPy
    return value if isinstance(value, int | float | str) else str(value)


if __name__ == "__main__":
    main()
