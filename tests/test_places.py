"""On which line of the incident file a key stands: each place is checked against Python's own TOML reader."""

import tomllib
from pathlib import Path

import pytest

from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.incident.places import line_of, lines
from tests.test_incident import INCIDENTS, QUERIES, TEXT

ODD = '''# [not a table]
title = "a # \\" [ x" # "
quoted."key" = 'a\\'
several = [ # ]
  "one", # "two",
  """
]
[no]""", {x = "}"},
]
  [ chain . "x" ]
lines = """
[market]
id = 1\\
""""
raw = \'\'\'
[[market]]\'\'\'
[[market]]
name = 1

[[ market ]]
name = 2
inside = {a = 1, b = {c = 2}}
listed = [{a = 1}, {a = 2}]
[market.deep]
x = 1
[chain.z]
y = 2021-01-01T00:00:00Z
'''


def test_every_place_of_an_odd_file() -> None:
    found = lines(ODD)
    for place, line in {
        ("", 0, "title"): 2,
        ("", 0, "quoted"): 3,
        ("[quoted]", 0, "key"): 3,
        ("", 0, "several"): 4,
        ("[chain.x]", 0, ""): 10,
        ("[chain.x]", 0, "lines"): 11,
        ("[chain.x]", 0, "raw"): 15,
        ("[[market]]", 0, ""): 17,
        ("[[market]]", 1, ""): 17,
        ("[[market]]", 1, "name"): 18,
        ("[[market]]", 2, ""): 20,
        ("[[market]]", 2, "name"): 21,
        ("[[market]]", 2, "inside"): 22,
        ("[market.inside.b]", 0, "c"): 22,
        ("[[market.listed]]", 2, "a"): 23,
        ("[market.deep]", 0, "x"): 25,
        ("[chain.z]", 0, "y"): 27,
    }.items():
        assert found[place] == line, place
    assert ("[no]", 0, "") not in found
    assert ("", 0, "id") not in found
    assert lines(ODD.replace("\n", "\r\n")) == found


@pytest.mark.parametrize("path", INCIDENTS, ids=lambda path: path.stem)
def test_a_key_is_read_once_its_line_is_there_and_not_before(path: Path) -> None:
    text = path.read_text()
    rows = text.splitlines(keepends=True)
    found = lines(text)
    keys = [(place, line) for place, line in found.items() if place[2]]
    assert len(keys) > 30
    for (header, number, key), line in keys:
        assert rows[line - 1].partition("=")[0].strip().strip('"') == key
        above = tomllib.loads("".join(rows[: line - 1]))
        table = above
        for name in [name for name in header.strip("[]").split(".") if name]:
            table = table[name]
        assert len(table) == number if isinstance(table, list) else True
        assert key not in (table[number - 1] if isinstance(table, list) else table)


def test_a_missing_key_is_at_its_table_and_an_unknown_place_has_no_line() -> None:
    found = lines(ODD)
    assert line_of(found, "[[market]]", 2, "amm") == 20
    assert line_of(found, "[chain.x.y]", 0, "amm") == 10
    assert line_of(found, "", 0, "[[market]]") == 17
    assert line_of(found, "", 0, "system") is None
    assert line_of(found, "list.csv row 2", 0, "address") is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "LINKUSDC"', 'nome = "LINKUSDC"', "[[market]] 3 nome is unknown."),
        ("share = 1\n", "share = 1.5\n", "[[settlement]] 1 share is 1.5."),
        ("[vesting]", "[vestin]", "[vestin] is unknown."),
        ('what = "margin"', 'what = "margins"', '[[expect]] 3 what is "margins".'),
        ("order = ", "at_ = 1\norder = ", "[restore] at_ is unknown."),
    ],
)
def test_an_error_names_the_line_that_was_spoilt(old: str, new: str, said: str) -> None:
    spoilt = TEXT.replace(old, new, 1)
    line = next(n for n, (a, b) in enumerate(zip(TEXT.splitlines(), spoilt.splitlines(), strict=False), 1) if a != b)
    with pytest.raises(InputError) as caught:
        incident_file.parse(spoilt.encode(), "rehearsal", QUERIES)
    assert [problem.what for problem in caught.value.problems if problem.where == f"rehearsal.toml line {line}"] == [said]
