# SPDX-License-Identifier: Apache-2.0
"""BundleDefinition: parts, settings, hash, errors; and that a bundle is checked when it is opened."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ComponentLocator
from PIL import Image

from dsfedmed.bundles.components import Components
from dsfedmed.bundles.definition import BundleDefinition, lay_values
from dsfedmed.errors import ConfigError, DataError

BUNDLE = Path(__file__).parents[2] / "bundles" / "light_unet_segmentation"


def copy_with(folder: Path, change: dict[str, Any]) -> Path:
    shutil.copytree(BUNDLE, folder)
    path = folder / "configs" / "train.json"
    document = json.loads(path.read_text())
    document.update(change)
    path.write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize("name", ["light_unet", "light_flexible_unet", "light_tinysam"])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, True)])
def test_gradient_descent_without_momentum_is_plain(name: str, momentum: float, nesterov: bool) -> None:
    folder = BUNDLE.parent / f"{name}_segmentation"
    definition = BundleDefinition(folder, {"optimizer": "sgd", "momentum": momentum})
    (group,) = definition.optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups
    assert (group["momentum"], group["nesterov"]) == (momentum, nesterov)


@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 1, 32), (3, 2, 64), (1, 3, 48)])
def test_settings_reach_every_part(tmp_path: Path, channels: int, classes: int, size: int) -> None:
    definition = BundleDefinition(
        BUNDLE, {"in_channels": channels, "num_classes": classes, "image_size": [size, size], "learning_rate": 0.25}
    )
    network = definition.network(seed=1)
    assert network(torch.rand(2, channels, size, size)).shape == (2, classes, size, size)
    optimizer = definition.optimizer(network.parameters())
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert sum(p.numel() for p in optimizer.param_groups[0]["params"]) == sum(p.numel() for p in network.parameters())
    assert definition.image_size == (size, size)
    assert (definition.in_channels, definition.num_classes, definition.nested) == (channels, classes, True)
    Image.fromarray(np.full((20, 30, 3), 255, np.uint8)).save(tmp_path / "i.png")
    item = definition.preprocessing()({"image": str(tmp_path / "i.png")})
    assert item["image"].shape == (channels, size, size)
    assert definition.inferer()(torch.rand(1, channels, size, size), network).shape == (1, classes, size, size)


def test_default_network_has_the_documented_size() -> None:
    count = sum(p.numel() for p in BundleDefinition(BUNDLE).network().parameters())
    assert 300_000 < count < 500_000


def test_network_has_no_counters_or_running_statistics() -> None:
    assert not list(BundleDefinition(BUNDLE).network().buffers())


def test_loss_is_binary_cross_entropy_plus_dice_per_channel() -> None:
    loss = BundleDefinition(BUNDLE, {"num_classes": 2}).loss()
    logits = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    target = (torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    probability = logits.sigmoid()
    cross_entropy = -(target * probability.log() + (1 - target) * (1 - probability).log()).mean()
    overlap = (probability * target).sum((0, 2, 3))
    total = probability.sum((0, 2, 3)) + target.sum((0, 2, 3))
    dice = (1 - (2 * overlap + 1) / (total + 1)).mean()
    torch.testing.assert_close(loss(logits, target), cross_entropy + dice)


def test_augmentation_moves_image_label_and_soft_targets_alike() -> None:
    augmentation = BundleDefinition(BUNDLE).augmentation()
    augmentation.set_random_state(seed=3)  # type: ignore[attr-defined]
    label = torch.zeros(1, 64, 64)
    label[:, 14:30, 18:50] = 1.0
    for _ in range(5):
        result = augmentation({"image": label.clone(), "label": label.to(torch.uint8), "soft": label.clone()})
        inside = result["label"].bool()
        assert ((result["soft"] > 0.5) == inside).float().mean() > 0.97
        assert result["image"][inside].mean() > result["image"][~inside].mean() + 0.3
        assert set(torch.unique(result["label"]).tolist()) <= {0, 1}
        assert 0.0 <= result["image"].min() <= result["image"].max() <= 1.0


@pytest.mark.parametrize("bundle", ["light_unet", "light_flexible_unet", "light_tinysam"])
@pytest.mark.parametrize("choice", ["bezier", "gin"])
def test_drawn_appearances_change_the_image_beyond_where_it_moves(bundle: str, choice: str) -> None:
    """The label moves with the image; in nine of ten cases bright and dark are other values, and still of [0, 1]."""
    folder = BUNDLE.parent / f"{bundle}_segmentation"
    settings = {"augmentation": choice, "image_size": [64, 64]}
    augmentation: Any = BundleDefinition(folder, settings).augmentation()
    augmentation.set_random_state(seed=2)
    label = torch.zeros(1, 64, 64)
    label[:, 10:30, 20:50] = 1
    changed = 0
    for _ in range(8):
        found = augmentation({"image": 0.2 + 0.5 * label, "label": label.to(torch.uint8), "soft": label.clone()})
        masks = (found["soft"] > 0.9, found["soft"] < 0.1)
        inside, outside = (float(found["image"][mask].median()) for mask in masks)
        assert 0 <= float(found["image"].min()) <= float(found["image"].max()) <= 1
        assert abs(inside - outside) > 0.01
        changed += max(abs(inside - 0.7), abs(outside - 0.2)) > 0.01
    assert changed >= 5


def test_augmentation_works_without_soft_targets() -> None:
    result = BundleDefinition(BUNDLE).augmentation()({"image": torch.rand(3, 64, 64), "label": torch.ones(1, 64, 64)})
    assert set(result) == {"image", "label"}


def test_start_weights_come_from_the_seed() -> None:
    definition = BundleDefinition(BUNDLE)
    first, again, other = (definition.network(seed=s).state_dict() for s in (1, 1, 2))
    key = next(iter(first))
    assert torch.equal(first[key], again[key])
    assert not torch.equal(first[key], other[key])


def test_hash_depends_on_files_and_settings(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(BUNDLE, copy)
    assert BundleDefinition(copy).sha256 == BundleDefinition(BUNDLE).sha256
    assert BundleDefinition(copy, {"num_classes": 2}).sha256 != BundleDefinition(copy).sha256
    metadata = copy / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text() + " ")
    assert BundleDefinition(copy).sha256 != BundleDefinition(BUNDLE).sha256


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("num_clases", "Did you mean 'num_classes'"),
        ("network_def::chanels", "Did you mean 'channels'"),
        ("network_def::channels", "That is a configuration id; the setting is called 'channels'"),
        ("network_def#dropout", "That is a configuration id; the setting is called 'dropout'"),
        ("loss::a::b", "The bundle declares image_size, in_channels"),
        ("_target_", "The bundle declares|Did you mean"),
    ],
)
def test_unknown_setting_is_refused_by_name(key: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"settings of light_unet_segmentation: unknown setting '{key}'") as caught:
        BundleDefinition(BUNDLE, {key: 2})
    assert re.search(meant, caught.value.fix)


def test_the_sender_is_named() -> None:
    with pytest.raises(ConfigError, match=r"site_a's request: setting 'dropout': 2 lies outside 0 to 0\.9"):
        BundleDefinition(BUNDLE, {"dropout": 2}, sender="site_a's request")


def test_values_are_laid_over_existing_ids_and_leave_the_source_alone() -> None:
    document = {"a": {"b": [1, 2]}, "c": 3}
    assert lay_values(document, {"a::b::1": 5, "c": 4}, "x") == {"a": {"b": [1, 5]}, "c": 4}
    assert document == {"a": {"b": [1, 2]}, "c": 3}
    with pytest.raises(ConfigError, match="has no 'a::d'"):
        lay_values(document, {"a::d": 1}, "x")
    network = BundleDefinition(BUNDLE, {"channels": [4, 8, 16, 32]}).network()
    assert sum(p.numel() for p in network.parameters()) < 40_000


def test_missing_bundle_and_missing_part_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*train\.json"):
        BundleDefinition(tmp_path / "nowhere")
    folder = copy_with(tmp_path / "bundle", {})
    path = folder / "configs" / "train.json"
    document = json.loads(path.read_text())
    del document["inferer"]
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="has no 'inferer'"):
        BundleDefinition(folder).inferer()
    path.write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        BundleDefinition(folder)


def test_network_that_does_not_build_is_a_config_error(tmp_path: Path) -> None:
    definition = BundleDefinition(copy_with(tmp_path / "b", {"network_def": {"_target_": "monai.networks.nets.UNet"}}))
    with pytest.raises(ConfigError, match="'network_def' cannot be built"):
        definition.network()


def test_unreadable_image_keeps_its_own_error(tmp_path: Path) -> None:
    from dsfedmed.data.arrays import preprocess_item
    from dsfedmed.data.datalist import Item, SiteDatalist

    item = Item(tmp_path / "gone.png", None, "a")
    site = SiteDatalist("s", tmp_path, {0: "background", 1: "x"}, True, {}, "")
    with pytest.raises(DataError, match=r"gone\.png"):
        preprocess_item(site, item, BundleDefinition(BUNDLE).preprocessing())


@pytest.mark.parametrize(
    "change",
    [
        {"network_def": {"_target_": "torch.nn.functional.torch.os.system", "command": "true"}},
        {"learning_rate": "$__import__('os').getpid()"},
        {"dataset_dir": "/srv/other"},
        {"extra": "%../../other.json::network_def"},
    ],
)
def test_a_bundle_is_checked_when_it_is_opened(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"train\.json"):
        BundleDefinition(copy_with(tmp_path / "b", change))


@pytest.mark.parametrize("name", ["inference", "evaluate", "metadata"])
def test_every_file_of_it_is_checked(tmp_path: Path, name: str) -> None:
    folder = copy_with(tmp_path / "b", {})
    path = folder / "configs" / f"{name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "extra": "$__import__('os').getpid()"}))
    with pytest.raises(ConfigError, match=rf"{name}\.json: extra is"):
        BundleDefinition(folder)


def test_a_party_may_accept_a_class_of_its_own(tmp_path: Path) -> None:
    other = "monai.losses.FocalLoss"
    folder = copy_with(tmp_path / "b", {"loss": {"_target_": other, "gamma": 2.0}})
    with pytest.raises(ConfigError, match=r"loss::_target_ is 'monai.losses.FocalLoss', which a bundle may not call"):
        BundleDefinition(folder)
    assert type(BundleDefinition(folder, also_allowed=(other,)).loss().loss).__name__ == "FocalLoss"


def test_monais_names_are_looked_up_in_one_table() -> None:
    """Making it goes through every module of MONAI, and gives the same each time."""
    tables = [Components({}, "x.json")._parser.locator for _ in range(2)]
    assert tables[0] is tables[1]
    assert tables[0].get_component_module_name("UNet") == ComponentLocator().get_component_module_name("UNet")
