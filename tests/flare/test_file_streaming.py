# SPDX-License-Identifier: Apache-2.0
"""Pulled shards: verified, tried again, never fetched twice, and never taken half."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.data.synthetic import Manifest, SyntheticSet, write_shards
from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.federated.wire.codec import from_json
from dsfedmed.federated.wire.specs import SetOffer
from dsfedmed.flare import file_streaming as files
from dsfedmed.flare.file_streaming import TRIES, pull_files


class Downloads:
    """In place of NVFlare's download: copies from the server's folder, spoilt as the test says."""

    def __init__(self, server: Path) -> None:
        self.server, self.calls = server, []
        self.spoilt: dict[str, list[str]] = {}

    def __call__(
        self, fqcn: str, ref: str, timeout: float, cell: Any, location: str, **_: Any
    ) -> tuple[str, str | None]:
        assert fqcn == "server.job"
        name = ref.removeprefix("ref-")
        self.calls.append(name)
        how = self.spoilt.get(name, []).pop(0) if self.spoilt.get(name) else "whole"
        if how == "nothing":
            return "TIMEOUT", None
        arrived = Path(location) / f"download-{len(self.calls)}"
        shutil.copy(self.server / name, arrived)
        content = arrived.read_bytes()
        if how == "altered":
            arrived.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        elif how != "whole":
            arrived.write_bytes(content[: len(content) // 2])
        return ("CELL_ERROR" if how == "broken" else ""), str(arrived)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    images = torch.arange(5 * 16 * 16).remainder(256).to(torch.uint8).reshape(5, 1, 16, 16)
    return write_shards(tmp_path / "server", images, images // 128, ["site_a"] * 5, shard_size=2)


@pytest.fixture
def downloads(tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> Downloads:
    downloads = Downloads(tmp_path / "server")
    monkeypatch.setattr(files, "download_file", downloads)
    return downloads


def _pull(folder: Path, manifest: Manifest) -> None:
    references = {shard.name: f"ref-{shard.name}" for shard in manifest.shards}
    offer = SetOffer(manifest, "server.job", references)
    pull_files(offer, folder, cell=None, abort_signal=None)


def _names(manifest: Manifest) -> list[str]:
    return [shard.name for shard in manifest.shards]


def test_all_shards_arrive_and_open(tmp_path: Path, manifest: Manifest, downloads: Downloads) -> None:
    _pull(tmp_path / "site", manifest)
    assert downloads.calls == _names(manifest)
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == _names(manifest)
    assert torch.equal(
        SyntheticSet.open(tmp_path / "site", manifest).images(),
        SyntheticSet.open(tmp_path / "server", manifest).images(),
    )


@pytest.mark.parametrize("how", ["truncated", "altered", "broken", "nothing"])
def test_a_shard_spoilt_twice_arrives_at_the_third_try(
    tmp_path: Path, manifest: Manifest, downloads: Downloads, how: str
) -> None:
    first, second, third = _names(manifest)
    downloads.spoilt[second] = [how, how]
    _pull(tmp_path / "site", manifest)
    assert downloads.calls == [first, second, second, second, third]
    SyntheticSet.open(tmp_path / "site", manifest)
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == _names(manifest)


@pytest.mark.parametrize("how", ["truncated", "altered", "broken", "nothing"])
def test_a_shard_that_never_arrives_is_named_and_the_others_stay(
    tmp_path: Path, manifest: Manifest, downloads: Downloads, how: str
) -> None:
    first, second, _ = _names(manifest)
    downloads.spoilt[second] = [how] * TRIES
    with pytest.raises(PayloadError, match=rf"{second}: did not arrive whole after {TRIES} tries.*Run again"):
        _pull(tmp_path / "site", manifest)
    assert (tmp_path / "site" / first).read_bytes() == (tmp_path / "server" / first).read_bytes()
    downloads.calls.clear()
    _pull(tmp_path / "site", manifest)
    assert downloads.calls == _names(manifest)[1:]
    SyntheticSet.open(tmp_path / "site", manifest)


def test_what_is_here_whole_is_not_fetched_again(tmp_path: Path, manifest: Manifest, downloads: Downloads) -> None:
    _pull(tmp_path / "site", manifest)
    target = tmp_path / "site" / _names(manifest)[2]
    target.write_bytes(target.read_bytes()[:-3])
    downloads.calls.clear()
    _pull(tmp_path / "site", manifest)
    assert downloads.calls == [_names(manifest)[2]]


def test_a_manifest_that_leads_out_of_the_folder_fetches_nothing(
    tmp_path: Path, manifest: Manifest, downloads: Downloads
) -> None:
    """It is refused on arrival, and would be once more where files are written."""
    document = manifest.to_dict()
    document["shards"][0]["name"] = "../evil.safetensors"
    with pytest.raises(PayloadError, match=r"server: sent SetOffer.*not a plain \.safetensors name"):
        from_json(SetOffer, {"manifest": document, "source": "server.job"}, "server")
    unchecked = replace(manifest, shards=(replace(manifest.shards[0], name="../evil.safetensors"),))
    with pytest.raises(DSFedMedError, match="cannot hold a file called"):
        pull_files(SetOffer(unchecked, "server.job", {"../evil.safetensors": "ref"}), tmp_path / "site", None, None)
    assert downloads.calls == []


def test_a_shard_without_a_reference_is_named(tmp_path: Path, manifest: Manifest, downloads: Downloads) -> None:
    offer = SetOffer(manifest, "server.job")
    with pytest.raises(PayloadError, match=_names(manifest)[0]):
        pull_files(offer, tmp_path / "site", None, None)
