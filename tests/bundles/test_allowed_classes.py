# SPDX-License-Identifier: Apache-2.0
"""The list of classes is exact: every entry is what it says, every entry is used, and nothing is reached through it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dsfedmed.bundles import allowed_classes
from dsfedmed.bundles.allowed_classes import ALLOWED, EARLIER, is_what_it_says, require_allowed
from dsfedmed.bundles.documents import check_documents
from dsfedmed.errors import ConfigError
from tests.bundles.conftest import ROOT


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_every_entry_is_defined_under_its_name(name: str) -> None:
    assert is_what_it_says(name)
    require_allowed(name, "a::_target_", "x.json")


def test_the_committed_bundles_need_every_entry() -> None:
    used = {name for bundle in (ROOT / "bundles").iterdir() for name in targets(check_documents(bundle))}
    assert used == ALLOWED - set(EARLIER)
    assert set(EARLIER) <= ALLOWED


def test_nothing_that_runs_reads_or_fetches_at_will_is_on_it() -> None:
    words = ("lambda", "torch.load", "download", "url", "hub", "apps", "persistent", "save_weights", "script")
    assert not [name for name in ALLOWED if any(word in name.lower() for word in words)]


@pytest.mark.parametrize(
    "name",
    ["torch.nn.functional.torch.os.system", "monai.data.torch.load", "monai.transforms.Lambdad", "torch.load",
     "monai.transforms.compose.Compose", "monai.transforms", "Compose", "", "monai.transforms.Compose ", None, 3, ["x"],
     "monai.transforms.Compose.__init__", "builtins.eval", "scripts.net.Net"],
)  # fmt: skip
def test_what_is_not_on_it_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match=r"x\.json: a::_target_ is .*, which a bundle may not call"):
        require_allowed(name, "a::_target_", "x.json")


@pytest.mark.parametrize(
    "name",
    ["torch.nn.functional.torch.os.system", "monai.data.np.load", "os.system", "builtins.eval", "json.loads.nothing",
     "no_such_package.Thing", "monai.transforms.NoSuchClass", "dsfedmed.bundles.release.shutil.rmtree"],
)  # fmt: skip
def test_a_party_cannot_accept_what_a_name_only_leads_to(name: str) -> None:
    assert not is_what_it_says(name)
    with pytest.raises(ConfigError, match="may not call"):
        require_allowed(name, "a::_target_", "x.json", (name,))


def test_a_party_accepts_a_class_by_its_own_name_alone() -> None:
    require_allowed("monai.losses.FocalLoss", "a::_target_", "x.json", ("monai.losses.FocalLoss",))
    with pytest.raises(ConfigError, match="may not call"):
        require_allowed("monai.losses.TverskyLoss", "a::_target_", "x.json", ("monai.losses.FocalLoss",))


def test_a_moved_class_is_refused_though_the_party_lists_it() -> None:
    old = "dsfedmed.networks.bundle_transforms.ImageNames"
    with pytest.raises(ConfigError, match=r"Write dsfedmed\.bundles\.transforms\.ImageNames"):
        require_allowed(old, "a::_target_", "x.json", (old,))


def test_a_library_that_an_entry_needs_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an installation without extras SAM's bundles were said to break the rules."""
    name = "dsfedmed.networks.tiny_sam.TinySam"

    def missing(module: str) -> None:
        raise ModuleNotFoundError("No module named 'timm'", name="timm")

    allowed_classes.is_what_it_says.cache_clear()
    monkeypatch.setattr(allowed_classes.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"a is dsfedmed.*TinySam, which needs timm, and that is not installed.*all"):
        require_allowed(name, "a", "b")
    with pytest.raises(ConfigError, match="which a bundle may not call"):
        require_allowed("timm.create_model", "a", "b", ["timm.create_model"])
    allowed_classes.is_what_it_says.cache_clear()
