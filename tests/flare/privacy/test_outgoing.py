# SPDX-License-Identifier: Apache-2.0
"""What a privacy filter sees of a reply: kind and header of a known task; anything else is a refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from nvflare.apis.dxo import DXO, DataKind, MetaKey
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply

from dsfedmed.federated.wire.message import SiteError, error_message, open_header
from dsfedmed.flare.codec import SEAL, to_shareable
from dsfedmed.flare.privacy.outgoing import Refusal, changed, is_without_content, open_outgoing, refused
from tests.flare.privacy.conftest import Hospital, content, reason, update


def test_a_reply_has_its_task_s_kind_and_its_own_header(hospital: Hospital) -> None:
    found = open_outgoing(update(), hospital.at("dsf_train"))
    assert (found.task, found.kind, found.message.is_difference) == ("dsf_train", "update", True)
    assert found.header.update is not None
    assert (found.header.update.training, found.header.update.round) == ("dsfedmed", 1)
    assert set(found.tensors) == {"conv.weight", "norm.bias"}


def test_an_error_is_of_no_task_s_kind(hospital: Hospital) -> None:
    told = to_shareable(error_message(SiteError("a", "b", "c"), "a"))
    assert open_outgoing(told, hospital.at("dsf_train")).kind == "error"


def other_meta(meta: Any) -> Shareable:
    return DXO(DataKind.WEIGHT_DIFF, {"w": torch.ones(2)}, meta).to_shareable()


@pytest.mark.parametrize(
    ("task", "told", "words"),
    [
        ("dsf_pixels", update(), "does not know the task 'dsf_pixels'"),
        ("", update(), "does not know the task ''"),
        ("dsf_train", Shareable(), "no data that can be checked"),
        ("dsf_train", other_meta({}), "not of this package"),
        ("dsf_train", other_meta({MetaKey.PROCESSED_ALGORITHM: "HE_CKKS"}), "HE_CKKS has encrypted or masked"),
        ("dsf_train", other_meta({SEAL: {"info": {}}}), "not of this package"),
        ("dsf_masks", update(), "unknown key"),
        ("dsf_train", DXO(DataKind.WEIGHT_DIFF, {"w": "pixels"}, {}).to_shareable(), "w, which is not a tensor"),
    ],
)
def test_what_cannot_be_understood_is_refused(hospital: Hospital, task: str, told: Shareable, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        open_outgoing(told, hospital.at(task))


def test_nvflare_s_own_replies_have_no_content() -> None:
    assert is_without_content(make_reply(ReturnCode.EXECUTION_EXCEPTION))
    assert not is_without_content(update())


def test_a_refusal_names_the_site_and_holds_nothing_else(hospital: Hospital) -> None:
    told = refused(Refusal("it is not sent", "Ask"), hospital.at("dsf_train"))
    assert reason(told) == "it is not sent"
    assert content(told).info["error"] == {"where": "hospital_a", "reason": "it is not sent", "fix": "Ask"}


def test_a_changed_reply_keeps_its_body_and_is_sealed_again(hospital: Hospital) -> None:
    found = open_outgoing(update(), hospital.at("dsf_train"))
    header = replace(found.header, step=9)
    told = content(changed(found, header, {"norm.bias": torch.zeros(8)}))
    assert told.info["body"] == found.message.info["body"]
    assert open_header(told, "a") == header
    assert told.is_difference
    assert {name: float(tensor.sum()) for name, tensor in told.tensors.items()} == {"norm.bias": 0.0}
