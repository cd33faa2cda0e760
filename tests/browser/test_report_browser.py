"""report.html in Chromium: nothing runs in it, nothing is loaded, everybody can read it, on a phone and on paper."""

from pathlib import Path
from typing import Any

import pytest

from perpcomp.publish.report import report
from perpcomp.publish.report.accounts import FEW
from perpcomp.run import Run
from tests import build
from tests.browser.chromium import look
from tests.test_report import hostile

pytestmark = pytest.mark.browser

PHONE, DESK = 390, 1280
WAYS = [{"scheme": "light"}, {"scheme": "dark"}, {"media": "print"}]
TRADER = "0x068729ec4f46330d9af83f2f5af1b155d957bd42"


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """More accounts than have full steps, some with two positions."""
    return build.many(tmp_path_factory.mktemp("larger"), FEW + 40)


def put(folder: Path, run: Run) -> str:
    """The address of a run's page."""
    (folder / "report.html").write_bytes(report(run))
    return f"file://{folder}/report.html"


@pytest.mark.parametrize("which", ["rehearsal", "larger"])
def test_nothing_keeps_anybody_from_reading_the_page(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """axe finds nothing in light, dark and print, on a phone and a desk; nothing overflows; only the file itself is asked for."""
    url = put(tmp_path, request.getfixturevalue(which))
    asked = [{"url": url, "width": width, "audit": True, **way} for way in WAYS for width in (PHONE, DESK)]
    grounds = set()
    for wanted, seen in zip(asked, look(asked), strict=True):
        assert seen["violations"] == [], wanted
        assert seen["rules"] > 20
        assert seen["wide"] <= 0, wanted
        assert (seen["scripts"], seen["styled"], seen["dialogs"]) == (0, 0, [])
        assert seen["requested"] == [url]
        grounds.add((wanted.get("scheme"), seen["ground"]))
    assert grounds == {("light", "rgb(255, 255, 255)"), ("dark", "rgb(18, 22, 28)"), (None, "rgb(255, 255, 255)")}, "the style is applied"


def test_an_address_behind_the_page_shows_its_row_and_its_steps(rehearsal: Run, tmp_path: Path) -> None:
    url = put(tmp_path, rehearsal)
    left_out = rehearsal.left_out.item(0, "trader")
    asked = [{"url": f"{url}#{anchor}", "width": width} for width in (PHONE, DESK) for anchor in (TRADER, left_out, f"why-{TRADER}")]
    for wanted, seen in zip(asked, look(asked), strict=True):
        target: dict[str, Any] = seen["target"]
        if "#why-" in str(wanted["url"]):
            assert target["open"]
            assert "base units" in target["text"]
        else:
            assert (target["tag"], target["outline"], target["inView"]) == ("TR", "solid", True), wanted
            assert str(wanted["url"]).partition("#")[2] in target["text"].lower()


def test_nothing_of_a_hostile_text_runs_or_dresses(tmp_path: Path) -> None:
    url = put(tmp_path, hostile(tmp_path))
    for seen in look([{"url": url, "width": PHONE}, {"url": url, "width": DESK, "media": "print"}]):
        assert (seen["scripts"], seen["styled"], seen["dialogs"]) == (0, 0, [])
        assert seen["requested"] == [url]
        assert seen["wide"] <= 0
