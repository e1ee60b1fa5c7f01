# SPDX-License-Identifier: Apache-2.0
"""A hostile server's requests at one hospital: nothing is executed, and nothing is written outside its own folder.

Every request is one of a real run, ruined in one or two places, and goes the whole way that a request goes at a site:
opened, files fetched, done, cached, packed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.local.in_process import InProcessWorker
from dsfedmed.federated.local.site import LocalSite
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.site.task_progress import no_progress
from dsfedmed.federated.wire.codec import to_json
from dsfedmed.federated.wire.message import Message, open_request
from dsfedmed.federated.wire.tasks import LOCAL_STATISTICS, TASKS
from tests.federated.security.federation import BUNDLES, HOSTILE, Outcome
from tests.federated.security.mutation import CODE, COMMAND, mutated_message, replaced

OWN = "own"
REQUESTS = 8
"""Ruined requests of each drawn seed."""
LARGE = 64
"""What would only take long: a request is carried out if it asks for no more of anything than this, or than before."""


@dataclass(frozen=True)
class Hospital:
    """A hospital's disk: its own folder for the federation, its images, and what is none of the federation's business.

    Attributes:
        folder: with all three.
        site: the site on it.
        requests: of a real run, by task.
    """

    folder: Path
    site: LocalSite
    requests: dict[str, Message]

    def outside(self) -> dict[str, str]:
        """Return the hash of every file that the federation must leave as it is, and each that has come to be."""
        paths = [
            path for path in self.folder.rglob("*") if path.is_file() and not path.is_relative_to(self.folder / OWN)
        ]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in [*paths, *BUNDLES.rglob("*.*")]}

    def ask(self, task: str, request: Message) -> str:
        """Send a request; return why it was refused, or an empty string."""
        try:
            reply, _ = self.site.answer(task, request, no_progress)
        except OSError as error:  # the server's files are not where it says
            return f"cannot be fetched ({error})"
        error: Any = reply.info.get("error")
        return str(error["reason"]) if error else ""


@pytest.fixture(scope="module")
def hospitals(
    honest: dict[str, Outcome], small_sites: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Hospital]]:
    """A hospital for each run, as that run left it; by task."""
    found: dict[str, Hospital] = {}
    before = Path.cwd()
    for case, outcome in honest.items():
        folder = tmp_path_factory.mktemp("hospital")
        shutil.copytree(small_sites / HOSTILE, folder / "data")
        shutil.copytree(outcome.folder / "run" / "sites" / HOSTILE, folder / OWN)
        for name in ("patients.txt", "teacher.safetensors", "local/dsfedmed.yaml", "work/notes.txt"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"{case} must stay as it is")
        config = PartyConfig(data=folder / "data", output=folder / OWN, bundles=BUNDLES, send_amplitudes=True)
        site = LocalSite(HOSTILE, folder / OWN, InProcessWorker(HOSTILE, config, folder / OWN))
        requests = dict(reversed(outcome.deeds.requests))  # the first of each task
        found |= {task: Hospital(folder, site, requests) for task in requests}
    os.chdir(folder / "work")
    yield found
    os.chdir(before)


SAME_CODE = (LOCAL_STATISTICS.name,)
"""Tasks that open a request by the code of another one, here that of `LOCAL_LAYERS` (slow)."""


@pytest.fixture(scope="module")
def started(hospitals: dict[str, Hospital]) -> Iterator[list[str]]:
    """The processes that were started meanwhile."""
    found: list[str] = []

    def refuse(name: str, *args: Any, **_: Any) -> None:
        found.append(f"{name} {args}")
        raise AssertionError(found[-1])

    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "os.system",
            "os.popen",
            "os.execv",
            "os.fork",
            "os.posix_spawn",
            "subprocess.Popen",
            "shutil.rmtree",
        ):
            patch.setattr(name, partial(refuse, name))
        yield found


BY_COST = [pytest.param(task, marks=pytest.mark.slow if task in SAME_CODE else ()) for task in TASKS]


def is_small(task: str, request: Message, original: Message) -> bool:
    """Tell whether carrying out a request takes no longer than the original did; one that is refused takes no time."""
    try:
        body = to_json(open_request(TASKS[task], request).body)
    except DSFedMedError:
        return True
    return _is_small(body, original.info["body"])


def _is_small(content: Any, before: Any) -> bool:
    if isinstance(content, dict):
        known = before if isinstance(before, dict) else {}
        return all(key == "seed" or _is_small(value, known.get(key)) for key, value in content.items())
    if isinstance(content, list):
        known = before if isinstance(before, list) and len(before) == len(content) else [None] * len(content)
        return all(map(_is_small, content, known))
    return type(content) is not int or content <= LARGE or content == before


@pytest.mark.parametrize("task", BY_COST)
@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_ruined_request_does_harm(task: str, hospitals: dict[str, Hospital], started: list[str], seed: int) -> None:
    hospital, draw = hospitals[task], Random(seed)
    before, original = hospital.outside(), hospital.requests[task]
    for _ in range(REQUESTS):
        request = mutated_message(original, draw)
        if is_small(task, request, original):
            hospital.ask(task, request)
    assert hospital.outside() == before
    assert started == []


def test_every_request_is_done_as_it_was(hospitals: dict[str, Hospital], started: list[str]) -> None:
    """The hospitals work: what is refused above is refused for what was changed."""
    for task, hospital in hospitals.items():
        assert hospital.ask(task, hospital.requests[task]) == "", task
    assert started == []


OUTSIDE = ("x/../../../data/datalist", "../patients", "/tmp/planted", "..", "a\\..\\b", ".hidden", "a\0b", "")
"""Names that would lead out of a folder, were they a part of a path."""
NAMES: dict[str, Callable[[Any], list[tuple[str | int, ...]]]] = {
    "training run": lambda body: [("round", "training")] if isinstance(body.get("round"), dict) else [],
    "bundle": lambda body: [("common", "light", "bundle")] if "common" in body else [],
    "shard": lambda body: [("files", "manifest", "shards", 0, "name")] if "files" in body else [],
    "public shard": lambda body: [("public", "shards", 0, "name")] if "public" in body else [],
    "pictures": lambda body: [("pictures", 0)] if body.get("pictures") else [],
    "variant": lambda body: [("teacher", "variant")] if body.get("teacher") else [],
    "soft labels": lambda body: [("synthetic", "soft_labels")] if body.get("synthetic") else [],
    "manifest": lambda body: [("synthetic", "manifest", "sha256")] if body.get("synthetic") else [],
}
"""Where a server names something that becomes a part of a path at the site."""


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("what", NAMES)
def test_no_name_leads_out_of_the_own_folder(
    what: str, name: str, hospitals: dict[str, Hospital], started: list[str]
) -> None:
    tried = 0
    for task, hospital in hospitals.items():
        request, before = hospital.requests[task], hospital.outside()
        body: Any = request.info["body"]
        for path in NAMES[what](body):
            tried += 1
            assert hospital.ask(task, replace(request, info={"body": replaced(body, path, name)})), (task, path)
        assert hospital.outside() == before
    assert tried
    assert started == []


def sealed(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a bundle's specification with the hash that a site would find, where there can be such a bundle."""
    try:
        return {**spec, "sha256": BundleDefinition(BUNDLES / spec["bundle"], spec["settings"]).sha256}
    except DSFedMedError:
        return spec


@pytest.mark.parametrize("code", CODE, ids=str)
@pytest.mark.parametrize("key", ["learning_rate", "loss", "network_def", "channel_def", "preprocessing", "image_size"])
def test_nothing_that_a_job_says_of_a_bundle_is_executed(
    code: Any, key: str, hospitals: dict[str, Hospital], started: list[str]
) -> None:
    """The server says the right hash of what it wants, so that only what it wants can be refused."""
    hospital = hospitals["dsf_train"]
    request, before = hospital.requests["dsf_train"], hospital.outside()
    body: Any = request.info["body"]
    spec = body["common"]["light"]
    for value in (code, [code], {"a": code}, {**code, "_disabled_": False} if isinstance(code, dict) else f" {code}"):
        wanted = sealed({**spec, "settings": {**spec["settings"], key: value}})
        assert hospital.ask("dsf_train", replace(request, info={"body": replaced(body, ("common", "light"), wanted)}))
    assert not Path(COMMAND.split()[1]).exists()
    assert hospital.outside() == before
    assert started == []
