# SPDX-License-Identifier: Apache-2.0
"""The teacher's foundation and its image size: official files by path, and images of one size, a teacher of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.exchange.compression import pack
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.stages.teacher import start_teacher
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.evaluate import evaluate
from dsfedmed.federated.site.tasks.networks import build
from dsfedmed.federated.site.tasks.train import train
from dsfedmed.federated.wire.message import Message
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.networks.positions import resize_absolute
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.networks.sam_variants import VARIANTS, SamVariant
from dsfedmed.settings import Settings
from tests.federated.tiny import BUNDLES, FakeFlow, tiny_plan, tiny_settings

PLAIN_VIT = SamVariant(
    32, 2, 2, (1,), window_size=2, prompt_dim=16, mlp_dim=24, quality_dim=16, decoder_heads=2, mask_in_chans=4
)


def no_answer(site: str, task: str, request: Message) -> Message | None:
    return None


def flow_with(folder: Path, teacher: Path | None, settings: Settings) -> FakeFlow:
    flow = FakeFlow(folder, settings, no_answer)
    flow.config = replace(flow.config, teacher=teacher)
    return flow


def test_the_teacher_has_its_own_image_size(tmp_path: Path) -> None:
    plan = tiny_plan(tiny_settings(teacher_image_size=64))
    assert plan.teacher_spec == {"variant": "tiny", "image_size": 64, "num_classes": 1}
    assert plan.teacher_network().image_size == 64
    assert tiny_plan(tiny_settings()).teacher_network().image_size == 32


@pytest.mark.parametrize(
    "values",
    [{"teacher_image_size": 1000, "teacher_variant": "vit_b"}, {"teacher_image_size": -16}, {"image_size": 60}],
)
def test_a_size_without_patches_is_refused_before_the_run(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="teacher image_size"):
        tiny_settings(**values)


def test_a_foundation_of_another_image_size_is_resampled_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VARIANTS, "plain", PLAIN_VIT)
    foundation = build_promptless_sam("plain", 128, 1, seed=5)
    torch.nn.init.normal_(foundation.image_encoder.pos_embed)
    file = tmp_path / "foundation.safetensors"
    save_weights({k: v for k, v in foundation.state_dict().items() if "seg1" not in k}, file)
    settings = tiny_settings(teacher_variant="plain", teacher_image_size=64)
    teacher, origin = start_teacher(flow_with(tmp_path, file, settings), tiny_plan(settings))  # type: ignore[arg-type]
    assert "3 of them resampled to this image size: image_encoder.pos_embed" in origin
    assert "2 not in the file: mask_decoder.seg1" in origin
    torch.testing.assert_close(
        teacher.image_encoder.pos_embed, resize_absolute(foundation.image_encoder.pos_embed, 4), msg="pos_embed"
    )


def test_a_missing_official_checkpoint_names_file_licence_and_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VARIANTS, "vit_l", PLAIN_VIT)  # so that no full-size network is built
    settings = tiny_settings(teacher_variant="vit_l")
    flow = flow_with(tmp_path, tmp_path / "none.pth", settings)
    with pytest.raises(
        CheckpointError, match=r"none\.pth: no such file; sam_vit_l_0b3195\.pth .*Apache-2\.0.*Download"
    ):
        start_teacher(flow, tiny_plan(settings))  # type: ignore[arg-type]
    (tmp_path / "sam_vit_l_0b3195.pth").write_bytes(b"half a download")
    flow = flow_with(tmp_path, tmp_path / "sam_vit_l_0b3195.pth", settings)
    with pytest.raises(CheckpointError, match=r"has 15 bytes, so it is not sam_vit_l_0b3195\.pth"):
        start_teacher(flow, tiny_plan(settings))  # type: ignore[arg-type]


def test_fedsam_trains_and_scores_a_teacher_of_another_size(tmp_path: Path) -> None:
    (images,) = make_demo_sites(tmp_path / "images", 0, ("site_a",), training=4, validation=2, test=2)
    plan = tiny_plan(tiny_settings(teacher_image_size=64))
    site = SiteContext("site_a", PartyConfig(data=images, bundles=BUNDLES), tmp_path / "work")
    weights = {f"weights/{n}": t for n, t in pack(dict(plan.teacher_network().state_dict()), "fp32").items()}
    info = {**plan.common, "arm": "fedsam", "network": "teacher", "teacher": plan.teacher_spec, "learning_rate": 1e-3}
    info |= {"round": 1, "epochs": 1, "batch_size": 2, "keep_optimizer": False, "synthetic": None, "precision": "fp32"}
    reply = train(site, Message(info, weights))
    assert reply.is_difference
    assert reply.info["steps"] == 2
    assert 0 <= reply.info["validation"] <= 1
    assert any(float(tensor.abs().max()) > 0 for tensor in reply.tensors.values())
    asked = {**plan.common, "teacher": plan.teacher_spec, "networks": {"fedsam": "teacher"}, "legacy_eval": False}
    scored = {name.replace("weights/", "fedsam/"): tensor for name, tensor in weights.items()}
    answer = evaluate(site, Message({**asked, "pictures": []}, scored))
    assert len(answer.info["cases"]["fedsam"]) == 2


def test_fedmsa_holds_every_site_to_the_server_s_foundation(tmp_path: Path) -> None:
    """The frozen part is the site's own file, of the same hash; without a file it is the same random start."""
    file = tmp_path / "teacher.safetensors"
    save_weights(build_promptless_sam("tiny", 32, 1, seed=9).state_dict(), file)
    settings = tiny_settings()
    here = replace(tiny_plan(settings), teacher=file)
    info = {"teacher": here.teacher_spec, "foundation": here.teacher_init}
    site = SiteContext("site_a", PartyConfig(bundles=BUNDLES, teacher=file), tmp_path / "own")
    built = build(site, info, "adapted").state_dict()
    expected = build_promptless_sam("tiny", 32, 1, seed=9).state_dict()
    attention = "image_encoder.blocks.0.attn"
    assert torch.equal(built[f"{attention}.layer.qkv.weight"], expected[f"{attention}.qkv.weight"])
    other = tmp_path / "other.safetensors"
    save_weights(build_promptless_sam("tiny", 32, 1, seed=8).state_dict(), other)
    for wrong in (other, tmp_path / "none.safetensors"):
        with pytest.raises(ConfigError, match="is missing or is not the server's"):
            build(SiteContext("site_a", PartyConfig(bundles=BUNDLES, teacher=wrong), tmp_path / "own"), info, "adapted")
    start = tiny_plan(settings)
    info = {"teacher": start.teacher_spec, "foundation": start.teacher_init}
    random = build(SiteContext("site_a", PartyConfig(bundles=BUNDLES), tmp_path / "own"), info, "adapted").state_dict()
    position = "image_encoder.pos_embed"
    assert torch.equal(random[position], start.teacher_network().state_dict()[position])
