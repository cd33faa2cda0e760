"""House rules that a reviewer would otherwise have to remember."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "perpcomp"
MODULES = sorted(PACKAGE.rglob("*.py"))

# The order of the design: a module imports only from those before it.
ORDER = [
    "version",
    "progress",
    "findings",
    "installed",
    "fixed",
    "curve",
    "glossary",
    "number_text",
    "eip55",
    "arithmetic",
    "writing",
    "lock",
    "text_file",
    "parquet_file",
    "object_store",
    "sheet_parts",
    "sheet_file",
    "packing",
    "engine",
    "tables",
    "ledger",
    "incident",
    "steps",
    "window",
    "ingest",
    "systems",
    "fetching",
    "piece",
    "shared_input",
    "decoded",
    "input",
    "lost_logs",
    "coverage",
    "guards",
    "price_file",
    "valuation",
    "eligibility",
    "formula",
    "formulas",
    "entitlement",
    "adjust",
    "rules",
    "payees",
    "owed",
    "payouts",
    "restore",
    "sheet_limits",
    "vesting",
    "claims",
    "totals",
    "against_input",
    "decide",
    "run",
    "pipeline",
    "begin",
    "explain",
    "publish",
    "audit",
    "checking",
]
APART = {"__init__", "__main__", "cli"}  # they call everything


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "perpcomp":
            rest = node.module.split(".")[1:]
            found |= {rest[0]} if rest else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    if here in APART:
        return
    assert here in ORDER, f"give {here} a place in ORDER"
    for other in imports(path) - {"__init__"}:
        assert other in ORDER, f"{path.name} imports {other}, which calls everything"
        assert ORDER.index(other) <= ORDER.index(here), f"{path.name} imports {other}, which stands below it"


PROTOCOL = re.compile(r"perpetual|synthetix|perps?[ _-]?v[12]", re.I)
QUERY_FILE = re.compile(r"queries/[a-z0-9-]+\.[a-z.]+")  # the name of a file that people run elsewhere
OF_PROTOCOLS = ("systems", "guards")


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) not in OF_PROTOCOLS], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_protocol_is_named_outside_its_folder(path: Path) -> None:
    """Adding a protocol must not touch other rooms: they ask its System."""
    named = [line for line in path.read_text().splitlines() if PROTOCOL.search(QUERY_FILE.sub("", line))]
    assert not named


LONG = {
    "audit/standalone.py": "one file by purpose: each bundle holds it, and it may import nothing of ours",
}  # module of more than 300 lines -> why it is one thing


def test_a_long_module_has_a_reason() -> None:
    long = {path.relative_to(PACKAGE).as_posix() for path in MODULES if len(path.read_text().splitlines()) > 300}
    assert long == set(LONG), "split it, or say why it is one thing"


MONEY = {
    *("fixed", "curve", "arithmetic", "systems", "guards", "valuation", "eligibility", "formula", "formulas"),
    *("entitlement", "adjust", "payees", "payouts", "restore", "vesting", "claims", "totals", "decide", "explain", "rules", "owed"),
}


def counts_money(path: Path) -> bool:
    return room(path) in MONEY


@pytest.mark.parametrize("path", [*filter(counts_money, MODULES)], ids=lambda p: p.name)
def test_no_float_stands_where_money_is_counted(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"line {node.lineno}: write fixed.amount('0.5')"
        assert not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"), f"line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_and_public_function_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or node.name == "top", f"{node.name} in {path.name}"


# Numbers of the money modules that are no policy: what each is instead.
NO_POLICY = {
    "claims/dialect.py _ZEROS": "what fills an address up to a word",
    "claims/payee_list.py NAMED": "how many rows are named",
    "claims/payments/hedgey.py DAY": "a unit",
    "claims/payments/sablier.py ONE": "a unit",
    "claims/payments/sablier_streams.py MINUTE": "a unit",
    "decide/alarms.py NAMED": "how many traders a finding names",
    "decide/fairness.py TOP": "of how many the share is shown",
    "decide/fairness.py EXAMPLES": "how many are named",
    "decide/fairness.py SHORT": "a threshold of speed; it decides nothing",
    "decide/sensitivity/shown.py NEAREST": "how many rows are shown",
    "decide/sensitivity/table.py EVERY_PAIR": "up to how many traders all pairs are listed",
    "decide/votes.py MOST": "how many cells are named",
    "fixed.py ONE": "a unit",
    "fixed.py LIMIT": "what a column holds",
    "fixed.py SHORT": "a threshold of speed; it decides nothing",
    "guards/counterfactual/crossings.py NEAR": "how near is asked; it decides nothing",
    "guards/counterfactual/scenarios.py NEVER": "later than any time",
    "guards/sweep.py MULTIPLES": "the grid of a sweep; it decides nothing",
    "guards/rules/funding.py DAY": "a unit",
    "guards/rules/margins.py WORD": "what a word holds",
    "payees.py NAMED": "how many addresses a finding names",
    "payees.py _NO_KEY": "zero digits that no search for a key reaches",
    "payouts.py NAMED": "how many traders a finding names",
    "systems/perpetual_v1/liquidations.py PARTITION": "how many events are followed at a time",
    "vesting/checks.py NAMED": "how many payouts a finding names",
    "rules/sources.py MOST": "how many cells are named",
    "rules/unwind.py _GUARD": "bits carried below the last digit",
    "systems/continuity.py MOST": "how many findings are shown",
    "systems/perpetual_v1/replay/market_replay.py MOST": "how many findings are shown",
    "systems/perpetual_v1/events.py DUST": "the smallest unit of a fee, divided by the smallest ratio",
}
SOURCE = re.compile(r"\bsource:|https?://|\b(SIP|SCCP)-\d+", re.I)


def numbers_of(path: Path) -> dict[str, str]:
    """Name -> comment of each constant of a module that is made of numbers, or of digits in a text."""
    text = path.read_text()
    lines, found = text.splitlines(), {}
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        value = getattr(node, "value", None)
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or not targets[0].id.isupper() or value is None:
            continue
        called = {
            n.func.id if isinstance(n.func, ast.Name) else getattr(n.func, "attr", "") for n in ast.walk(value) if isinstance(n, ast.Call)
        }
        named = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)} - {"Decimal", "Fraction", "fixed"}
        digits = [n.value for n in ast.walk(value) if isinstance(n, ast.Constant)]
        if named or called - {"Decimal", "Fraction", "amount"} or not digits or not all(re.fullmatch(r"[\d./_]+", str(d)) for d in digits):
            continue
        above = node.lineno - 1
        while above and lines[above - 1].startswith("#"):
            above -= 1
        found[targets[0].id] = "\n".join(lines[above : node.end_lineno])
    return found


def test_policy_numbers_stand_in_queries_not_in_python() -> None:
    """No address and no date in the package's code; and where money is counted, no number without its source beside it."""
    unsourced = set()
    for path in MODULES:
        text = path.read_text()
        assert not re.search(r"0x[0-9a-fA-F]{40}\b", text), path
        assert not re.search(r"datetime\(20\d\d", text), path
        if counts_money(path):
            place = path.relative_to(PACKAGE).as_posix()
            unsourced |= {f"{place} {name}" for name, comment in numbers_of(path).items() if not SOURCE.search(comment)}
    assert unsourced == set(NO_POLICY), "write `Source: ...` beside it, or say above what it is instead"
    assert "MAINTENANCE" in numbers_of(PACKAGE / "systems" / "perpetual_v1" / "events.py")


def test_rows_are_built_by_column_name() -> None:
    """Two swapped amounts have the right types, so no check sees them: no row of a table is a tuple in column order."""
    by_position = {path.relative_to(PACKAGE).as_posix() for path in MODULES if re.search(r"""orient\s*=\s*["']row["']""", path.read_text())}
    assert by_position <= {"guards/rules/screens.py"}, "a scratch frame of a row number and a flag, not a table"


READERS = (
    *("text_file.py", "decide/votes.py", "rules/sources.py", "claims/payee_list.py", "tables/files.py", "audit/compare.py"),
    *("audit/recount/listing.py", "claims/signatures.py"),
    *("ingest/exports/read.py", "ingest/node/store.py"),
)


def test_one_reader_of_csv_and_parquet() -> None:
    """Of our tables. text_file.py reads any CSV as text; exports/read.py, rules/sources.py and recount/listing.py read tables of others, whose columns are not known before they are read."""
    """Of our tables. text_file.py reads any CSV as text; exports/read.py, rules/sources.py and decide/votes.py read tables of others, whose columns are not known before they are read."""
    for path in MODULES:
        if path.relative_to(PACKAGE).as_posix() not in READERS:
            assert "read_csv(" not in path.read_text(), path
            assert "read_parquet(" not in path.read_text(), path


def test_what_counts_money_is_tested_under_every_python() -> None:
    """CI runs the tests marked `money` under each interpreter that it finds, all others under one."""
    tested = [path for name in MONEY if (path := Path(__file__).with_name(f"test_{name}.py")).exists()]
    assert len(tested) > 7
    for path in tested:
        assert "\npytestmark = pytest.mark.money\n" in path.read_text(), path


TEXTS = {"where", "what", "what_to_do"}  # of a Finding, for people
NOT_FINDINGS = {
    "action",
    "expected",
    "difference",
}  # `what` is a kind: of an action in history, of an [[expect]]; `where` is a place to compare
METHODS = {
    "startswith",
    "endswith",
    "find",
    "index",
    "count",
    "split",
    "partition",
    "rpartition",
    "removeprefix",
    "removesuffix",
    "replace",
}


def inspected_texts(tree: ast.AST) -> list[int]:
    """Lines that compare, search, match or slice a text of a finding."""

    def is_text(node: ast.AST) -> bool:
        if not (isinstance(node, ast.Attribute) and node.attr in TEXTS):
            return False
        return not (isinstance(node.value, ast.Name) and node.value.id in NOT_FINDINGS)

    lines = []
    for node in ast.walk(tree):
        read: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            read = [node.left, *node.comparators]
        elif isinstance(node, ast.Subscript):
            read = [node.value]
        elif isinstance(node, ast.Match):
            read = [node.subject]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            read = [node.func.value] if node.func.attr in METHODS else list(node.args) if ast.unparse(node.func.value) == "re" else []
        lines += [node.lineno for part in read if is_text(part)]
    return lines


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_programs_read_the_code_of_a_finding_and_never_its_texts(path: Path) -> None:
    assert not inspected_texts(ast.parse(path.read_text())), "give the finding a code, and ask for that"


@pytest.mark.parametrize(
    "line",
    [
        'x = "[[" in p.where',
        'x = p.where == "a"',
        'x = p.what.startswith("a")',
        "x = p.what_to_do[:3]",
        're.search("a", p.what)',
        'x = [q for q in problems if q.where.endswith("]")]',
    ],
)
def test_a_text_of_a_finding_that_is_inspected_is_found(line: str) -> None:
    assert inspected_texts(ast.parse(line)) == [1]


RAISING = {"web3", "eth_account", "py_ecc"}  # their imports raise Python's recursion limit for the whole process


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_import_raises_the_limit_of_recursion(path: Path) -> None:
    """Else a deeply nested file that is read later would overflow the stack, instead of being refused."""
    tree = ast.parse(path.read_text())
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.With | ast.If)]
    guards = ("with same_recursion_limit()", "if TYPE_CHECKING:")
    guarded = {n for block in blocks if ast.unparse(block).startswith(guards) for n in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in guarded:
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not RAISING & {name.split(".")[0] for name in named}, f"line {node.lineno}: import it within same_recursion_limit"


def test_no_test_is_skipped() -> None:
    for path in Path(__file__).parent.rglob("*.py"):
        if path != Path(__file__):
            assert not re.search(r"pytest\.skip|mark\.(skip|xfail)|importorskip", path.read_text()), path


@pytest.mark.parametrize("path", ["requirements.lock", "tests/mutants/requirements.lock"])
def test_a_lock_has_hashes_and_no_addresses(path: str) -> None:
    lock = (ROOT / path).read_text()
    assert not re.search(r"https?://|--index|--extra-index|find-links", lock)
    assert lock.count("--hash=sha256:") > 100
