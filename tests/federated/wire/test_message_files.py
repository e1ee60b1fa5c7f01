# SPDX-License-Identifier: Apache-2.0
"""Raw messages as files: they come back as they were, and anything else is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.errors import StoreError
from dsfedmed.federated.wire.message import Message
from dsfedmed.federated.wire.message_files import read_key, read_message, write_message


def test_a_message_on_disk_is_the_message(tmp_path: Path) -> None:
    sent = Message(
        {"round": 1, "name": "é"}, {"w": torch.tensor([1.5]), "levels": torch.tensor([3], dtype=torch.uint8)}, True
    )
    write_message(tmp_path / "m", sent)
    got = read_message(tmp_path / "m")
    assert (got.info, got.is_difference) == (sent.info, True)
    assert got.tensors.keys() == sent.tensors.keys()
    assert all(torch.equal(got.tensors[name], tensor) for name, tensor in sent.tensors.items())
    write_message(tmp_path / "m", Message({"round": 2}))
    assert read_message(tmp_path / "m") == Message({"round": 2})


@pytest.mark.parametrize(
    "content", [None, "{", "[]", "{}", '{"info": {}}', '{"info": [], "is_difference": false, "key": ""}']
)
def test_what_is_no_message_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "m.json").write_text(content)
    with pytest.raises(StoreError, match=r"/m"):
        read_message(tmp_path / "m")


def test_the_key_says_what_is_answered(tmp_path: Path) -> None:
    assert read_key(tmp_path / "m") is None
    write_message(tmp_path / "m", Message(), "request 7")
    assert read_key(tmp_path / "m") == "request 7"
