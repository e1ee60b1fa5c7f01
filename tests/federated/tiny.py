# SPDX-License-Identifier: Apache-2.0
"""Small parts for tests of single stages: a 32-pixel plan, and a workflow without NVFlare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.data.facts import FederationFacts
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet, write_shards
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.server.stages.synthetic_set import SealedSet
from dsfedmed.federated.wire.message import Message
from dsfedmed.settings import Settings, merge
from dsfedmed.store.stage_store import StageResult, StageStore

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "bundles"
SITES = ("site_a", "site_b")
PAIRS = 8


def tiny_settings(**changes: Any) -> Settings:
    """Settings of a federation that fits into a second."""
    base = {
        "rounds": 2,
        "image_size": 32,
        "light": {"batch_size": 4},
        "teacher_variant": "tiny",
        "generator_model": {"block_out_channels": [16, 32], "norm_groups": 8, "attention_head_channels": 16},
    }
    return Settings.from_dict(merge(base, changes))


def tiny_plan(settings: Settings) -> FederationPlan:
    """One class, grey images, and two sites of which the second has three times as many."""
    facts = FederationFacts(1, 1, ("lesion",), True)
    return make_plan(settings, PartyConfig(bundles=BUNDLES), facts, {"site_a": 4, "site_b": 12})


def sealed_set(folder: Path) -> SealedSet:
    """Write a synthetic set of noise with squares as masks; the first pair is vetoed."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (PAIRS, 1, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.zeros(PAIRS, 1, 32, 32, dtype=torch.uint8)
    for number in range(PAIRS):
        labels[number, :, 4 : 12 + number, 6:20] = 1
    manifest = write_shards(folder / "synthetic", images, labels, ["site_a", "site_b"] * (PAIRS // 2))
    kept = list(range(1, PAIRS))
    return SealedSet(SyntheticSet.open(folder / "synthetic", manifest, kept), kept, "f" * 64)


class FakeRecord:
    """Keeps what the run record would write."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {"learnability": [], "curves": {}, "selected": {}, "budgets": {}}

    def put(self, **parts: Any) -> None:
        self.data.update(parts)

    def add(self, part: str, **entries: Any) -> None:
        self.data[part] = {**self.data[part], **entries}

    def event(self, kind: str, message: str, stage: str = "", round_number: int | None = None, site: str = "") -> None:
        self.data.setdefault("events", []).append((kind, site, message))


class FakeProgress:
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def step(self, done: int, total: int, detail: str = "", since: int = 0) -> None:
        self.lines.append(f"{done}/{total} {detail}")


Answer = Callable[[str, str, Message], "Message | None"]


def flow_with_public(folder: Path, answer: Answer, **changes: Any) -> Any:
    """Return a workflow whose server has six public training images and three for validation."""
    (public,) = make_demo_sites(folder / "public", 0, ("site_a",), training=6, validation=3, test=1)
    flow: Any = FakeFlow(folder / "run", tiny_settings(**changes), answer)
    flow.config = replace(flow.config, public=public)
    return flow


class FakeFlow:
    """The server's workflow as the stages see it; ``answer(site, task, request)`` stands in for the sites."""

    METHOD = "dsfedmed"

    def __init__(self, folder: Path, settings: Settings, answer: Answer) -> None:
        self.folder, self.settings, self.answer = folder, settings, answer
        self.sources = list(SITES)
        self.unseen: list[str] = []
        self.config = PartyConfig(bundles=BUNDLES)
        self.store = StageStore(folder / "store", settings.to_dict())
        self.record, self.progress = FakeRecord(), FakeProgress()
        self.asked: list[tuple[str, tuple[str, ...], Message]] = []
        self.tracked: list[tuple[str, float, int]] = []
        self.ledger = SimpleNamespace(stage="rounds")

    def ask(
        self,
        task: str,
        request: Message,
        sites: list[str] | None = None,
        on_reply: Callable[[str, Message], None] | None = None,
        at_least: int | None = None,
    ) -> dict[str, Message]:
        targets = list(sites if sites is not None else self.sources)
        self.asked.append((task, tuple(targets), request))
        replies = {}
        for site in targets:
            reply = self.answer(site, task, request)
            if reply is None:
                continue
            if on_reply:
                on_reply(site, reply)
            replies[site] = Message(reply.info, {} if on_reply else reply.tensors, reply.is_difference)
        return replies

    @contextmanager
    def offered(self, folder: Path, manifest: Manifest) -> Iterator[dict[str, Any]]:
        yield {"from": "here", "manifest": manifest.to_dict()}

    @contextmanager
    def offered_file(self, path: Path) -> Iterator[dict[str, Any]]:
        yield {"from": "here", "reference": str(path)}

    @contextmanager
    def stage(self, name: str, purpose: str = "method") -> Iterator[None]:
        yield

    def once(self, name: str, make: Callable[[], StageResult], purpose: str = "method") -> StageResult:
        if not self.store.has(name):
            result = make()
            self.store.put(name, result.info, result.tensors)
        return self.store.get(name)

    def track(self, tag: str, value: float, step: int) -> None:
        self.tracked.append((tag, value, step))
