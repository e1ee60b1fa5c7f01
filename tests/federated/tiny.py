# SPDX-License-Identifier: Apache-2.0
"""Small parts for tests of single modules: a 32-pixel plan, and a workflow whose sites are a function."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.data.facts import FederationFacts
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet, write_shards
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.server.stages.synthetic_set import SealedSet
from dsfedmed.federated.wire.message import Envelope, Message, open_reply, open_request, reply_message, request_message
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.specs import FileOffer, SetOffer
from dsfedmed.federated.wire.task import Task
from dsfedmed.settings import Settings, merge
from dsfedmed.store.stage_store import StageResult, StageStore

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "bundles"
SITES = ("site_a", "site_b")
PAIRS = 8
HASH = "0" * 64


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


def tiny_plan(settings: Settings, **counts: int) -> FederationPlan:
    """One class, grey images, and two sites of which the second has three times as many (``counts`` has others)."""
    facts = FederationFacts(1, 1, ("lesion",), True)
    return make_plan(settings, PartyConfig(bundles=BUNDLES), facts, {"site_a": 4, "site_b": 12, **counts})


def noise_manifest(folder: Path, origin: list[str], shard_size: int = 256) -> Manifest:
    """Write a set of noise with squares as masks, and return its manifest."""
    count = len(origin)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.zeros(count, 1, 32, 32, dtype=torch.uint8)
    for number in range(count):
        labels[number, :, 4 : 12 + number, 6:20] = 1
    return write_shards(folder, images, labels, origin, shard_size)


def sealed_set(folder: Path) -> SealedSet:
    """Write a synthetic set of noise with squares as masks; the first pair is vetoed."""
    manifest = noise_manifest(folder / "synthetic", ["site_a", "site_b"] * (PAIRS // 2))
    kept = list(range(1, PAIRS))
    return SealedSet(SyntheticSet.open(folder / "synthetic", manifest, kept), kept, "f" * 64)


def sent(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name whole weights as a request does."""
    return {WEIGHTS + name: tensor for name, tensor in weights.items()}


class FakeRecord:
    """Keeps what the run record would write."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {
            "learnability": [], "curves": {}, "selected": {}, "budgets": {}, "legacy": {}, "bytes": {},
            "detected": {},
        }  # fmt: skip

    def put(self, **parts: Any) -> None:
        json.dumps(parts, allow_nan=False)
        self.data.update(parts)

    def add(self, part: str, **entries: Any) -> None:
        json.dumps(entries, allow_nan=False)
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

    def site(self, site: str, text: str) -> None:
        self.lines.append(f"{site} {text}")


class FakeTransport:
    """Offers files by their path."""

    @contextmanager
    def offered(self, folder: Path, manifest: Manifest) -> Iterator[SetOffer]:
        yield SetOffer(manifest, str(folder))

    @contextmanager
    def offered_file(self, path: Path) -> Iterator[FileOffer]:
        yield FileOffer("here", str(path))


Answer = Callable[[str, Task[Any, Any], Envelope[Any]], "Envelope[Any] | None"]


def over_the_wire(message: Message) -> Message:
    """Return what arrives of a raw message: its facts as JSON, and tensors of the receiver's own."""
    info = json.loads(json.dumps(message.info, allow_nan=False))
    return replace(message, info=info, tensors={name: tensor.clone() for name, tensor in message.tensors.items()})


def arrived(task: Task[Any, Any], request: Envelope[Any]) -> Envelope[Any]:
    """Return a request as a site opens it."""
    return open_request(task, over_the_wire(request_message(request)))


class FakeRun:
    """The server's workflow as the stages see it; ``answer(site, task, request)`` stands in for the sites.

    Requests and replies pass the codec as they do on the wire.
    """

    METHOD = "dsfedmed"
    GENERATES = True

    def __init__(self, folder: Path, settings: Settings, answer: Answer) -> None:
        self.folder, self.settings, self.answer = folder, settings, answer
        self.sources = list(SITES)
        self.unseen: list[str] = []
        self.config = PartyConfig(bundles=BUNDLES)
        self.store = StageStore(folder / "store", settings.to_dict())
        self.record, self.progress, self.transport = FakeRecord(), FakeProgress(), FakeTransport()
        self.asked: list[tuple[str, tuple[str, ...], Envelope[Any]]] = []
        self.tracked: list[tuple[str, float, int]] = []
        self.ledger = SimpleNamespace(stage="rounds")
        self.collapses: list[str] = []

    BEGUN_WITH: tuple[str, ...] = ()

    def note_collapse(self, text: str) -> None:
        self.collapses.append(text)

    def note_redone(self, stage: str, why: str) -> None:
        self.record.event("redone", why, stage)

    def ask(
        self,
        task: Task[Any, Any],
        request: Envelope[Any],
        sites: list[str] | None = None,
        on_reply: Callable[[str, Envelope[Any]], None] | None = None,
        at_least: int | None = None,
    ) -> dict[str, Envelope[Any]]:
        targets = list(sites if sites is not None else self.sources)
        self.asked.append((task.name, tuple(targets), arrived(task, request)))
        replies = {}
        for site in targets:
            said = self.answer(site, task, arrived(task, request))
            if said is None:
                continue
            reply = open_reply(task, over_the_wire(reply_message(said)), site)
            if on_reply:
                on_reply(site, reply)
            replies[site] = reply.without_tensors() if on_reply else reply
        return replies

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


def run_with_public(folder: Path, answer: Answer, **changes: Any) -> Any:
    """Return a workflow whose server has six public training images and three for validation."""
    (public,) = make_demo_sites(folder / "public", 0, ("site_a",), training=6, validation=3, test=1)
    run: Any = FakeRun(folder / "run", tiny_settings(**changes), answer)
    run.config = replace(run.config, public=public)
    return run
