# SPDX-License-Identifier: Apache-2.0
"""A real run with a recorder at every site, behind every other filter: what left, byte for byte."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.federated.site.tasks import TASKS
from dsfedmed.flare.recipe import UPDATE_TASKS, export_job
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.settings import Settings, merge, read_preset
from dsfedmed.store.files import read_json
from tests.federated.conftest import ROOT, simulate_folder

RUN_OF_BYTES = 48
"""A copied row of pixels is at least this long; by chance two such runs never agree."""


@dataclass(frozen=True)
class Recording:
    """What left each site, and the run folder."""

    folder: Path
    run: Path

    def bodies(self, site: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.folder / site).glob("*.body"))]

    def heads(self, site: str) -> str:
        return "\n".join(path.read_text() for path in sorted((self.folder / site).glob("*.head")))

    def tensors(self, site: str, task: str) -> list[dict[str, Tensor]]:
        return [torch.load(path, weights_only=True) for path in sorted((self.folder / site).glob(f"*-{task}.pt"))]


def record_run(workflow: str, sites: Path, folder: Path, public: Path | None = None, **changes: Any) -> Recording:
    """Run a method's smoke preset and record what leaves."""
    values = read_preset(ROOT / "jobs" / workflow / "presets" / "smoke.yaml")
    values = merge(merge(values, {"preset": "smoke", "unseen": ["site_d"]}), changes)
    job = export_job(Settings.from_dict(values), folder / "jobs", method=workflow)
    (job / "app" / "custom").mkdir()
    shutil.copy(Path(__file__).with_name("recorder.py"), job / "app" / "custom" / "recorder.py")
    client = job / "app" / "config" / "config_fed_client.json"
    config = json.loads(client.read_text())
    recorder = {"path": "recorder.Recorder", "args": {"folder": str(folder / "sent")}}
    config["components"].append({"id": "recorder", **recorder})
    for chain in config["task_result_filters"]:  # the updates, behind the packing
        chain["filters"].append(recorder)
    others = [task for task in TASKS if task not in UPDATE_TASKS]
    config["task_result_filters"].append({"tasks": others, "filters": [recorder]})
    client.write_text(json.dumps(config))
    prepare_workspace(folder / "ws", SimulatedSites(sites, folder / "run", ROOT / "bundles", public=public))
    code, output = simulate_folder(job, folder / "ws", site_names(sites))
    assert code == 0, output[-3000:]
    assert read_json(folder / "run" / "record.json")["verdict"] == "complete"
    return Recording(folder / "sent", folder / "run")


def rows(picture: np.ndarray) -> list[bytes]:
    """Runs of bytes from the middle of a picture that are no constant background."""
    raw = picture.tobytes()
    starts = range(len(raw) // 4, 3 * len(raw) // 4, max(len(raw) // 16, 1))
    runs = [raw[start : start + RUN_OF_BYTES] for start in starts]
    return [run for run in runs if len(set(run)) > 8]


def stored_rows(site: Path) -> list[bytes]:
    """Runs of bytes of every image of a site folder, as file and as pixels in three number formats."""
    files = sorted((site / "images").iterdir())
    pixels = [np.asarray(Image.open(path)) for path in files]
    pictures = [np.frombuffer(path.read_bytes(), np.uint8) for path in files] + pixels
    pictures += [(picture / 255).astype(kind) for picture in pixels for kind in (np.float32, np.float16)]
    return [run for picture in pictures for run in rows(picture)]
