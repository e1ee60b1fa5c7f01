# SPDX-License-Identifier: Apache-2.0
"""Raw messages as NVFlare carries them: whole, typed and hashed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nvflare.apis.dxo import MetaKey
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.message import Message
from dsfedmed.flare import codec as module
from dsfedmed.flare.codec import from_model, from_shareable, sealed_meta, to_model, to_shareable

INFO = st.dictionaries(
    st.text(max_size=4),
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.integers()),
    max_size=4,
)


def _message() -> Message:
    return Message(
        {"round": 3, "seed": 0}, {"a": torch.arange(4.0), "b": torch.tensor([1, 2], dtype=torch.uint8)}, True
    )


@given(INFO, st.booleans(), st.lists(st.floats(width=16, allow_nan=False), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_a_message_comes_out_of_a_shareable_as_it_went_in(
    info: dict[str, Any], diff: bool, values: list[float]
) -> None:
    sent = Message(info, {"w": torch.tensor(values), "half": torch.tensor(values).half()}, diff)
    got = from_shareable(to_shareable(sent), "server")
    assert got.info == info
    assert got.is_difference == diff
    assert got.tensors.keys() == sent.tensors.keys()
    assert all(torch.equal(got.tensors[name], tensor) for name, tensor in sent.tensors.items())


def test_facts_travel_without_tensors() -> None:
    got = from_shareable(to_shareable(Message({"facts": {"channels": 1}})), "server")
    assert got.info == {"facts": {"channels": 1}}
    assert got.tensors == {}


def test_a_difference_is_marked_for_privacy_filters() -> None:
    assert to_model(_message()).params_type == ParamsType.DIFF
    assert to_model(Message({}, {"w": torch.ones(1)})).params_type == ParamsType.FULL


def test_altered_tensors_are_refused_unless_a_filter_may_alter_them() -> None:
    model = to_model(_message())
    model.params["a"] = model.params["a"] + 1
    with pytest.raises(PayloadError, match=r"site_a: sent tensors that do not match their hash.*check the connection"):
        from_model(model, "site_a")
    assert from_model(model, "site_a", filtered=True).tensors["a"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_lost_tensor_is_noticed() -> None:
    model = to_model(_message())
    del model.params["b"]
    with pytest.raises(PayloadError, match="do not match their hash"):
        from_model(model, "site_a")


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("value", [[1.0, 2.0], {"nested": torch.ones(1)}, None, "text"])
def test_what_is_no_tensor_is_refused_by_name(value: object, filtered: bool) -> None:
    model = to_model(_message())
    model.params["a"] = value
    with pytest.raises(PayloadError, match=r"site_a: sent a that is not a tensor.*same version"):
        from_model(model, "site_a", filtered)


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {},
        {"dsfedmed": 1},
        {"dsfedmed": {}},
        {"dsfedmed": {"info": {}}},
        {"dsfedmed": {"info": [], "seal": {}}},
        {"dsfedmed": {"info": {}, "seal": {}, "more": 1}},
    ],
)
def test_a_message_without_our_header_is_refused(meta: dict[str, Any] | None) -> None:
    with pytest.raises(PayloadError, match=r"site_b: sent a message without our header.*same version"):
        from_model(FLModel(params={"w": torch.ones(1)}, meta=meta), "site_b")


SEALS = {"bytes": 1, "sha256": "0" * 64, "is_last": False}


@pytest.mark.parametrize(
    "seal",
    [
        None,
        {},
        {key: value for key, value in SEALS.items() if key != "sha256"},
        {**SEALS, "sha256": "0" * 63},
        {**SEALS, "bytes": "8"},
        {**SEALS, "bytes": -1},
        {**SEALS, "is_last": 1},
        {**SEALS, "more": 1},
    ],
)
def test_a_seal_that_is_not_whole_is_refused(seal: object) -> None:
    model = to_model(_message())
    model.meta["dsfedmed"]["seal"] = seal
    with pytest.raises(PayloadError, match="site_b: sent Seal"):
        from_model(model, "site_b")


def test_a_seal_of_the_last_filter_is_compared_though_filters_may_have_changed_the_tensors() -> None:
    """The last filter at a site renews it; what is changed behind that is noticed."""
    message = _message()
    model = to_model(message)
    model.meta["dsfedmed"] = sealed_meta(message, is_last=True)
    assert from_model(model, "site_a", filtered=True).info == message.info
    model.params["a"] = model.params["a"] + 1
    with pytest.raises(PayloadError, match="do not match their hash"):
        from_model(model, "site_a", filtered=True)


def test_bytes_are_compared_besides_the_hash() -> None:
    model = to_model(_message())
    model.meta["dsfedmed"]["seal"]["bytes"] += 1
    with pytest.raises(PayloadError, match="do not match their hash"):
        from_model(model, "site_a")


@pytest.mark.parametrize("value", [{1, 2}, b"x", object()])
def test_facts_that_are_no_json_are_refused(value: object) -> None:
    model = to_model(_message())
    model.meta["dsfedmed"]["info"]["x"] = value
    with pytest.raises(PayloadError, match="site_a: sent facts that are no plain JSON"):
        from_model(model, "site_a")


def test_facts_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INFO_MIB", 1)
    model = to_model(Message({"x": "a" * (2 * 2**20)}))
    with pytest.raises(PayloadError, match="site_a: sent 2 MiB of facts"):
        from_model(model, "site_a")
    endless: list[Any] = []
    endless.append(endless)
    model.meta["dsfedmed"]["info"] = {"x": endless}
    with pytest.raises(PayloadError, match="no plain JSON"):
        from_model(model, "site_a")


def test_tensors_on_disk_are_read_when_they_are_due() -> None:
    """NVFlare lays large uploads on disk and hands over what reads them."""

    class OnDisk:
        def materialize(self) -> torch.Tensor:
            return torch.arange(4.0)

    model = to_model(_message())
    model.params["a"] = OnDisk()
    assert torch.equal(from_model(model, "site_a").tensors["a"], torch.arange(4.0))


def test_encrypted_tensors_are_refused_with_the_reason() -> None:
    """As NVFlare's homomorphic encryption marks them; gate, trials and rules could not read them."""
    model = to_model(_message())
    model.meta[MetaKey.PROCESSED_ALGORITHM] = "HE_CKKS"
    with pytest.raises(PayloadError, match=r"site_a: sent tensors that HE_CKKS has encrypted.*local/privacy\.json"):
        from_model(model, "site_a", filtered=True)
