"""Takes the pictures of this folder again, of the published rehearsal. Needs Chromium, LibreOffice, pdftoppm and pdftotext.

Fonts differ between machines, so no test compares pictures.
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser.chromium import run
from tests.pictures import workbook

HERE = Path(__file__).parent
PUBLISHED = HERE.parent.parent / "outputs" / "rehearsal"
ROW = "0x0e79edbd6a727cfee09a2b1d0a59f7752d5bf7c9"


def main() -> None:
    """Every picture."""
    report()
    workbook.main()


def report() -> None:
    """report.html on a phone, on a desk in both schemes, at the row of an account, and on paper."""
    url = f"file://{PUBLISHED}/report.html"
    shots = [
        {"url": url, "width": 390, "height": 1700, "file": "report-phone.png"},
        {"url": f"{url}#{ROW}", "width": 390, "height": 900, "at": "tr:target", "file": "report-phone-row.png"},
        {"url": url, "width": 1280, "height": 1500, "file": "report-desk.png"},
        {"url": url, "width": 1280, "height": 1500, "scheme": "dark", "at": "#happened", "file": "report-dark.png"},
        {"url": f"{url}#{ROW}", "width": 1280, "height": 1000, "at": "#accounts", "file": "report-accounts.png"},
    ]
    with TemporaryDirectory() as place:
        printed = f"{place}/report.pdf"
        run(
            "shoot.mjs",
            {"shots": [{**shot, "file": str(HERE / str(shot["file"]))} for shot in shots], "prints": [{"url": url, "file": printed}]},
        )
        subprocess.run(
            ["pdftoppm", "-r", "70", "-f", "1", "-l", "1", "-singlefile", "-png", printed, str(HERE / "report-paper")], check=True
        )
    run("shoot.mjs", {"reduce": [str(HERE / "report-paper.png")]})


if __name__ == "__main__":
    main()
