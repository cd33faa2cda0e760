"""LibreOffice as a second engine: a workbook calculated again without the results that we stored in it."""

import io
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openpyxl import load_workbook

SOFFICE = shutil.which("soffice")


LOCALE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry"><item oor:path="/org.openoffice.Setup/L10N">
<prop oor:name="ooSetupSystemLocale" oor:op="fuse"><value>{}</value></prop></item></oor:items>"""


def convert(data: bytes, to: str, locale: str = "en-US") -> bytes:
    """A workbook as LibreOffice saves it in a country: xlsx, pdf. It has a profile of its own."""
    assert SOFFICE is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.xlsx").write_bytes(data)
        (folder / "profile" / "user").mkdir(parents=True)
        (folder / "profile" / "user" / "registrymodifications.xcu").write_text(LOCALE.format(locale))
        command = [SOFFICE, "--headless", f"-env:UserInstallation=file://{folder}/profile", "--convert-to", to, "--outdir", f"{folder}/out"]
        subprocess.run([*command, str(folder / "in.xlsx")], check=True, capture_output=True, timeout=400)
        return (folder / "out" / f"in.{to}").read_bytes()


def stripped(data: bytes, changes: Mapping[tuple[str, str], object] = {}) -> bytes:
    """The workbook without stored results (openpyxl drops them), with other values in some cells: LibreOffice trusts results that it finds."""
    book = load_workbook(io.BytesIO(data))
    for (sheet, place), value in changes.items():
        assert book[sheet][place].value is not None, place
        book[sheet][place].value = value
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def results(data: bytes) -> dict[str, list[list[Any]]]:
    """Sheet -> the stored results of its rows."""
    book = load_workbook(io.BytesIO(data), data_only=True)
    return {sheet.title: [list(row) for row in sheet.iter_rows(values_only=True)] for sheet in book}


def recalculated(data: bytes, changes: Mapping[tuple[str, str], object] = {}) -> dict[str, list[list[Any]]]:
    """Sheet -> the rows that LibreOffice computes."""
    return results(convert(stripped(data, changes), "xlsx"))
