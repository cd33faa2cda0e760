"""report.html: the run as one page that needs no script and no network."""

from perpcomp.publish.report.page import report

__all__ = ["report"]
