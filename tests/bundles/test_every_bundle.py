# SPDX-License-Identifier: Apache-2.0
"""Every bundle as MONAI sees it: specification, schema, network, exports, and what the federation exchanges of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from monai.bundle import ckpt_export, onnx_export, verify_metadata, verify_net_in_out
from torch import Tensor

from dsfedmed.bundles.checks import check_bundle, schema_path
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.documents import CONFIGS
from dsfedmed.data.facts import FederationFacts
from dsfedmed.exchange.tensors import specs_of
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import make_plan
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.settings import Settings
from tests.bundles.conftest import ROOT, SMALL

SCRIPTED = ("light_unet_segmentation", "light_flexible_unet_segmentation")
"""Bundles whose network torch.jit.script takes; the others are traced."""


def test_every_check_passes(bundle: Path) -> None:
    results = check_bundle(bundle)
    assert [result for result in results if result.complaints] == []
    assert {"layout", "rules", "metadata", "properties", "one network"} <= {result.name for result in results}


def test_files_are_in_one_form_and_the_licence_is_whole(bundle: Path) -> None:
    for name in CONFIGS:
        text = (bundle / name).read_text()
        assert text == json.dumps(json.loads(text), indent=4) + "\n", name
    assert (bundle / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert bundle.name.endswith("_segmentation"), "MONAI Label takes the task from the folder's name"


def test_monais_own_commands_agree(bundle: Path) -> None:
    files = {"meta_file": str(bundle / "configs/metadata.json")}
    verify_metadata(filepath=schema_path(), **files)
    small = BundleDefinition(bundle, SMALL.get(bundle.name))
    image = "_meta_::network_data_format::inputs::image"
    meta = {f"{image}::spatial_shape": list(small.image_size), f"{image}::num_channels": small.in_channels}
    files["config_file"] = str(bundle / "configs/inference.json")
    verify_net_in_out("network_def", device="cpu", **files, **meta, **SMALL.get(bundle.name, {}))


def test_exports_answer_as_pytorch_does(bundle: Path, tmp_path: Path) -> None:
    definition = BundleDefinition(bundle, SMALL.get(bundle.name))
    network = definition.network(seed=1).eval()
    weights = tmp_path / "model.pt"
    save_weights(network.state_dict(), weights)
    shape = [1, definition.in_channels, *definition.image_size]
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(images)
    files = {"ckpt_file": str(weights), "meta_file": str(bundle / "configs/metadata.json"),
             "config_file": str(bundle / "configs/inference.json"), "input_shape": shape,
             **SMALL.get(bundle.name, {})}  # fmt: skip
    ckpt_export("network_def", str(tmp_path / "model.ts"), use_trace=bundle.name not in SCRIPTED, **files)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(images), expected, rtol=1e-4, atol=1e-4)
    onnx_export("network_def", str(tmp_path / "model.onnx"), **files)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    answer = session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]
    np.testing.assert_allclose(answer, expected.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 2)])
def test_the_federation_exchanges_what_the_bundle_builds(bundle: Path, channels: int, classes: int) -> None:
    """The light network of a run that names the bundle; the teacher where the bundle is the teacher's."""
    is_light = bundle.name.startswith("light_")
    names = ("disc", "cup")[:classes]
    chosen = {"light": {"bundle": bundle.name}} if is_light else {"teacher_variant": "tiny"}
    settings = Settings.from_dict({"image_size": 64, **chosen})
    facts = FederationFacts(channels, classes, names, True)
    plan = make_plan(settings, PartyConfig(bundles=bundle.parent), facts, {"site_a": 4})
    small = {"image_size": [64, 64], "in_channels": channels, "num_classes": classes}
    alone = BundleDefinition(bundle, small if is_light else {**small, "variant": "tiny"}).network(seed=0)
    exchanged = specs_of(trained_tensors(plan.light_network() if is_light else plan.teacher_network()))
    assert exchanged == specs_of(trained_tensors(alone))
    frozen = {name for name, parameter in alone.named_parameters() if not parameter.requires_grad}
    floats = {k: v for k, v in alone.state_dict().items() if v.is_floating_point() and k not in frozen}
    assert exchanged == specs_of(floats)


def test_a_copy_with_another_network_is_told(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / bundle.name
    shutil.copytree(bundle, copy)
    path = copy / "configs/inference.json"
    document = json.loads(path.read_text())
    document["num_classes"] = 3
    path.write_text(json.dumps(document))
    (copy / "docs/data_license.txt").unlink()
    assert check_bundle(copy)[0].complaints == ("docs/data_license.txt is missing",)
    (copy / "docs/data_license.txt").write_text("none")
    told = {result.name: " ".join(result.complaints) for result in check_bundle(copy) if result.complaints}
    assert "num_classes differs" in told["one network"]
    assert "(1, 3, " in told["input and output"]


def test_weights_of_another_network_are_told(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / bundle.name
    shutil.copytree(bundle, copy)
    assert "no such file" in check_bundle(copy, weights=True)[-1].complaints[0]
    other: dict[str, Tensor] = {"x": torch.ones(1)}
    save_weights(other, copy / "models/model.pt")
    assert "another architecture" in check_bundle(copy)[-1].complaints[0]


def test_the_teachers_bundle_builds_the_federations_teacher() -> None:
    bundle = ROOT / "bundles" / "promptless_sam_segmentation"
    alone = BundleDefinition(bundle, {**SMALL[bundle.name], "num_classes": 2}).network()
    assert specs_of(alone.state_dict()) == specs_of(build_promptless_sam("tiny", 32, 2).state_dict())
