# SPDX-License-Identifier: Apache-2.0
"""Runs in this process, by the product's own local simulation; every message that leaves a site is kept.

`simulated` lets a test put a site of its own in the place of each `LocalSite`: one that records or misbehaves.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from dsfedmed.federated.local import simulation
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.local.site import LocalSite, Worker
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.site.task_progress import ProgressCallback
from dsfedmed.federated.wire.message import Message
from dsfedmed.reporting import report
from dsfedmed.settings import Settings
from tests.runs.commands import BUNDLES
from tests.runs.recording import Recording

MakeSite = Callable[[str, Path, Worker], LocalSite]


class RecordedSite(LocalSite):
    """Keeps every reply as it leaves, in the form of `tests.flare.recorder`."""

    def __init__(self, name: str, folder: Path, worker: Worker, sent: Path) -> None:
        super().__init__(name, folder, worker)
        self.sent, self.count = sent / name, 0
        self.sent.mkdir(parents=True, exist_ok=True)

    def answer(self, task: str, request: Message, on_progress: ProgressCallback) -> tuple[Message, int]:
        reply, fetched = super().answer(task, request, on_progress)
        self.count += 1
        stem = self.sent / f"{self.count:06d}"
        stem.with_suffix(".head").write_text(task)
        tensors = [tensor.contiguous().numpy().tobytes() for tensor in reply.tensors.values()]
        content = json.dumps({"info": reply.info, "names": list(reply.tensors)}).encode()
        stem.with_suffix(".body").write_bytes(b"\0".join([content, *tensors]))
        torch.save(reply.tensors, f"{stem}-{task}.pt")
        return reply, fetched


def simulated(method: str, settings: Settings, layout: SimulatedSites, make_site: MakeSite) -> str:
    """Run a method in this process with sites that ``make_site`` makes; return the verdict."""
    with patch.object(simulation, "LocalSite", make_site):
        return simulate_locally(method, settings, layout)


def without_pictures(patch: pytest.MonkeyPatch) -> None:
    """Leave the report's page out, which takes longer than a small federation; its figures are checked all the same."""
    patch.setattr(report, "page", lambda record, results, cases: json.dumps(results, ensure_ascii=False))


def run_in_process(
    method: str, settings: Settings, sites: Path, folder: Path, pictures: bool = False, **paths: Any
) -> Recording:
    """Run a method in this process to its complete end, with every message recorded.

    Args:
        method: a key of `dsfedmed.methods.METHODS`.
        settings: of the run.
        sites: folder with one folder per site.
        folder: gets the folders ``run`` and ``sent``.
        pictures: whether its report is a page with pictures.
        paths: further paths of `SimulatedSites`.
    """
    layout = replace(SimulatedSites(sites, folder / "run", BUNDLES), **paths)
    with pytest.MonkeyPatch.context() as patch:
        if not pictures:
            without_pictures(patch)
        verdict = simulated(method, settings, layout, partial(RecordedSite, sent=folder / "sent"))
    assert verdict == "complete"
    return Recording(folder / "sent", folder / "run", sites)
