# SPDX-License-Identifier: Apache-2.0
"""A site's context as NVFlare gives it to a filter, and replies as the executor makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from dsfedmed.federated.wire.message import (
    Envelope,
    Message,
    ReplyHeader,
    UpdateHeader,
    open_header,
    reply_message,
)
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.flare.codec import from_model, register_tensors, to_shareable


@dataclass(frozen=True)
class Hospital:
    """A site's folders and its context for a task."""

    local: Path
    output: Path

    def at(self, task: str, run: str = "run-1") -> FLContext:
        workspace = SimpleNamespace(
            get_site_config_dir=lambda: str(self.local), get_run_dir=lambda _: str(self.output.parent)
        )
        context = FLContext()
        engine = SimpleNamespace(get_workspace=lambda: workspace, fire_event=lambda *_: None)
        for key, value in (
            (ReservedKey.ENGINE, engine),
            (ReservedKey.IDENTITY_NAME, "hospital_a"),
            (FLContextKey.TASK_NAME, task),
            ("dsfedmed.run", run),
        ):
            context.set_prop(key, value, private=True, sticky=False)
        return context


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    """A site whose output lies in a folder of its own."""
    register_tensors()
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "dsfedmed.yaml").write_text(f"output: {tmp_path / 'out'}\n")
    (tmp_path / "out").mkdir()
    return Hospital(tmp_path / "local", tmp_path / "out")


def reply(
    body: object, tensors: dict[str, torch.Tensor] | None = None, diff: bool = False, header: ReplyHeader | None = None
) -> Shareable:
    """A reply as the executor makes it."""
    return to_shareable(reply_message(Envelope(body, tensors or {}, diff, header or ReplyHeader())))


def content(shareable: Shareable) -> Message:
    return from_model(FLModelUtils.from_shareable(shareable), "site")


def header(shareable: Shareable) -> ReplyHeader:
    return open_header(content(shareable), "site")


def reason(shareable: Shareable) -> str:
    message = content(shareable)
    assert not message.tensors, "a refusal holds no tensor"
    error = message.info["error"]
    assert isinstance(error, dict)
    return str(error["reason"])


def train_reply(tensors: dict[str, torch.Tensor], diff: bool = True, number: int = 1) -> Shareable:
    """A reply to dsf_train."""
    told = ReplyHeader(update=UpdateHeader("dsfedmed", number, "int8"))
    return reply(TrainReply(number, 0.5, 0.1, 3), tensors, diff, told)


def update(scale: float = 1.0) -> Shareable:
    return train_reply({"conv.weight": torch.full((8, 4, 3, 3), scale), "norm.bias": torch.full((8,), scale)})
