# SPDX-License-Identifier: Apache-2.0
"""Names of packages that are imported late: each is there, and what passes messages on starts without the networks."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from dsfedmed.late_names import late_names
from tests.runs.commands import ALONE, ROOT

PACKAGES = ("dsfedmed.data", "dsfedmed.generator")
HEAVY = ("diffusers", "peft")
LOOK = f"""
import sys
import dsfedmed.flare.executor
print([name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there_and_is_no_module(package: str) -> None:
    """A module of the same name would stand in the name's place as soon as somebody imports it."""
    module = import_module(package)
    folder = Path(str(module.__file__)).parent
    taken = {path.stem for path in folder.iterdir()}
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
        assert name not in taken


def test_another_name_is_an_error() -> None:
    names = late_names("dsfedmed.store", {"read_json": "files", "gone": "files"})
    assert names("read_json").__module__ == "dsfedmed.store.files"
    with pytest.raises(AttributeError, match=r"'dsfedmed\.store' has no attribute 'other'"):
        names("other")
    with pytest.raises(AttributeError, match="gone"):
        names("gone")


def test_the_job_process_of_a_hospital_starts_without_the_generators_networks() -> None:
    """It hands tasks to a child process; what that needs it does not hold in memory itself."""
    environment = {**ALONE, "PYTHONPATH": str(ROOT / "custom")}
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "[]\n", done.stderr[-2000:]
