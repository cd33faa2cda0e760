"""The workbook for voters: one small module a sheet plans its cells (plan.py), and write.py writes them."""

from perpcomp.publish.workbook.book import planned
from perpcomp.publish.workbook.write import content_digest, written
from perpcomp.run import Run

__all__ = ["content_digest", "workbook"]


def workbook(run: Run) -> bytes:
    """The workbook's bytes. Equal runs give equal bytes under one version of XlsxWriter.

    The file is dated by the end of the window; without a window, by the start of the vesting.
    """
    incident = run.incident
    dated = incident.vesting.start if incident.published_table is not None else incident.eligibility.end
    return written(planned(run), dated.replace(tzinfo=None))
