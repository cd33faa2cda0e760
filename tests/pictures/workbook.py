"""Pages of the rehearsal's workbook as LibreOffice prints them: Read me, Claims and Compare."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import perpcomp
from perpcomp.publish.workbook import workbook
from tests import office
from tests.browser.chromium import run

HERE = Path(__file__).parent
SHEETS = {"Read me": "workbook-read-me", "Claims": "workbook-claims", "Compare": "workbook-compare"}


def main() -> None:
    """A picture of the first page of each sheet."""
    with TemporaryDirectory() as place:
        printed = Path(place) / "vote.pdf"
        printed.write_bytes(office.convert(workbook(perpcomp.compute("rehearsal")), "pdf"))
        texts = subprocess.run(["pdftotext", "-layout", str(printed), "-"], check=True, capture_output=True, text=True).stdout.split("\f")
        for sheet, name in SHEETS.items():
            page = str(next(number for number, text in enumerate(texts, 1) if f"{sheet}, page " in text))
            command = ["pdftoppm", "-r", "90", "-f", page, "-l", page, "-singlefile", "-png", str(printed), str(HERE / name)]
            subprocess.run(command, check=True)
    run("shoot.mjs", {"reduce": [str(HERE / f"{name}.png") for name in SHEETS.values()]})
