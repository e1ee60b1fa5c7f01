# SPDX-License-Identifier: Apache-2.0
"""A site's personal branch as a bundle in its own folder: what is in it, and what the server hears of a failure."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsfedmed.errors import PayloadError
from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.evaluate import _release_own
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build_low_rank
from dsfedmed.federated.site.tasks.personal_release import FOLDER, release_personal
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.specs import NetworkKind
from dsfedmed.federated.wire.tasks import PERSONAL
from dsfedmed.networks.local_experts import personal_branch
from dsfedmed.store.files import read_json
from dsfedmed.training.personal_config import PersonalConfig
from tests.federated.tiny import BUNDLES

CONFIG = PersonalConfig(experts=2)
CASES = [CaseMetrics((0.5,), (0.25,), (2.0,)), CaseMetrics((1.0,), (0.75,), (4.0,))]


@pytest.fixture
def request_body(plan: FederationPlan) -> EvaluateRequest:
    networks: dict[str, NetworkKind] = {"pfedsam": "low_rank"}
    own = {"pfedsam": PERSONAL.name}
    return EvaluateRequest(plan.common, plan.teacher_spec, plan.teacher_init, networks, personal=CONFIG, own=own)


@pytest.fixture
def branch(site: SiteContext, plan: FederationPlan) -> torch.nn.Module:
    shared = build_low_rank(site, NetworkSpecs(plan.light_spec, plan.teacher_spec, plan.teacher_init))
    return personal_branch(shared, CONFIG.experts, CONFIG.top_k)


def test_the_bundle_holds_the_branch_and_its_figures_at_home(
    site: SiteContext, request_body: EvaluateRequest, branch: torch.nn.Module
) -> None:
    """Means of the two cases, Dice and IoU in percent, HD95 in pixels."""
    folder = release_personal(site, request_body, branch, CASES)
    assert folder == site.folder / FOLDER
    written = torch.load(folder / "models" / "model.pt", weights_only=True)
    state = branch.state_dict()
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in state.items())
    metadata = read_json(folder / "configs" / "metadata.json")
    assert metadata["eval_metrics"] == {"own site dice": 75.0, "own site iou": 50.0, "own site hd95": 3.0}
    assert "personal branch" in next(iter(metadata["changelog"].values()))


def test_a_failure_is_told_without_paths_and_leaves_nothing(
    site: SiteContext, request_body: EvaluateRequest, branch: torch.nn.Module, tmp_path: Path
) -> None:
    assert _release_own(site, request_body, "pfedsam", branch, CASES) is None
    (tmp_path / "bundles").mkdir()
    shutil.copytree(BUNDLES / "light_unet_segmentation", tmp_path / "bundles" / "light_unet_segmentation")
    elsewhere = SiteContext("site_a", replace(site.config, bundles=tmp_path / "bundles"), tmp_path / "elsewhere")
    error = _release_own(elsewhere, request_body, "pfedsam", branch, CASES)
    assert error is not None
    assert error.where == "site_a"
    assert str(tmp_path) not in str(error)
    assert not (tmp_path / "elsewhere" / FOLDER).exists()


def test_a_request_without_options_or_frozen_part_is_refused(
    site: SiteContext, request_body: EvaluateRequest, branch: torch.nn.Module
) -> None:
    with pytest.raises(PayloadError, match="named no options of pFedSAM"):
        release_personal(site, replace(request_body, personal=None), branch, CASES)
    with pytest.raises(PayloadError, match="named no teacher weights"):
        release_personal(site, replace(request_body, teacher_init=None), branch, CASES)
