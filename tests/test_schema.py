"""The JSON Schema and the key reference: what another author's validator accepts and refuses, and that neither drifts from the reader."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from perpcomp import installed
from perpcomp.findings import InputError
from perpcomp.incident import incident_file, toml
from perpcomp.incident.json_schema import of_system, schema
from perpcomp.incident.tables import described
from tests.commands import call
from tests.descriptions import INCIDENTS as README
from tests.descriptions import RESULTS, SCHEMA, made
from tests.test_incident import FROM, FUND, HOUSE, INCIDENTS, PERPS_V2, PRICE, QUERIES, TEXT, TO

ALL = [*INCIDENTS, *(QUERIES.parent / "tests" / "lab" / "perps-v2").glob("*/incident.toml")]
VALIDATOR = Draft7Validator(schema())


def as_json(value: Any) -> Any:
    """A document as an editor hands it to a schema: times are texts."""
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value


def faults(text: str) -> list[str]:
    """Where the validator refuses a file, as "table key: words"."""
    document = as_json(toml.parse(text.encode(), "a file"))
    return [f"{' '.join(map(str, error.absolute_path))}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(schema())


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.parent.name + path.stem)
def test_every_incident_of_the_project_validates(path: Path) -> None:
    assert faults(path.read_text()) == []


@pytest.mark.parametrize("path", [*QUERIES.glob("*.toml")], ids=lambda path: path.stem)
def test_every_built_in_query_names_the_schema(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert (path.parent / first.removeprefix("#:schema ")).resolve() == SCHEMA


def test_every_described_key_is_in_the_schema_with_its_meaning() -> None:
    def visit(table: dict[str, Any], header: str) -> set[tuple[str, str]]:
        found = set()
        for name, value in table["properties"].items():
            path = f"{header.strip('[]')}.{name}" if header else name
            if value.get("type") == "object":
                found |= visit(value, f"[{path}]")
            elif "properties" in value.get("items", {}):
                found |= visit(value["items"], f"[[{path}]]")
            else:
                found.add((header, value["description"]))
        return found

    in_schema = visit(schema(), "")
    for system in installed.names(installed.SYSTEMS):
        for header, key in described(of_system(system)):
            if not header.startswith("[sources"):
                assert any(of == header and said.startswith(key.meaning) for of, said in in_schema), (header, key.name)
            assert key.kind.shape, key.name


@pytest.mark.parametrize("system", installed.names(installed.SYSTEMS))
def test_every_example_fits_its_shape(system: str) -> None:
    for header, key in described(of_system(system)):
        value = as_json(toml.parse(f"x = {key.example}".encode(), "x")["x"])
        assert Draft7Validator(dict(key.kind.shape)).is_valid(value), (header, key.name)


# Files spoilt in shape: the reader and the schema both refuse them. (old text, new text, what the schema's message names)
SPOILT = [
    ('title = "', 'titel = "', "titel"),
    ('system = "perpetual-v1"', 'system = "perpetual"', "perpetual"),
    ("id = 100", 'id = "100"', "chain id"),
    ("id = 100", "id = 0", "chain id"),
    (f'clearing_house = "{HOUSE}"\n', "", "clearing_house"),
    (f'clearing_house = "{HOUSE}"', f'settings = "{HOUSE}"', "'clearing_house' is a required property"),
    (f'clearing_house = "{HOUSE}"', f'clearing_house = "{HOUSE}"\nsettings = "{HOUSE}"', "chain: False schema"),
    (f'clearing_house = "{HOUSE}"', f'clearing_house = ["{HOUSE}"]', "chain clearing_house"),
    (HOUSE, HOUSE[:-1], "chain clearing_house"),
    (HOUSE, HOUSE[:-1] + "g", "chain clearing_house"),
    ("affected = true", 'affected = "yes"', "market 0 affected"),
    ("reference_price = 50_000", "reference_price = 0", "market 0 reference_price"),
    ("reference_price = 50_000", "reference_price = 1" + 20 * "0", "market 0 reference_price"),
    ("reference_price = 50_000", 'reference_price = "50000"', "market 0 reference_price"),
    (FROM + "\n", "", "'from' is a required property"),
    (f"{FROM}\n{TO}", "from_block = 1", "to_block"),
    (FROM, "from = 13_500_195", "eligibility from"),
    (FROM, "from = 2021-02-21T06:45:00.5+08:00", "eligibility from"),
    ("start = 2021-03-01T00:00:00Z", "start = 2021-03-01T00:00:00", "vesting start"),
    ('rebound_shorts = "exclude"', 'rebound_shorts = "excluded"', "rebound_shorts"),
    ('rebound_shorts = "exclude"\n', "", "rebound_shorts"),
    ("[eligibility]\n", "[eligibility]\nguard_verdicts = []\n", "guard_verdicts"),
    ("[eligibility]\n", '[eligibility]\nexclude_file = "x.csv"\n', "exclude_sha256"),
    ("[eligibility]\n", "[eligibility]\nlives = 1\n", "lives"),
    ('source = ["F34", "F35"]\n\n[restore]', "\n[restore]", "'source' is a required property"),
    ('source = ["F34", "F35"]\n\n[restore]', "source = []\n\n[restore]", "formula source"),
    ("decimals = 18\n", "decimals = 19\n", "settlement 0 decimals"),
    ("share = 1\n", "share = 2\n", "settlement 0 share"),
    ("share = 1\n", 'share = "1/0"\n', "settlement 0 share"),
    (PRICE, "price = -1", "settlement 0 price"),
    ("length = 3\n", "", "'length' is a required property"),
    ('calendar = "calendar-months"', 'calendar = "blocks"', "start_block"),
    (f'address = "{FUND}"\n', "", "'address' is a required property"),
    ("amount = 45_000\n", "", "budget 0"),
    ('what = "liquidations"\nvalue = 31', 'what = "liquidations"', "expect 0: 'value'"),
    ('what = "liquidations"\nvalue = 31', 'what = "amount"\nvalue = 31', "expect 0: 'token'"),
    ('file = "rehearsal/logs.jsonl.gz"', 'file = "../logs.jsonl.gz"', "input file"),
    ('file = "rehearsal/logs.jsonl.gz"', 'file = "/logs.jsonl.gz"', "input file"),
    ('title = "', 'title = "=', "title"),
    ("[formula]", "[[formula]]", "formula"),
    ("[[settlement]]", "[settlement]", "settlement"),
    ("[input]", "[inputs]", "inputs"),
    ("[formula]\n", '[valuation]\nprice = "marks"\nsource = "F2"\n\n[formula]\n', "valuation price"),
    ("[formula]\n", '[valuation]\nat = true\nsource = "F2"\n\n[formula]\n', "valuation at"),
    ("[sources]\n", "[sources]\nF99 = 1\n", "sources F99"),
    ("[sources]\n", '[sources.F99]\ntext = "x"\nlink = "y"\n\n[sources]\n', "sources F99"),
]


@pytest.mark.parametrize(("old", "new", "named"), SPOILT)
def test_what_the_reader_refuses_for_its_shape_the_schema_refuses_too(old: str, new: str, named: str) -> None:
    assert old in TEXT
    spoilt = TEXT.replace(old, new, 1)
    with pytest.raises(InputError):
        incident_file.parse(spoilt.encode(), "rehearsal", QUERIES)
    assert any(named in fault for fault in faults(spoilt)), faults(spoilt)


# Unusual files that the reader accepts: the schema must not refuse them.
ACCEPTED = [
    (HOUSE, f"gno:{HOUSE}"),
    (HOUSE, f" eip155:100:{HOUSE[2:]}"),
    (HOUSE, "0X" + HOUSE[2:]),
    (FROM, 'time_zone = "Asia/Taipei"\nfrom = 2021-02-21T06:45:00'),
    (f"{FROM}\n{TO}", "from_block = 1\nto_block = 2"),
    ("share = 1\n", 'share = "1/1"\n'),
    ('upfront = 0.5\ncalendar = "calendar-months"\nlength = 3\ntranches = 3\n', "upfront = 1.0\n"),
    ("[formula]\n", '[valuation]\nat = 2021-02-20T22:44:55Z\nprice = "twap"\nsource = "F2"\n\n[formula]\n'),
    ("[sources]\n", '[sources.F99]\ntext = "x"\nurl = "y"\n\n[sources]\n'),
    ('title = "', 'title = "Ü 1, 日本: '),
    (f'address = "{FUND}"\ntoken = "0xf12b5dd4ead5f743c6baa640b0216200e89b60da"\ndecimals = 6\n', "balance = 0\n"),
]


@pytest.mark.parametrize(("old", "new"), ACCEPTED)
def test_what_the_reader_accepts_the_schema_accepts(old: str, new: str) -> None:
    assert old in TEXT
    changed = TEXT.replace(old, new, 1)
    if "price" in new:
        changed = changed.replace("reference_price = 50_000\n", "", 1)
    incident_file.parse(changed.encode(), "rehearsal", QUERIES)
    assert faults(changed) == []


def test_a_protocols_contract_is_required_by_its_own_name() -> None:
    assert faults(PERPS_V2) == []
    assert any("'settings' is a required property" in fault for fault in faults(PERPS_V2.replace("settings = ", "clearing_house = ")))
    several = PERPS_V2.replace('settings = "', f'settings = ["{HOUSE}", "', 1).replace('"\nsource', '"]\nsource', 1)
    assert faults(several) == []


@pytest.mark.parametrize("path", [SCHEMA, README, RESULTS], ids=lambda path: path.name)
def test_what_is_made_of_the_description_is_up_to_date(path: Path) -> None:
    assert path.read_text() == made()[path], "type `make docs`"


def test_the_schema_is_printed_as_it_is_kept(tmp_path: Path) -> None:
    done = call("schema", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == SCHEMA.read_text()
    assert json.loads(done.stdout)["additionalProperties"] is False


def test_the_reference_has_every_key_of_every_protocol() -> None:
    sections = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |^<!-- end)", README.read_text(), re.M | re.S))
    for system in installed.names(installed.SYSTEMS):
        for header, key in described(of_system(system)):
            title = f"`{header.replace('*', 'NAME')}`" if header else "The top of the file"
            assert f"| `{key.name.replace('*', 'NAME')}`" in sections[title], (header, key.name)


def test_the_schema_accepts_every_precedent_and_refuses_a_chain_beside_claims() -> None:
    """They start from claims and have rules; the reader accepts them, and so does the schema."""
    files = sorted((Path(__file__).parent / "precedents").glob("**/*.toml"))
    assert len(files) > 30
    assert {path.name: faults(path.read_text()) for path in files} == {path.name: [] for path in files}
    assert any("perpetual-v1" in fault for fault in faults('system = "perpetual-v1"\n' + files[0].read_text()))
