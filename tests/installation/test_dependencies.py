# SPDX-License-Identifier: Apache-2.0
"""What is declared is imported, or has its reason beside it; what is imported is declared."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.architecture.source import PRODUCT, of_package
from tests.installation.test_extras import CHOSEN, EXTRAS, PROJECT, names

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
ELSEWHERE = {"monailabel", "fastapi", "argcomplete"}
"""Imported only where they are there: in MONAI Label's own environment, and for a shell that completes words."""


def imported() -> set[str]:
    found = {entry.name.partition(".")[0] for module in of_package(PRODUCT) for entry in module.imports}
    return found - set(sys.stdlib_module_names) - {PRODUCT, "__future__"} - ELSEWHERE


@lru_cache(maxsize=1)
def held() -> Mapping[str, list[str]]:
    return packages_distributions()


def distributions(module: str) -> set[str]:
    return {re.sub(r"[-_.]+", "-", name).lower() for name in held().get(module, [module])}


def declared(*without: str) -> set[str]:
    extras = [line for name in set(EXTRAS) - {*without} for line in PROJECT["optional-dependencies"][name]]
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names([*PROJECT["dependencies"], *extras])}


def test_what_is_imported_is_declared() -> None:
    missing = {module for module in imported() if not distributions(module) & declared()}
    assert not missing


def test_what_is_declared_is_imported_or_has_its_reason() -> None:
    used = set().union(*(distributions(module) for module in imported()))
    reasons = re.findall(r'^  "([\w-]+)[^"]*",\s+# \S', TEXT, re.MULTILINE)
    lines = re.findall(r"^# .*\n(?:# .*\n)*\w+ = \[(.*)\]$", TEXT, re.MULTILINE)
    for name in declared() - used - set(reasons):
        assert any(f'"{name}' in line for line in lines), f"{name}: say in pyproject.toml what it is for"


def test_the_locked_versions_cover_everything_that_is_declared() -> None:
    text = (ROOT / "requirements-locked.txt").read_text(encoding="utf-8")
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    assert declared(*CHOSEN) <= locked
    assert text.count("--hash=sha256:") >= len(locked)
