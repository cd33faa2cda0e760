"""What every run carries beside its results, so that strangers can check it: the pinned versions, and a verifier that needs Python alone."""

from pathlib import Path

LOCK_FILE, VERIFIER = "lock.txt", "verify.py"
PACKAGE = Path(__file__).parent.parent


def carried() -> dict[str, bytes]:
    """Name -> bytes."""
    return {LOCK_FILE: _lock(), VERIFIER: (PACKAGE / "audit" / "standalone.py").read_bytes()}


def _lock() -> bytes:
    """The versions that perpcomp is tested with, each with its hashes: in the wheel beside the code, in a checkout beside the package."""
    packaged = PACKAGE / "requirements.lock"
    return (packaged if packaged.is_file() else PACKAGE.parent / "requirements.lock").read_bytes()
