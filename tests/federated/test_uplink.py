# SPDX-License-Identifier: Apache-2.0
"""Updates on their way up: packed behind the hospital's filters, fed back over rounds, replayed to the last bit."""

from __future__ import annotations

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

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import add
from dsfedmed.federated.server.averaging import federated_average
from dsfedmed.federated.site.uplink import announce, pack_update, unpack_update
from dsfedmed.federated.wire.message import CACHED_ROUNDS, HEADER, Message, from_model, to_shareable
from dsfedmed.flare.filters import PackUpdates

WEIGHTS = {"w": torch.zeros(40, 50), "b": torch.zeros(7)}


def _reply(number: int, precision: str = "int8", arm: str = "dsfedmed", seed: int | None = None) -> Message:
    draws = torch.Generator().manual_seed(number if seed is None else seed)
    update = {name: torch.randn(tensor.shape, generator=draws) * 1e-3 for name, tensor in WEIGHTS.items()}
    return Message(
        {"update": announce({"arm": arm, "round": number, "precision": precision}), "loss": 1.0}, update, True
    )


def _sent(message: Message) -> dict[str, torch.Tensor]:
    return unpack_update(message, WEIGHTS, "site_a")


def _same(one: Message, other: Message) -> bool:
    return one.info == other.info and all(torch.equal(t, other.tensors[n]) for n, t in one.tensors.items())


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_over_rounds_the_server_gets_all_that_the_site_trained(tmp_path: Path, precision: str) -> None:
    got, there_was = dict(WEIGHTS), dict(WEIGHTS)
    for number in range(1, 7):
        reply = _reply(number, precision)
        got = add(got, _sent(pack_update(reply, "site_a", tmp_path)))
        there_was = add(there_was, reply.tensors)
    limit = {"fp32": 1e-8, "fp16": 4e-6, "int8": 4e-5}[precision]
    assert all((got[name] - tensor).abs().max() < limit for name, tensor in there_was.items())


def test_a_round_asked_again_gives_the_same_bytes_also_after_the_next_one(tmp_path: Path) -> None:
    first = [pack_update(_reply(number), "site_a", tmp_path) for number in (1, 2, 3)]
    assert _same(pack_update(_reply(3), "site_a", tmp_path), first[2])
    assert _same(pack_update(_reply(2), "site_a", tmp_path), first[1])
    assert _same(pack_update(_reply(3), "site_a", tmp_path), first[2])
    fresh = pack_update(_reply(3), "site_a", tmp_path / "elsewhere")
    assert not _same(fresh, first[2]), "without the residual of round 2 the bytes are others"


def test_after_a_missed_round_the_residual_starts_anew(tmp_path: Path) -> None:
    pack_update(_reply(1), "site_a", tmp_path)
    late = pack_update(_reply(3), "site_a", tmp_path)
    assert _same(late, pack_update(_reply(3), "site_a", tmp_path / "elsewhere"))


def test_arms_and_networks_do_not_share_a_residual_and_old_ones_go(tmp_path: Path) -> None:
    pack_update(_reply(1, arm="fedavg"), "site_a", tmp_path)
    alone = pack_update(_reply(2), "site_a", tmp_path)
    assert _same(alone, pack_update(_reply(2), "site_a", tmp_path / "elsewhere"))
    other = Message(
        {"update": announce({"arm": "fedavg", "round": 2, "precision": "int8"})}, {"v": torch.ones(3)}, True
    )
    assert pack_update(other, "site_a", tmp_path).tensors["plain"].tolist() == [1.0, 1.0, 1.0]
    for number in range(3, 3 + CACHED_ROUNDS):
        pack_update(_reply(number), "site_a", tmp_path)
    kept = {path.stem for path in (tmp_path / "residuals").glob("dsfedmed-*")}
    assert kept == {f"dsfedmed-{number:04d}" for number in range(3, 3 + CACHED_ROUNDS)}


def test_what_is_no_update_passes_untouched(tmp_path: Path) -> None:
    message = Message({"loss": 1.0}, {"w": torch.ones(2)}, True)
    assert pack_update(message, "site_a", tmp_path) is message
    assert unpack_update(message, WEIGHTS, "site_a") is message.tensors


def test_an_update_in_an_unknown_format_is_refused() -> None:
    message = Message({"update": {"precision": "int4", "layout": ""}}, {}, True)
    with pytest.raises(PayloadError, match=r"site_a: sent an update in an unknown format"):
        unpack_update(message, WEIGHTS, "site_a")


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
    head = from_shareable(shareable).meta[HEADER]
    assert head["sealed"] is True
    got = _arrived(shareable)
    assert got.info["loss"] == 1.0
    assert set(got.tensors) == {"codes", "scales", "plain"}
    assert head["bytes"] == sum(t.numel() * t.element_size() for t in got.tensors.values()) < 2 * 2007
    assert (_sent(got)["w"] - _reply(1).tensors["w"]).abs().max() < 2e-5


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
    assert got.info["error"]["where"] == "site_a"
    assert "not finite" in got.info["error"]["reason"]
    assert not (tmp_path / "residuals").exists()


def test_other_replies_and_failed_tasks_pass_the_filter(tmp_path: Path) -> None:
    for message in (
        Message({"validation": 0.5}),
        Message({}, {"w": torch.ones(2)}),
        Message({}, {"w": torch.ones(2)}, True),
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


def test_a_damaged_update_is_refused_by_name_and_the_others_are_averaged(tmp_path: Path) -> None:
    """Three parts of site_b's update and one of site_a's; site_c sends the update of another network."""
    refused: list[str] = []

    def ask(task: str, request: Message, sites: None, on_reply: Any) -> dict[str, Message]:
        replies = {site: pack_update(_reply(1, seed=n), site, tmp_path / site) for n, site in enumerate("abc")}
        replies["c"] = Message(
            replies["c"].info | {"update": {"precision": "int8", "layout": "0"}}, replies["c"].tensors
        )
        for site, reply in replies.items():
            try:
                on_reply(site, reply)
            except PayloadError as error:
                refused.append(error.where)
        return replies

    flow: Any = SimpleNamespace(ask=ask)
    got, _ = federated_average(flow, "dsf_train", Message(), WEIGHTS, {"a": 1, "b": 3, "c": 9}, ())
    assert refused == ["c"]
    expected = (_reply(1, seed=0).tensors["w"] + 3 * _reply(1, seed=1).tensors["w"]) / 4
    assert (got["w"] - expected).abs().max() < 2e-5
