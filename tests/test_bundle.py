"""Bundles: the same bytes anywhere, every damage found and named, nothing parsed or written of what is unsafe; and forgeries that re-hash."""

import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785

import perpcomp
from perpcomp.audit import archive, bundle, in_child, levels
from perpcomp.audit.archive import pack, unpack
from perpcomp.findings import InputError
from perpcomp.publish.read_back import altered
from perpcomp.publish.stated import parse_manifest
from tests import build, stated
from tests.build import address, position
from tests.commands import call
from tests.planned import WITH_FILES

ROOT = Path(__file__).parent.parent
MANY = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
FLIPS = 200 if MANY else 20  # places of each file

Files = dict[str, bytes]


def members(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_a_bundle_is_the_runs_folder_as_one_file(data: bytes, published_rehearsal: Path) -> None:
    there = {
        path.relative_to(published_rehearsal).as_posix(): path.read_bytes() for path in published_rehearsal.rglob("*") if path.is_file()
    }
    assert members(data) == there
    assert {"lock.txt", "verify.py", "inputs/rehearsal.toml", "inputs/logs.jsonl.gz"} < set(there)


def test_the_manifest_is_an_in_toto_statement_in_canonical_bytes(data: bytes) -> None:
    files = members(data)
    document = json.loads(files["manifest.json"])
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "urn:perpcomp:run:v2"
    assert rfc8785.dumps(document) == files["manifest.json"]
    listed = {one["name"]: one["digest"]["sha256"] for one in document["subject"]}
    assert listed == {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != "manifest.json"}
    states = document["predicate"]
    (leg,) = states["legs"]
    assert leg["total_base_units"] == states["totals"]["amount_1e18"]["PERP"] == "8220331472917692825739"
    assert leg["claims_sha256"] == states["tables"]["4-claims.csv"]["row_sha256"] == listed["4-claims.csv"], "one token pays all"
    assert states["query"]["sha256"] == listed["inputs/rehearsal.toml"]
    assert "python" not in states["versions"], "no byte depends on the interpreter, so it is not in what people sign"
    numbers = [value for value in leaves(document) if isinstance(value, int | float) and not isinstance(value, bool)]
    assert numbers == [], "amounts are texts"


def leaves(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inner is None else [leaf for one in inner for leaf in leaves(one)]


SCRIPT = "import hashlib, sys; from pathlib import Path; from perpcomp.audit.bundle import bundle; print(hashlib.sha256(bundle(Path(sys.argv[1]))).hexdigest())"


def test_the_same_bytes_in_other_surroundings(data: bytes, tmp_path: Path, published_rehearsal: Path) -> None:
    surroundings = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "5", "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(published_rehearsal)],
        cwd=tmp_path,
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
        check=True,
        umask=0o077,
    )
    assert done.stdout.strip() == hashlib.sha256(data).hexdigest()
    assert {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(data)).infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_bundle_holds_no_path_and_no_host(data: bytes) -> None:
    import socket

    for name, content in members(data).items():
        assert str(ROOT).encode() not in content, name
        assert f'"{socket.gethostname()}"'.encode() not in content, name
    assert b"://" not in members(data)["lock.txt"]


@pytest.mark.property
def test_every_flipped_bit_and_byte_is_found_with_the_file_named(data: bytes, packed: Path) -> None:
    """200 random places of each file; in its bytes the file is named, in the archive's own bytes the place."""
    chance, entries = random.Random(1), zipfile.ZipFile(io.BytesIO(data)).infolist()
    for entry in entries:
        start = entry.header_offset + 30 + len(entry.filename)
        for n in range(FLIPS):
            spoiled = bytearray(data)
            spoiled[start + chance.randrange(entry.file_size)] ^= 1 << chance.randrange(8) if n % 2 else chance.randrange(1, 256)
            packed.write_bytes(spoiled)
            with pytest.raises(InputError) as refused:
                unpack(packed)
            assert refused.value.exit_code == 4
            assert entry.filename in str(refused.value)
    outside = [n for e in entries for n in range(e.header_offset, e.header_offset + 30 + len(e.filename))]
    outside += range(entries[-1].header_offset + 30 + len(entries[-1].filename) + entries[-1].file_size, len(data))
    for place in chance.sample(outside, FLIPS * 5):
        spoiled = bytearray(data)
        spoiled[place] ^= 1 << chance.randrange(8)
        packed.write_bytes(spoiled)
        with pytest.raises(InputError) as refused:
            unpack(packed)
        assert refused.value.exit_code == 4


@pytest.mark.property
def test_every_flip_in_the_folder_of_a_run_is_named(tmp_path: Path, published_rehearsal: Path) -> None:
    """By the hashes alone: nothing is parsed."""
    chance = random.Random(2)
    hashes = stated.read(published_rehearsal)["files"]
    for name in sorted(hashes):
        content = bytearray((published_rehearsal / name).read_bytes())
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        for _ in range(FLIPS):
            place, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
            content[place] ^= bit
            (tmp_path / name).write_bytes(content)
            content[place] ^= bit
            ((named, _),) = list(altered(tmp_path, {name: hashes[name]["sha256"]}))
            assert named == name


def zipped(entries: list[tuple[zipfile.ZipInfo | str, bytes]], comment: bytes = b"", kind: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", kind) as target:
        warnings.simplefilter("ignore")  # of two entries with one name
        target.comment = comment
        for name, content in entries:
            target.writestr(name, content)
    return made.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, archive.EPOCH)
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    return entry


UNSAFE: dict[str, Callable[[bytes], bytes]] = {
    "a way out": lambda data: pack({**members(data), "../x": b"1"}),
    "a way out inside": lambda data: pack({**members(data), "inputs/../../x": b"1"}),
    "an absolute path": lambda data: pack({**members(data), "/etc/x": b"1"}),
    "a drive": lambda data: pack({**members(data), "C:x": b"1"}),
    "a backslash": lambda data: pack({**members(data), "inputs\\x": b"1"}),
    "a folder": lambda data: pack({**members(data), "inputs/x/": b""}),
    "a link": lambda data: zipped([*members(data).items(), (link("inputs/x"), b"/etc/passwd")]),
    "one name twice": lambda data: zipped([*members(data).items(), ("lock.txt", b"other")]),
    "one name in two cases": lambda data: pack({**members(data), "LOCK.txt": b"other"}),
    "a bomb": lambda data: zipped([*members(data).items(), ("inputs/big", bytes(50_000_000))], kind=zipfile.ZIP_DEFLATED),
    "a comment": lambda data: zipped([*members(data).items()], comment=b"hello"),
    "bytes behind": lambda data: data + b"PK",
    "bytes before": lambda data: b"#!/bin/sh\n" + data,
    "no archive": lambda _: b"hello",
    "nothing": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "no manifest": lambda data: pack({name: content for name, content in members(data).items() if name != "manifest.json"}),
    "another manifest": lambda data: pack({**members(data), "manifest.json": b'{"predicate":{"format":"perpcomp-run-v9"}}'}),
    "a manifest in other bytes": lambda data: pack(
        {**members(data), "manifest.json": json.dumps(json.loads(members(data)["manifest.json"])).encode()}
    ),
    "a long manifest": lambda data: pack({**members(data), "manifest.json": b" " * 16_000_001}),
    "a deep manifest": lambda data: pack({**members(data), "manifest.json": b"[" * 100_000}),
    "a key twice": lambda data: pack({**members(data), "manifest.json": b'{"predicate":{},"predicate":{}}'}),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_an_unsafe_archive_is_refused_and_nothing_is_written(what: str, data: bytes, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(packed.parent / "temporary"))
    (packed.parent / "temporary").mkdir()
    packed.write_bytes(UNSAFE[what](data))
    before = sorted(packed.parent.rglob("*"))
    done = call("verify", str(packed), cwd=packed.parent)
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("error: ")
    assert sorted(packed.parent.rglob("*")) == before


def test_a_file_that_its_hash_does_not_fit_is_named_and_nothing_is_parsed(data: bytes, packed: Path) -> None:
    packed.write_bytes(pack({**members(data), "1-events.parquet": b"PAR1 not really", "extra.csv": b""}))
    done = call("verify", str(packed), "--json", cwd=packed.parent)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert [one["where"] for one in found["differences"]] == ["1-events.parquet", "extra.csv"]
    assert [one["result"] for one in found["levels"]] == ["FAIL", *["SKIPPED"] * 5]


def test_a_whole_bundle_passes_and_says_what_that_does_not_prove(packed: Path) -> None:
    done = call("verify", str(packed), cwd=packed.parent)
    assert (done.returncode, done.stdout) == (0, "")
    count = len(members(packed.read_bytes())) - 1
    assert f"integrity PASS: {count} files by the hashes of manifest.json, sha256 " in done.stderr
    assert "made again from the inputs, 0 differences. It does not prove that the input holds every log" in done.stderr
    for level in ("proof", "rpc", "claims", "sheet"):
        assert f"{level} SKIPPED: " in done.stderr
    assert done.stderr.endswith(f"PASS: {count + 1} files compared, 0 differences.\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.zip"], "error: nowhere.zip: There is no such file or folder."),
        (["r.zip", "--signer", "0x12"], 'error: --signer: It is "0x12", not an address.'),
        (["r.zip", "--signer", "0x" + "Ab" * 20], "error: --signer: It is 0xAbAb"),
        (["r.zip", "--signatures", "nowhere.json"], "error: nowhere.json: There is no such file of signatures."),
    ],
)
def test_wrong_usage_is_one_error(words: list[str], said: str, packed: Path) -> None:
    done = call("verify", *words, cwd=packed.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)


# Forgeries whose hashes all fit.


def forged(data: bytes, change: Callable[[Files], None]) -> bytes:
    """The bundle with changed files, and every hash and total brought in line, as a careful forger would."""
    files = members(data)
    change(files)
    says = parse_manifest(files["manifest.json"], "")
    stated.in_line(says, files)
    return pack({**files, "manifest.json": stated.written(says)})


def without_log(files: Files, number: int = 200) -> None:
    lines = gzip.decompress(files["inputs/logs.jsonl.gz"]).splitlines(keepends=True)
    changed = "0x4c7b764f428c13bbea8cc8da90ebe6eef4dafeb27a4e3d9041d64208c47ca7c2"
    places = [n for n, line in enumerate(lines) if changed.encode() in line]
    del lines[places[number]]
    files["inputs/logs.jsonl.gz"] = gzip.compress(b"".join(lines), mtime=0)


def one_unit_more(files: Files) -> None:
    """One base unit more for one trader, in every table that states it."""
    units, more = "704968747833953461691", "704968747833953461692"
    for name in ("3-payouts.csv", "4-claims.csv", "payee.csv"):
        text = files[name].decode()
        text = text.replace(f",704.{units[3:]},{units},", f",704.{more[3:]},{more},")
        files[name] = text.encode()


def a_changed_price(files: Files) -> None:
    query = files["inputs/rehearsal.toml"]
    files["inputs/rehearsal.toml"] = query.replace(b"price = 6.93250035067212", b"price = 6.93250035067211")


def a_changed_amount_of_a_log(files: Files) -> None:
    lines = gzip.decompress(files["inputs/logs.jsonl.gz"]).decode().splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines) if "0x5225638a979dd133f201045ab4169ec2189874d864f2b5a10be72ac6e4b421b4" in line)
    margin = json.loads(lines[place + 1])
    margin["data"] = margin["data"][:-1] + ("0" if margin["data"][-1] != "0" else "1")
    lines[place + 1] = json.dumps(margin, separators=(",", ":")) + "\n"
    files["inputs/logs.jsonl.gz"] = gzip.compress("".join(lines).encode(), mtime=0)


def a_changed_verifier(files: Files) -> None:
    files["verify.py"] = b"print('all is well')\n"


@pytest.mark.parametrize("change", [without_log, one_unit_more, a_changed_price, a_changed_amount_of_a_log])
def test_a_forgery_whose_hashes_fit_is_found_by_making_the_run_again(change: Callable[[Files], None], data: bytes, packed: Path) -> None:
    """By perpcomp, and by the verifier that shares no code with it."""
    packed.write_bytes(forged(data, change))
    report = levels.check_levels(packed, levels.Asked())
    assert {level.name: level.result for level in report.levels}["integrity"] == "PASS"
    assert report.code in (1, 2), "it differs, or its inputs are refused"
    assert report.levels[1].result != "PASS"
    alone = subprocess.run(
        [sys.executable, "-I", str(ROOT / "perpcomp" / "audit" / "standalone.py"), str(packed)], capture_output=True, text=True, check=False
    )
    assert alone.returncode == 1, alone.stdout + alone.stderr
    assert "PASS: sha256 of each file" in alone.stdout


def test_another_verifier_in_a_bundle_of_this_version_is_found(data: bytes, packed: Path) -> None:
    packed.write_bytes(forged(data, a_changed_verifier))
    assert {one.where for one in levels.check_levels(packed, levels.Asked()).differences} == {
        "verify.py",
        "manifest.json files verify.py sha256",
    }


def test_logs_that_were_rewritten_before_the_run_pass_and_only_the_anchor_tells(tmp_path: Path) -> None:
    """The rewrite that no computation can find: a trader's events left out before anything was computed. So verify says what it does not prove."""
    rows = [row for n in (1, 2) for row in position(n, address(n), 1, 30_000, 10_000, 42_000)]
    for name, kept in (("whole", rows), ("less", rows[: len(rows) // 2])):
        (inputs := tmp_path / f"in-{name}").mkdir()
        perpcomp.publish_run(build.run(inputs, kept), tmp_path / name)
        (tmp_path / f"{name}.zip").write_bytes(bundle.bundle(tmp_path / name))
        report = levels.check_levels(tmp_path / f"{name}.zip", levels.Asked())
        assert [level.result for level in report.levels[:3]] == ["PASS", "PASS", "SKIPPED"]
    assert (tmp_path / "whole" / "3-payouts.csv").read_bytes() != (tmp_path / "less" / "3-payouts.csv").read_bytes()
    done = call("verify", "less.zip", cwd=tmp_path)
    assert "It does not prove that the input holds every log of the chain, unaltered." in done.stderr


# The child that parses.


@pytest.mark.parametrize(("seconds", "memory"), [(0.2, in_child.BYTES), (60, 50_000_000)], ids=["time", "memory"])
def test_a_child_that_reaches_a_limit_is_no_crash_and_no_pass(seconds: float, memory: int, published_rehearsal: Path) -> None:
    asked = in_child.Asked(str(published_rehearsal), ("recompute", "claims"))
    found = in_child.check(asked, seconds, memory)
    assert [(level.name, level.result, level.code) for level in found] == [("recompute", "SKIPPED", 2), ("claims", "SKIPPED", 2)]
    assert "The check was ended after" in found[0].said or "The process that reads the files ended" in found[0].said


def test_the_child_takes_no_module_from_the_folder_it_is_asked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published_rehearsal: Path
) -> None:
    (tmp_path / "polars.py").write_text("raise SystemExit('a foreign module ran')")
    monkeypatch.chdir(tmp_path)
    (level,) = in_child.check(in_child.Asked(str(published_rehearsal), ("recompute",)))
    assert level.result == "PASS", level.said


# Writing: whole or not at all.


@pytest.mark.parametrize("older", [False, True], ids=["first", "second"])
@pytest.mark.parametrize("call_of", ["open", "fsync", "replace"])
def test_a_write_that_fails_leaves_what_stood_there_and_no_rubbish(
    call_of: str, older: bool, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, old = tmp_path / "b.zip", pack({"manifest.json": b"{}"})
    if older:
        target.write_bytes(old)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"open": (os, "open"), "fsync": (os, "fsync"), "replace": (Path, "replace")}[call_of], full)
    with pytest.raises(InputError, match="No space left on device"):
        bundle.write(target, data)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == (["b.zip"] if older else [])
    assert not older or target.read_bytes() == old


@pytest.mark.parametrize("there", ["a file", "a folder", "a link", "inside"])
def test_what_is_no_bundle_is_never_replaced(there: str, tmp_path: Path, published_rehearsal: Path) -> None:
    target = tmp_path / "thesis"
    if there == "a file":
        target.write_bytes(b"years of work")
    elif there == "a folder":
        target.mkdir()
    elif there == "a link":
        target.symlink_to(tmp_path / "elsewhere")
    else:
        target = published_rehearsal / "b.zip"
    done = call("bundle", str(published_rehearsal), "--out", str(target), cwd=tmp_path)
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert not (published_rehearsal / "b.zip").exists()


def test_a_changed_run_is_not_packed(tmp_path: Path, published_rehearsal: Path) -> None:
    import shutil

    shutil.copytree(published_rehearsal, tmp_path / "r")
    (tmp_path / "r" / "4-claims.csv").write_bytes(b"")
    done = call("bundle", "r", cwd=tmp_path)
    assert done.returncode == 4
    assert "r/4-claims.csv" in done.stderr
    assert not (tmp_path / "r.bundle.zip").exists()


# Claims served elsewhere.


@pytest.fixture
def with_trees(tmp_path: Path) -> Path:
    rows = [row for n in range(1, 6) for row in position(n, address(n), 1, 30_000, 10_000 + n, 42_000)]
    (tmp_path / "in").mkdir()
    perpcomp.publish_run(build.run(tmp_path / "in", rows, ONLY_TREES), tmp_path / "out")
    (tmp_path / "out.zip").write_bytes(bundle.bundle(tmp_path / "out"))
    return tmp_path


ONLY_TREES = {
    **WITH_FILES,
    "[sources]": WITH_FILES["[sources]"].replace(
        WITH_FILES["[sources]"].partition("formats = ")[2].partition("\n")[0], '["perp-redeem", "uniswap", "oz-standard", "cumulative"]'
    ),
}


def test_claim_trees_are_built_again_and_a_file_served_elsewhere_must_pay_the_same(with_trees: Path) -> None:
    tree = with_trees / "out" / "claims" / "perp-redeem" / "perp-tranche-1.json"
    served = with_trees / "served.json"
    served.write_bytes(tree.read_bytes())
    done = call("verify", "out.zip", "--published", "served.json", cwd=with_trees)
    assert done.returncode == 0, done.stderr
    assert f"served.json is claims/perp-redeem/{tree.name}, byte for byte" in done.stderr
    document = json.loads(tree.read_text())
    served.write_text(json.dumps(document, indent=7))
    assert call("verify", "out.zip", "--published", "served.json", cwd=with_trees).returncode == 0, "other blanks"
    victim = next(iter(document["claims"]))
    document["claims"][victim]["amount"] = str(int(document["claims"][victim]["amount"]) + 1)
    served.write_text(json.dumps(document))
    done = call("verify", "out.zip", "--published", "served.json", "--json", cwd=with_trees)
    assert done.returncode == 1
    assert f"served.json {victim.lower()}" in {one["where"] for one in json.loads(done.stdout)["differences"]}
    served.write_text("{}")
    assert call("verify", "out.zip", "--published", "served.json", cwd=with_trees).returncode == 2


def test_the_verifier_alone_builds_the_roots_from_the_claims_table(with_trees: Path) -> None:
    alone = [sys.executable, "-I", str(ROOT / "perpcomp" / "audit" / "standalone.py"), str(with_trees / "out.zip")]
    done = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    trees = [path for path in (with_trees / "out" / "claims").glob("*/*.json") if path.parent.name != "cumulative"]
    count = sum(bool({"merkleRoot", "tree"} & set(json.loads(path.read_text()))) for path in trees if b"{" in path.read_bytes()[:1])
    assert f"PASS: claim roots: {count} compared, 0 differ" in done.stdout
    assert "NOT REBUILT: files of cumulative" in done.stdout
