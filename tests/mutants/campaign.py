"""Mutation testing of the money path by cosmic-ray: see README.md. `make mutants` runs it, in the environment of requirements.lock."""

import argparse
import ast
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult
from forks import Forks
from listed import Mutant, listed
from modules import tests_of
from operators import Provider

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "bin" / "python"
PLACE = ROOT / "build" / "mutants"
HANGS = 300  # seconds of CPU time that no module's tests take
TREE = PLACE / "tree"  # a mutant is written into this copy, never into the working tree

# Of each operator the replacements that a slip of the pen makes. The others (x ** y for x + y) fail at once, and would only raise the score.
REPLACEMENTS = {
    *("Add_Sub", "Sub_Add", "Mul_Add", "Div_Mul", "FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul"),
    *("BitOr_BitAnd", "BitAnd_BitOr", "RShift_LShift", "LShift_RShift"),
    *("Eq_NotEq", "Eq_GtE", "Eq_LtE", "NotEq_Eq", "NotEq_Gt", "NotEq_Lt", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt"),
    *("Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is", "In_NotIn", "NotIn_In"),
}
REPLACED = re.compile(r"core/Replace(?:Binary|Comparison)Operator_(.+)")
LEFT_OUT = ("core/RemoveDecorator", "core/ExceptionReplacer")  # without its decorator a dataclass or a formula is none
GUARDS = ("strict", "frozen", "slots")  # guards of the language, which no result shows

Span = tuple[tuple[int, int], tuple[int, int]]


def main() -> None:
    """Run the mutants of each module that have no result yet, and say which survive without being listed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="only these, as perpcomp/fixed.py")
    parser.add_argument("--sample", type=int, help="so many mutants of each module, drawn at random; without it all")
    parser.add_argument("--seed", type=int, default=1, help="of that draw")
    parser.add_argument("--again", action="store_true", help="run the survivors of the last run again, by the tests of now")
    asked = parser.parse_args()
    os.nice(19)
    cosmic_ray.plugins.OPERATOR_PROVIDERS["perpcomp"] = Provider()
    _copy_tree()
    os.chdir(TREE)
    known, totals, unlisted = listed(), [0, 0, 0], list[Mutant]()
    with Forks(PYTHON, TREE) as forks:
        for module, tests in tests_of(TREE).items():
            if asked.modules and module not in asked.modules:
                continue
            begin = time.monotonic()
            counts, survived = _run(module, tests, asked, forks)
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
            new = [one for one in survived if one not in known]
            unlisted += new
            print(f"{module}: {_said(*counts)}, {len(new)} not listed; {time.monotonic() - begin:.0f} s", flush=True)
    print(_said(*totals))
    for one in unlisted:
        print(f"\n{one.module}\n- {one.before}\n+ {one.after}")
    sys.exit(1 if unlisted else 0)


def _said(mutants: int, tried: int, survived: int) -> str:
    return f"{mutants:,} mutants, {tried:,} tried, {tried - survived:,} killed, {survived:,} survived"


def _copy_tree() -> None:
    shutil.rmtree(TREE, ignore_errors=True)
    names = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, TREE / name)


def _run(module: str, tests: list[str], asked: argparse.Namespace, forks: Forks) -> tuple[tuple[int, int, int], list[Mutant]]:
    """How many mutants the module has, how many of them were tried, and how many survived; and these."""
    drawn = hashlib.sha256(f"{asked.seed} {Path(module).read_text()}".encode()).hexdigest()[:8]
    session = PLACE / f"{module.removesuffix('.py').replace('/', '-')}-{drawn}.sqlite"
    with use_db(str(session)) as db:
        mutants = _mutants(module, db, asked.sample, asked.seed, asked.again)
        limit = _limit(tests, forks) if db.pending_work_items else 0
        for item in db.pending_work_items:
            db.set_result(item.job_id, _tried(item.mutations[0], tests, limit, forks))
        results = [result for _, result in db.completed_work_items]
    survived = [_of_diff(module, result) for result in results if result.test_outcome is TestOutcome.SURVIVED]
    return (mutants, len(results), len(survived)), survived


def _tried(mutation: MutationSpec, tests: list[str], limit: int, forks: Forks) -> WorkResult:
    """The result of the tests on a mutant, which is on disk while they run."""
    operator = get_operator(mutation.operator_name)()
    with use_mutation(mutation.module_path, operator, mutation.occurrence) as (before, after):
        done = forks.run(tests, limit)
    outcome = TestOutcome.KILLED if done.code else TestOutcome.SURVIVED
    diff = "\n".join(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))
    return WorkResult(WorkerOutcome.NORMAL, f"{done.code}\n{done.output}", outcome, diff)


def _limit(tests: list[str], forks: Forks) -> int:
    """The seconds of CPU time after which a mutant hangs: three times what the tests take without one, which must pass."""
    done = forks.run(tests, HANGS, compiles=True)
    if done.code:
        sys.exit(f"The tests fail without a mutant, so they would kill every one: {' '.join(tests)}\n{done.output}")
    return 10 + 3 * int(done.seconds)


def _mutants(module: str, db: WorkDB, sample: int | None, seed: int, again: bool) -> int:
    """Put the module's mutants, or those that are drawn, into the session, with the results that it has; how many the module has."""
    had = {_key(item): result for item, result in db.completed_work_items}
    init([Path(module)], db, {})
    ignored = list(_ignored(Path(module).read_text()))
    items = sorted((one for one in db.work_items if _wanted(one.mutations[0], ignored)), key=_key)
    random.Random(f"{seed} {module}").shuffle(items)  # so a smaller sample is the beginning of a larger one
    db.clear()
    db.add_work_items(items[:sample])
    for item in items[:sample]:
        result = had.get(_key(item))
        if result is not None and not (again and result.test_outcome is not TestOutcome.KILLED):
            db.set_result(item.job_id, result)
    return len(items)


def _key(item: WorkItem) -> tuple[str, int]:
    return item.mutations[0].operator_name, item.mutations[0].occurrence


def _wanted(mutation: MutationSpec, ignored: list[Span]) -> bool:
    replaced = REPLACED.fullmatch(mutation.operator_name)
    if (replaced and replaced[1] not in REPLACEMENTS) or mutation.operator_name in LEFT_OUT:
        return False
    return not any(start <= tuple(mutation.start_pos) < end for start, end in ignored)


def _ignored(source: str) -> Iterator[Span]:
    """Where the annotations and the GUARDS of a module stand."""
    for node in ast.walk(ast.parse(source)):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        parts += [word.value for word in getattr(node, "keywords", []) if word.arg in GUARDS]
        for part in parts:
            if isinstance(part, ast.expr):
                yield (part.lineno, part.col_offset), (part.end_lineno or 0, part.end_col_offset or 0)


def _of_diff(module: str, result: WorkResult) -> Mutant:
    lines = [line for line in (result.diff or "").splitlines() if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Mutant(module, before, after)


if __name__ == "__main__":
    main()
