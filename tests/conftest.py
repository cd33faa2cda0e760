"""Runs of the recorded chains, made once, and how many examples a property gets."""

import gzip
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import perpcomp
from perpcomp.pipeline import Run

LAB = Path(__file__).parent / "lab"

settings.register_profile("default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", settings.get_profile("default"), max_examples=10_000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@cache
def truth(name: str) -> dict[str, Any]:
    """The contract views recorded with a chain: a check, never an input, and never changed by a test."""
    loaded: dict[str, Any] = json.loads(gzip.decompress((LAB / name / "truth.json.gz").read_bytes()))
    return loaded


@pytest.fixture(scope="session")
def rehearsal() -> Run:
    """The built-in rehearsal: the recorded february chain."""
    return perpcomp.compute("rehearsal")


@pytest.fixture(scope="session")
def later() -> Run:
    """The chain of the later contracts: partial liquidations, era 2."""
    return perpcomp.compute(str(LAB / "later-contracts.toml"))


@pytest.fixture(scope="session")
def large() -> Run:
    """2,000 traders, 1,179 liquidations."""
    return perpcomp.compute(str(LAB / "large.toml"))
