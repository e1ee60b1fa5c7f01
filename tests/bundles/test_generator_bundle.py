# SPDX-License-Identifier: Apache-2.0
"""The generator's bundle: checks, one command from masks to images, and the way from a run to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from dsfedmed.bundles.checks import check_bundle
from dsfedmed.cli.main import main
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.data.facts import site_facts
from dsfedmed.errors import ConfigError
from dsfedmed.generator.bundle import MaskToImage
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.networks.embedded import build_base, embedded_base
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.store.files import write_json
from dsfedmed.store.stage_store import StageStore
from tests.bundles.conftest import ROOT, blocks
from tests.data.conftest import write_image
from tests.federated.tiny import tiny_plan, tiny_settings

BUNDLE = ROOT / "bundles" / "controlnet_generator"
TINY: dict[str, Any] = {
    "image_size": 32, "num_classes": 1, "block_out_channels": [16, 32], "norm_groups": 8,
    "attention_head_channels": 16, "sampler_steps": 2,
}  # fmt: skip


def draw(bundle: Path, masks: Path, out: Path, **settings: Any) -> list[np.ndarray]:
    flow = ConfigWorkflow(
        config_file=str(bundle / "configs/inference.json"), meta_file=str(bundle / "configs/metadata.json"),
        logging_file=str(bundle / "configs/logging.conf"), workflow_type="infer", bundle_root=str(bundle),
        dataset_dir=str(masks), output_dir=str(out), device="cpu", **settings,
    )  # fmt: skip
    flow.initialize()
    assert flow.check_properties() == []
    flow.run()
    flow.finalize()
    return [np.asarray(Image.open(path)) for path in sorted(out.iterdir())]


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Three label maps of 30 x 44, one of them stored as 0/255."""
    for seed in range(3):
        write_image(tmp_path / "masks" / f"m{seed}.png", blocks(seed, 1, False)[1] * (255 if seed == 2 else 1))
    return tmp_path / "masks"


def test_every_check_passes() -> None:
    results = check_bundle(BUNDLE)
    assert [result for result in results if result.complaints] == []
    assert {"layout", "rules", "metadata", "properties", "input and output"} <= {result.name for result in results}


def test_masks_become_images_that_the_seed_repeats(masks: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_weights(MaskToImage(TINY).state_dict(), tmp_path / "model.pt")
    shared = {"ckpt_path": str(tmp_path / "model.pt"), "generator": TINY, "image_size": [32, 32]}
    first = draw(BUNDLE, masks, tmp_path / "a", **shared)
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == [f"m{k}_image.png" for k in range(3)]
    assert {(image.shape, image.dtype) for image in first} == {((32, 32), np.dtype(np.uint8))}
    assert not np.array_equal(first[0], first[1])
    again = draw(BUNDLE, masks, tmp_path / "b", **shared)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    other = draw(BUNDLE, masks, tmp_path / "c", **shared, seed=1)
    assert not np.array_equal(first[0], other[0])


def test_a_stable_diffusion_does_not_fit_into_a_bundle() -> None:
    with pytest.raises(ConfigError, match="Stable Diffusion folder"):
        MaskToImage({"base": "stable_diffusion"})


def test_a_runs_generator_becomes_a_bundle(masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tiny_settings()
    plan = tiny_plan(settings)
    base = build_base(plan.generator, seed=1)
    branch = build_branch(embedded_base(base, plan.generator), plan.generator, seed=2)
    run = tmp_path / "run"
    (run / "store").mkdir(parents=True)
    store = StageStore(run / "store", {"settings": settings.to_dict(), "sites": ["site_a"]})
    store.put("fit base", {}, base.state_dict())
    store.put("fit branches", {"sites": ["site_a"]})
    store.put("branch-site_a", {}, branch_state(branch))
    (site,) = make_demo_sites(tmp_path / "sites", 0, ["site_a"], 2, 1, 1)
    told = site_facts(load_datalist(site)).to_dict()
    write_json(run / "record.json", {"versions": told["versions"], "facts": {"site_a": told}})
    out = tmp_path / "generator"
    given = ["release-generator", str(run), "--out", str(out), "--bundles", str(ROOT / "bundles")]
    assert main([*given, "--site", "site_x"]) == 2
    assert "has no branch in this run" in capsys.readouterr().err
    assert main([*given, "--site", "site_a"]) == 0
    assert [r for r in check_bundle(out, weights=True) if r.complaints] == []
    assert "the base of run run and the branch of site_a" in (out / "docs/README.md").read_text()
    saved = torch.load(out / "models/model.pt", weights_only=True)
    assert torch.equal(saved["base.conv_in.weight"], base.state_dict()["conv_in.weight"])
    assert torch.equal(saved["branch.conv_in.weight"], branch.state_dict()["conv_in.weight"])
    images = draw(out, masks, tmp_path / "images")
    assert {image.shape for image in images} == {(32, 32)}
