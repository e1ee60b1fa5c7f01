# SPDX-License-Identifier: Apache-2.0
"""``import dsfedmed`` is light, and a model needs no library that its network does not.

One process of its own looks at all of it: each costs as long as MONAI takes to be imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dsfedmed
from tests.architecture.source import CUSTOM
from tests.prediction.conftest import GREY, picture, release

HEAVY = ("torch", "monai", "numpy", "scipy", "nvflare", "PIL", "nibabel", "pydicom")
NOT_NEEDED = ("nvflare", "diffusers", "peft", "segment_anything", "matplotlib", "transformers")
PROGRAM = f"""
import sys

def loaded(names):
    return [name for name in names if name in sys.modules]

import dsfedmed
assert dsfedmed.__version__
assert not loaded({HEAVY}), loaded({HEAVY})
import dsfedmed.cli.main as entry
try:
    entry.main(["predict", "--help"])
except SystemExit:
    pass
assert not loaded({HEAVY}), loaded({HEAVY})

class Blocker:
    # Not to be had: MONAI takes some of them where they are, and a U-Net does without.
    asked = set()

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_NEEDED}:
            self.asked.add(name)
            raise ImportError(name + " is not installed here")

sys.meta_path.insert(0, Blocker())
mask = dsfedmed.load(sys.argv[1]).predict(sys.argv[2]).mask
assert entry.main(["predict", sys.argv[1], sys.argv[2], "--out", sys.argv[3], "--overlays", "--device", "cpu"]) == 0
assert not loaded({NOT_NEEDED}), loaded({NOT_NEEDED})
assert not Blocker.asked & {{"nvflare", "diffusers", "peft"}}, Blocker.asked
federation = [name for name in sys.modules if name.startswith(("dsfedmed.federated", "dsfedmed.flare"))]
assert not federation, federation
print("mask of", mask.shape, "with", int(mask.sum()))
"""


def test_what_is_imported_when(tmp_path: Path) -> None:
    release(tmp_path / "run" / "release", GREY)
    np.save(tmp_path / "a.npy", picture(12, 16))
    environment = {**os.environ, "PYTHONPATH": str(CUSTOM), "OMP_NUM_THREADS": "1"}
    words = [str(tmp_path / name) for name in ("run", "a.npy", "masks")]
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "usage: dsfedmed predict" in done.stdout
    expected = dsfedmed.load(tmp_path / "run").predict(tmp_path / "a.npy").mask
    assert done.stdout.splitlines()[-1] == f"mask of (12, 16) with {int(expected.sum())}"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'dsfedmed' has no attribute 'lode'"):
        dsfedmed.lode  # noqa: B018 (asking is the test)
    assert set(dsfedmed.__all__) >= {"__version__", "load"}
    assert all(hasattr(dsfedmed, name) for name in dsfedmed.__all__)
