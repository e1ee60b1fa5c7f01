# SPDX-License-Identifier: Apache-2.0
"""A hospital's privacy.json that names a filter where version 0.3 had it: NVFlare starts nothing at that site.

The policies are read by NVFlare's own code, as it does in the process of a site's job.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.workspace import Workspace
from nvflare.fuel.common.excepts import ConfigError
from nvflare.private.fed.app.fl_conf import create_privacy_manager
from nvflare.private.privacy_manager import PrivacyService

from dsfedmed.flare.privacy.egress_guard import EgressGuard
from dsfedmed.flare.privacy.gaussian import GaussianMechanism
from dsfedmed.flare.workspace import SITE_CLASSES
from tests.flare.job_process import NoRunner, start_job

ROOT = Path(__file__).resolve().parents[3]
POLICIES = sorted((ROOT / "poc" / "policies").glob("*/privacy.json"))
NOISE = {"clip": 1.0, "noise_multiplier": 0.1}
MOVED = {
    "dsfedmed.federated.privacy.egress_guard.EgressGuard": (EgressGuard, {"masks": "deformed"}),
    "dsfedmed.federated.privacy.gaussian.GaussianMechanism": (GaussianMechanism, NOISE),
}
"""Paths of version 0.3, with the class that is meant and arguments that it takes."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Workspace]:
    """A site's NVFlare workspace."""
    for name in ("startup", "local"):
        (tmp_path / name).mkdir()
    (tmp_path / "local" / "resources.json").write_text(json.dumps({"class_allow_list": SITE_CLASSES}))
    before = PrivacyService.get_manager()
    yield Workspace(str(tmp_path), "hospital_a")
    PrivacyService.initialize(before)


def write_policy(site: Workspace, path: str, args: dict[str, Any], kind: str = "task_result_filters") -> None:
    scope = {"name": "private", kind: [{"path": path, "direction": "out", "args": args}]}
    policy = {"scopes": [scope], "default_scope": "private"}
    Path(site.get_site_privacy_file_path()).write_text(json.dumps(policy))


def path_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@pytest.mark.parametrize("kind", ["task_result_filters", "task_data_filters"])
@pytest.mark.parametrize("old", MOVED)
def test_a_policy_that_names_the_old_place_cannot_be_read(site: Workspace, old: str, kind: str) -> None:
    meant, args = MOVED[old]
    write_policy(site, old, args, kind)
    with pytest.raises(ConfigError, match=rf"{old}: moved to {path_of(meant)} in 0\.4\. Write {path_of(meant)} in"):
        create_privacy_manager(site, names_only=False)


@pytest.mark.parametrize("old", MOVED)
def test_the_site_s_job_process_does_not_start_with_it(site: Workspace, old: str) -> None:
    """It fails closed: the process ends before there is anything that could run a task or let a reply out."""
    meant, args = MOVED[old]
    write_policy(site, old, args)
    with pytest.raises(ConfigError, match=f"moved to {path_of(meant)}"):
        start_job(site)


@pytest.mark.parametrize("old", MOVED)
def test_the_new_path_is_in_force(site: Workspace, old: str) -> None:
    meant, args = MOVED[old]
    write_policy(site, path_of(meant), args)
    with pytest.raises(NoRunner):
        start_job(site)
    (found,) = PrivacyService.get_scope(None).task_result_filters["out"]
    assert type(found) is meant


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.parent.name)
def test_the_ready_policies_are_in_force(site: Workspace, policy: Path) -> None:
    shutil.copy(policy, site.get_site_privacy_file_path())
    filters = create_privacy_manager(site, names_only=False).get_scope(None).task_result_filters["out"]
    assert filters
    assert all(isinstance(one, (EgressGuard, GaussianMechanism)) for one in filters)
    assert isinstance(filters[-1], EgressGuard), "the guard comes last"


def test_the_old_place_needs_no_nvflare() -> None:
    """It is part of the room that runs without NVFlare."""
    code = "import sys; sys.modules['nvflare'] = None; " + "; ".join(
        f"import {old.rpartition('.')[0]}" for old in MOVED
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
