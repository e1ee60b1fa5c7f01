# SPDX-License-Identifier: Apache-2.0
"""The job's own filter at a site: it packs and seals updates behind the hospital's filters, and lets all else pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_constant import FilterKey, FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.utils.task_utils import get_filters
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.private.privacy_manager import Scope

from dsfedmed.errors import DataError, PayloadError
from dsfedmed.federated.server.uplink import unpack_update
from dsfedmed.federated.wire.message import (
    Envelope,
    Message,
    ReplyHeader,
    UpdateHeader,
    error_message,
    open_reply,
    reply_message,
)
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed.flare.codec import SEAL, from_model, to_shareable
from dsfedmed.flare.filters import PackUpdates

WEIGHTS = {"w": torch.zeros(40, 50), "b": torch.zeros(7)}


def _reply(number: int) -> Message:
    draws = torch.Generator().manual_seed(number)
    update = {name: torch.randn(tensor.shape, generator=draws) * 1e-3 for name, tensor in WEIGHTS.items()}
    header = ReplyHeader(update=UpdateHeader("dsfedmed", number, "int8"))
    return reply_message(Envelope(TrainReply(number, 0.5, 1.0, 2), update, True, header))


def _same(one: Message, other: Message) -> bool:
    return one.info == other.info and all(torch.equal(t, other.tensors[n]) for n, t in one.tensors.items())


class Context(FLContext):  # type: ignore[misc]
    """A site's context as far as the filter looks."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        workspace = SimpleNamespace(get_site_config_dir=lambda: str(folder), get_run_dir=lambda _: str(folder))
        self.engine = SimpleNamespace(get_workspace=lambda: workspace, fire_event=lambda *_: None)

    def get_engine(self, *_: Any, **__: Any) -> Any:
        return self.engine

    def get_identity_name(self, *_: Any, **__: Any) -> str:
        return "site_a"

    def get_job_id(self, *_: Any, **__: Any) -> str:
        return "job"


def _filtered(message: Message, folder: Path) -> Shareable:
    return PackUpdates().process(to_shareable(message), Context(folder))


def _arrived(shareable: Shareable) -> Message:
    return from_model(FLModelUtils.from_shareable(shareable), "site_a", filtered=True)


def test_the_filter_packs_and_seals(tmp_path: Path) -> None:
    shareable = _filtered(_reply(1), tmp_path)
    seal = from_shareable(shareable).meta[SEAL]["seal"]
    assert seal["is_last"] is True
    got = _arrived(shareable)
    assert open_reply(TRAIN, got, "site_a").body == TrainReply(1, 0.5, 1.0, 2)
    assert set(got.tensors) == {"codes", "scales", "plain"}
    assert seal["bytes"] == sum(t.numel() * t.element_size() for t in got.tensors.values()) < 2 * 2007
    assert (
        unpack_update(open_reply(TRAIN, got, "site_a"), WEIGHTS, "site_a")["w"] - _reply(1).tensors["w"]
    ).abs().max() < 2e-5


@pytest.mark.parametrize("change", ["value", "lost", "longer"])
def test_what_changes_behind_the_seal_is_refused_before_it_is_unpacked(tmp_path: Path, change: str) -> None:
    shareable = _filtered(_reply(1), tmp_path)
    dxo = from_shareable(shareable)
    if change == "value":
        dxo.data["codes"] = dxo.data["codes"] ^ 1
    elif change == "lost":
        del dxo.data["scales"]
    else:
        dxo.data["codes"] = dxo.data["codes"].repeat(2)
    with pytest.raises(PayloadError, match="site_a: sent tensors that do not match their hash"):
        _arrived(dxo.update_shareable(shareable))


def test_numpy_arrays_of_a_privacy_filter_are_taken(tmp_path: Path) -> None:
    reply = _reply(1)
    shareable = to_shareable(reply)
    dxo = from_shareable(shareable)
    dxo.data = {name: tensor.numpy().astype(np.float64) for name, tensor in dxo.data.items()}
    packed = PackUpdates().process(dxo.update_shareable(shareable), Context(tmp_path))
    assert _same(_arrived(packed), _arrived(_filtered(reply, tmp_path / "elsewhere")))


def test_an_update_that_cannot_be_packed_becomes_a_reason_for_the_server(tmp_path: Path) -> None:
    reply = _reply(1)
    reply.tensors["w"][0, 0] = float("nan")
    got = _arrived(_filtered(reply, tmp_path))
    assert got.tensors == {}
    with pytest.raises(PayloadError, match="site_a: w holds values that are not finite"):
        open_reply(TRAIN, got, "site_a")
    assert not (tmp_path / "residuals").exists()


def test_other_replies_and_failed_tasks_pass_the_filter(tmp_path: Path) -> None:
    reply = Envelope(TrainReply(1, 0.5))
    tensors = {"w": torch.ones(2)}
    for message in (
        reply_message(reply),
        reply_message(replace(reply, tensors=tensors)),
        reply_message(replace(reply, tensors=tensors, is_difference=True)),
        error_message(DataError("x", "y", "z"), "site_a"),
    ):
        got = _arrived(_filtered(message, tmp_path))
        assert _same(got, message)
    failed = make_reply(ReturnCode.EXECUTION_EXCEPTION)
    assert PackUpdates().process(failed, Context(tmp_path)) is failed


def test_nvflare_applies_a_hospital_s_filters_before_ours() -> None:
    """What the order of rounding and privacy rests on: the site's scope first, then the job."""
    scope, ours = Scope(), PackUpdates()
    theirs = PackUpdates()
    scope.add_task_result_filter(theirs, FilterKey.OUT)
    context = FLContext()
    context.set_prop(FLContextKey.SCOPE_OBJECT, scope, private=True, sticky=False)
    chain = {f"dsf_train{FilterKey.DELIMITER}{FilterKey.OUT}": [ours]}
    found = get_filters(Scope.TASK_RESULT_FILTERS_NAME, context, chain, "dsf_train", FilterKey.OUT)
    assert found == [theirs, ours]
