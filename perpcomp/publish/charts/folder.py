"""The charts of a run as files in a folder of their own. Files of others that are there stay as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perpcomp import progress
from perpcomp.findings import Finding, refusal
from perpcomp.lock import locked
from perpcomp.publish.charts import NAMES, charts
from perpcomp.publish.charts.files import draws_text, png_file, svg_file
from perpcomp.publish.manifest import MANIFEST
from perpcomp.run import Run
from perpcomp.writing import write_whole

OPTION = "--charts"
KINDS = (".svg", ".png")


@contextmanager
def reserve(folder: Path, run_folder: Path) -> Iterator[None]:
    """Lock the folder for the charts of the run in `run_folder`.

    InputError where it is that folder, lies in it or holds another run, whose files are listed in its manifest; where it is no folder,
    or cannot be made; and where another process writes there.
    """
    inside = folder.resolve().is_relative_to(run_folder.resolve())
    if inside or (folder / MANIFEST).exists():
        whose = f"in {run_folder}, where the run goes" if inside else "a published run"
        what = f"This folder is {whose}; such a folder holds the files of its manifest only."
        raise refusal(str(folder), what, f"Choose another with {OPTION}, such as {run_folder}-charts.")
    with locked(folder, OPTION):
        yield


def write(run: Run, folder: Path) -> tuple[list[str], list[Finding]]:
    """Write each chart of the run as NAME.svg and NAME.png; the names of the files, and what a reader of the folder must know.

    The caller has reserved the folder. InputError where a file cannot be written; those before it are there then.
    """
    progress.now("Drawing the charts")
    made, found, written = charts(run), list[Finding](), list[str]()
    kinds = KINDS if draws_text() else KINDS[:1]
    if made and len(kinds) < len(KINDS):
        what = "No PNG file is written: this machine has none of the typefaces that the charts name, and a picture would have no text."
        advice = "Install one, such as DejaVu Sans, or use the SVG files."
        found.append(Finding("warning", str(folder), what, advice, code="no-typeface"))
    for chart in made:
        for kind in kinds:
            name = f"{chart.name}{kind}"
            try:
                write_whole(folder / name, svg_file(chart) if kind == ".svg" else png_file(chart))
            except OSError as error:
                what = f"The file cannot be written ({error.strerror}). The run itself is published."
                raise refusal(str(folder / name), what, f"Correct that, or choose another folder with {OPTION}.") from None
            written.append(name)
    every = [f"{name}{kind}" for name in NAMES for kind in KINDS]
    if others := [name for name in every if name not in written and (folder / name).exists()]:
        what = f"Not of this run, which has no such chart or picture: {', '.join(others)}."
        found.append(Finding("warning", str(folder), what, "Remove what an earlier run wrote.", code="chart-of-another-run"))
    return written, found
