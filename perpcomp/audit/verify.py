"""Making a published run again from its own inputs, and reporting every difference."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from perpcomp import formula, pipeline, progress
from perpcomp.audit.compare import Difference, compare, compare_json
from perpcomp.audit.corrections import explained
from perpcomp.audit.other_version import (
    compare_findings,
    compare_governors,
    compare_pages,
    compare_proposals,
    compare_texts,
    compare_workbooks,
)
from perpcomp.findings import refusal
from perpcomp.publish.carried import LOCK_FILE, VERIFIER
from perpcomp.publish.files import FINDINGS_FILE, README_FILE, REPORT_FILE, WORKBOOK_FILE, files
from perpcomp.publish.folder import ASIDE, about_stray_file
from perpcomp.publish.manifest import ENTITLED, manifest
from perpcomp.publish.proposal import CONTENT, GOVERNOR, PAGE
from perpcomp.publish.read_back import altered, incident_of, input_hashes, input_of
from perpcomp.publish.stated import MANIFEST, Stated, parse_manifest, read_manifest
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.version import VERSION

ENTITLED_BEFORE = ENTITLED.format("usdc")  # as the first version called the total of every quote asset
WORDS = {
    FINDINGS_FILE: compare_findings,
    WORKBOOK_FILE: compare_workbooks,
    README_FILE: compare_texts,
    REPORT_FILE: compare_pages,
    PAGE: compare_texts,
    CONTENT: compare_proposals,
    GOVERNOR: compare_governors,
}  # files that each version of perpcomp words in its way
TEXTS = (".csv", ".md", ".html")
ADDED = (
    "payee.csv",
    README_FILE,
    REPORT_FILE,
    "differences.csv",
    "preferences.csv",
    "elections.csv",
    "fairness.csv",
    "sensitivity.csv",
    LOCK_FILE,
    VERIFIER,
    PAGE,
    CONTENT,
)  # files that the first versions did not publish


@dataclass(frozen=True)
class Verdict:
    """What verify found in so many files. Notes do not count as differences: other versions, and what was not compared because of them."""

    files: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.differences


def verify(folder: Path) -> Verdict:
    """Check that a folder holds what its manifest states, recompute the run, and compare every file: differing cells first.

    Of a run that another version of perpcomp made, the files of WORDS are compared by the data in them (other_version.py), and
    a note says so; all other files must be the same whatever version made them. A file that its manifest does not fit is compared by its
    hash, and parsed only if it is text: a changed Parquet file can abort its reader. InputError where the folder is no run, or where its
    inputs can no longer be read.
    """
    progress.now("Reading the published files")
    stated = read_manifest(folder)
    inputs = input_hashes(stated)
    published = {name: entry["sha256"] for name, entry in stated["files"].items()}
    _, stray = stray_files(folder, published)
    if changed := list(_altered(folder, inputs)):
        # Without its inputs the run cannot be made again, so nothing is compared but hashes.
        return Verdict(len(published), tuple(dict.fromkeys([*changed, *_altered(folder, published)])), tuple(stray))
    again = recompute(folder, stated)
    expected = files(again)
    document = parse_manifest(manifest(again, expected), MANIFEST)
    other_tool = stated["tool"] != document["tool"]
    if other_tool:
        document = _as_stated_before(document, stated)
    versions = _other_versions(stated, document)
    if other_tool and ENTITLED_BEFORE in stated["totals"]:
        document["totals"][ENTITLED_BEFORE] = document["totals"].pop(ENTITLED.format(units(again.incident).quote.lower()))
    unknown = [name for name in ADDED if other_tool and name not in stated["files"]]
    for name in unknown:
        del expected[name], document["files"][name]
        document["tables"].pop(name, None)

    progress.now("Comparing every file")
    unfit = dict(altered(folder, published))
    differences, notes = list[Difference](), list[str]()
    if unknown:
        notes.append(f"Not compared, because only this version publishes it: {', '.join(unknown)}.")
    for name in sorted(expected):
        if not (folder / name).is_file() or (data := (folder / name).read_bytes()) == expected[name]:
            continue
        if name in unfit and not name.endswith(TEXTS):
            continue  # named by its hash below
        if other_tool and name in (LOCK_FILE, VERIFIER):
            notes.append(f"{name} is that of the version that made the run: compared by its hash alone.")
            continue
        if other_tool and name in WORDS:
            found, remarks = WORDS[name](name, data, expected)
            notes += remarks
        elif not (found := compare(name, data, expected[name])):
            notes.append(f"{name} has other bytes than a run here gives, and the same content.")
        differences += found
    differences += _altered(folder, published)
    differences += _other_files(folder, stated, expected)
    if other_tool:
        notes += _other_code(stated, document)
        notes += explained(differences, str(stated["tool"].get("version")), VERSION)
    differences += compare_json(
        MANIFEST, _comparable(stated, bool(versions), other_tool), _comparable(document, bool(versions), other_tool)
    )
    return Verdict(len(expected) + 1, tuple(differences), tuple(versions + notes + stray))


def _altered(folder: Path, hashes: Mapping[str, str]) -> Iterator[Difference]:
    """Files that are missing, or whose bytes do not have the sha256 that the manifest states."""
    for name, found in altered(folder, hashes):
        if found is None:
            yield Difference(name, "missing", "a file of the run")
        else:
            yield Difference(name, f"sha256 {found}", f"sha256 {hashes[name]} by the manifest")


def _other_files(folder: Path, stated: Stated, expected: dict[str, bytes]) -> Iterator[Difference]:
    """Files that only the folder, only its manifest, or only the recomputed run has."""
    for name in stray_files(folder, stated["files"])[0]:
        yield Difference(name, "not in the manifest", "no such file")
    for name in sorted(set(stated["files"]) - set(expected)):
        yield Difference(name, "listed in the manifest", "no such file")
    for name in sorted(set(expected) - set(stated["files"])):
        yield Difference(name, "not in the manifest", "a file of the run")


def stray_files(folder: Path, listed: Iterable[str]) -> tuple[list[str], list[str]]:
    """The files in the folder of a run that are neither listed nor harmless; and what the harmless ones are, in sentences.

    What `perpcomp guards` wrote there is passed over.
    """
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
    others = sorted(name for name in names - {MANIFEST, *listed} if not name.startswith(ASIDE))
    said = {name: about_stray_file(name) for name in others}
    return [name for name, words in said.items() if words is None], [words for words in said.values() if words is not None]


def _as_stated_before(document: Stated, stated: Stated) -> Stated:
    """What another version would have stated of this run, as far as it said less: the first stated no coverage, overrides, block or legs."""
    inputs = {role: files for role, files in document["inputs"].items() if role in stated["inputs"] or files}
    return {key: value for key, value in document.items() if key in stated} | {"format": stated["format"], "inputs": inputs}


def _other_versions(stated: Stated, document: Stated) -> list[str]:
    """Versions of libraries and of perpcomp that are not those installed here."""
    made = {**stated["versions"], "perpcomp": stated["tool"].get("version")}
    here = {**document["versions"], "perpcomp": document["tool"]["version"]}
    return [
        f"{name} {version} made it, {here[name]} is installed" for name, version in made.items() if name in here and here[name] != version
    ]


def _other_code(stated: Stated, document: Stated) -> list[str]:
    """Formulas whose source file is not the one that made the run."""
    made = {one["name"]: one["code_sha256"] for one in (*stated["compared"], stated["formula"])}
    here = {one["name"]: one["code_sha256"] for one in (*document["compared"], document["formula"])}
    return [f"the source file of the formula {name} is another; its amounts were compared" for name in here if made[name] != here[name]]


def _comparable(document: Stated, other_versions: bool, other_tool: bool) -> Stated:
    """The part of a manifest that must be the same.

    Other versions of a library may write the same rows as other bytes. Another version of perpcomp may also word findings and the
    workbook otherwise, and have formulas with other comments. What these hashes stand for was compared above.
    """
    skipped = {"tool", "versions"} | ({"files", "workbook_content_sha256"} if other_versions else set())
    kept = {key: value for key, value in document.items() if key not in skipped}
    if other_tool:
        kept["tables"] = {name: entry for name, entry in kept["tables"].items() if name not in WORDS}
        kept["formula"], *kept["compared"] = ({**one, "code_sha256": None} for one in (kept["formula"], *kept["compared"]))
    return kept


def recompute(folder: Path, stated: Stated) -> Run:
    """The run made of the folder's inputs, by the formulas that the manifest names."""
    compared = [entry["name"] for entry in stated["compared"]]
    incident = incident_of(folder, stated)
    known = {*formula.installed(), *(rule.name for rule in incident.rules)}
    absent = [name for name in {stated["formula"]["name"], *compared} if name not in known]
    if absent:
        listed = ", ".join(sorted(absent))
        raise refusal(str(folder), f"The run was made with formulas that are not installed: {listed}.", "Install their package.")
    return pipeline.compute(incident, input_of(folder, stated, incident), stated["formula"]["name"], compared)
