# SPDX-License-Identifier: Apache-2.0
"""What a changed setting costs, and that every entry that is reused is one that a run makes."""

from __future__ import annotations

from typing import Any

import pytest

from dsfedmed.bundles.documents import METADATA, read_config
from dsfedmed.bundles.settings import declared_settings
from dsfedmed.federated.methods.dsfedmed import DSFedMed
from dsfedmed.federated.server.stage_dependencies import CHAIN, INVALIDATES, STORED, reusable_stages
from dsfedmed.options import dotted
from dsfedmed.settings import Settings, merge
from tests.federated.server.conftest import Finished
from tests.federated.tiny import BUNDLES

SETTINGS = declared_settings(read_config(BUNDLES / "light_unet_segmentation" / METADATA))
BASELINES = ("compare fedavg", "compare fedprox", "compare local", "compare centralised")
ALL = (*CHAIN, *BASELINES)


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"distillation": {"rate": 1.0}}, ()),
        ({"preset": "other", "compare": {"fedsam": True}, "legacy_eval": True}, ()),
        ({"schedule": {"site_kl_weight": 0.0}}, ("head start",)),
        ({"schedule": {"interval_rounds": 3}}, ("compare fedavg",)),
        ({"schedule": {"head_start_steps": 7}}, ("head start", "compare fedavg")),
        ({"compare": {"fedprox_mu": 0.5}}, ("compare fedprox",)),
        ({"teacher": {"epochs": 3}}, CHAIN[5:]),
        ({"robust": {"part_margin": 0.2}}, CHAIN[4:]),
        ({"robust": {"parts": False}}, CHAIN[4:]),
        ({"light": {"batch_size": 8}}, (*CHAIN[4:], *BASELINES)),
        ({"refit": {"learning_rate": 0.01}}, (*CHAIN[4:], "compare fedavg")),
        ({"synthetic": {"audit_quantile": 0.1}}, CHAIN[3:]),
        ({"synthetic": {"per_site": 9}}, CHAIN[1:]),
        ({"generator": {"branch_steps": 9}}, CHAIN[1:]),
        ({"generator": {"base_steps": 9}, "distillation": {"rate": 1.0}}, CHAIN),
        ({"generator": {"base": "given"}}, CHAIN),
        ({"rounds": 9}, BASELINES),
        ({"seed": 1}, ALL),
        ({"unseen": ["a"]}, ALL),
        ({"light_settings": {"learning_rate": 0.1}}, ("head start", *BASELINES)),
        ({"light_settings": {"channels": [8, 16]}}, ALL),
        ({"light": {"rate_schedule": "cosine"}}, BASELINES),
        ({"light": {"precision": "fp32"}}, ALL),
        ({"refit": {"steps": 20}}, ("compare fedavg",)),
        ({"synthetic": {"broadcast": False}, "schedule": {"distil_at": "server"}}, (*CHAIN[3:], "compare fedavg")),
        ({"light_settings": {"another_bundle/learning_rate": 0.1}}, ()),
        ({"generator_model": {"guidance": 2.0}}, ALL),
    ],
)
def test_what_a_change_costs(change: dict[str, Any], lost: tuple[str, ...]) -> None:
    before = Settings()
    now = Settings.from_dict(merge(before.to_dict(), change))
    assert set(reusable_stages(before, now)) == set(STORED) - set(lost)


def test_other_teacher_weights_cost_the_teacher_and_what_follows() -> None:
    assert set(reusable_stages(Settings(), Settings(), other_teacher_weights=True)) == set(STORED) - set(CHAIN[5:])


def test_nothing_changed_costs_nothing_and_all_are_stages_of_a_run() -> None:
    everything = {"schedule": {"head_start_steps": 1}, "compare": {"fedprox": True, "centralised": True}}
    settings = Settings.from_dict(merge(Settings().to_dict(), everything))
    assert reusable_stages(settings, settings) == tuple(STORED)
    assert set(STORED) <= set(DSFedMed.stages(settings))
    assert set(STORED) == set(ALL)


def test_every_name_is_that_of_a_setting_or_a_section() -> None:
    """A setting that is renamed without its entry would cost everything, or nothing."""
    known = set()
    for key, _ in dotted(Settings().to_dict()):
        parts = key.split(".")
        known |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    declared = {f"light_settings.{name}" for name in SETTINGS}
    assert set(INVALIDATES) <= known | declared


@pytest.mark.parametrize("stage", [stage for stage in STORED])
def test_what_is_copied_of_a_stage_is_what_a_run_keeps_of_it(stage: str, finished: Finished) -> None:
    """Every pattern names something in the store.

    But for the rounds of a base, which go when it is done, and a training that a falling learning rate alone needs.
    """
    store = finished.folder / "store"
    for pattern in STORED[stage]:
        assert pattern in ("base-*", "training-fedavg_equal_steps") or list(store.glob(f"{pattern}.json")), (
            f"no run keeps {pattern}"
        )


def test_what_a_baseline_goes_on_with_is_copied_with_it(finished: Finished) -> None:
    """FedAvg goes on to equal steps, and FedProx is scored, from the state of the training run."""
    copied = {pattern for stage in BASELINES for pattern in STORED[stage]}
    kept = {path.stem for path in (finished.folder / "store").glob("training-*.json")}
    assert kept - copied == {"training-dsfedmed"}
