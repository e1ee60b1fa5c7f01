# SPDX-License-Identifier: Apache-2.0
"""The weights of a request at the site: whole, pulled once, or a difference to what lies there, and never half."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsfedmed.errors import PayloadError, StoreError
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.reference import Reference, advance
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.site.reference_weights import (
    PULLED,
    fetch_reference_weights,
    reference_file,
    resolve_weights,
    without_offer,
)
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.facts import FactsRequest
from dsfedmed.federated.wire.requests.generator import MasksRequest
from dsfedmed.federated.wire.requests.synthetic import AuditRequest
from dsfedmed.federated.wire.requests.training import TrainRequest
from dsfedmed.federated.wire.specs import FileOffer, ReferenceMove, RoundFacts, SetOffer
from dsfedmed.store.files import read_tensors, write_tensors
from tests.federated.tiny import noise_manifest, sent, tiny_plan, tiny_settings

PLAN = tiny_plan(tiny_settings(light={"precision": "int8"}))
SHAPES = {"w": (40, 50), "b": (7,)}
OFFER = FileOffer("server", "token")


def weights(seed: int) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=draws) for name, shape in SHAPES.items()}


def request(move: ReferenceMove | None, tensors: dict[str, torch.Tensor]) -> Envelope[TrainRequest]:
    facts = replace(PLAN.round_facts("dsfedmed", 2), reference=move)
    return Envelope(TrainRequest(PLAN.common, facts, "light", PLAN.teacher_spec), tensors)


FIRST, _ = advance(Reference(), weights(0))
SECOND, CODED = advance(FIRST, weights(1))
assert CODED is not None
START = ReferenceMove("", FIRST.sha256, "", OFFER)
MOVE = ReferenceMove(FIRST.sha256, SECOND.sha256, CODED.layout, OFFER)


def serving(reference: Reference) -> Callable[..., None]:
    """Return what brings that reference in half precision where it is asked for."""

    def pull(offer: FileOffer, target: Path, is_whole: Callable[[Path], bool]) -> None:
        assert offer == OFFER
        write_tensors(target, pack(reference.weights, "fp16"))
        if not is_whole(target):
            raise PayloadError(target.name, "did not arrive whole", "Run again")

    return pull


def no_pull(*_: object) -> None:
    pytest.fail("nothing is pulled")


def facts(move: ReferenceMove | None) -> RoundFacts:
    return request(move, {}).body.round


def test_whole_weights_are_taken_by_their_name_and_nothing_is_kept(tmp_path: Path) -> None:
    found = resolve_weights(facts(None), {**sent(weights(0)), "levels": torch.ones(1)}, tmp_path, SHAPES)
    assert digest(found) == digest(weights(0))
    assert list(tmp_path.iterdir()) == []


def test_a_new_site_pulls_the_first_reference_and_keeps_it(tmp_path: Path) -> None:
    prepared = fetch_reference_weights(request(START, {}), tmp_path, serving(FIRST))
    kept = prepared.body.round.reference
    assert kept == replace(START, offer=None)
    found = resolve_weights(prepared.body.round, {}, tmp_path, SHAPES)
    assert digest(found) == FIRST.sha256
    assert all(tensor.dtype == torch.float32 for tensor in found.values())
    again = fetch_reference_weights(request(START, {}), tmp_path, no_pull)
    assert again.body == prepared.body, "asked again it is the same request, whatever is offered"


def test_a_difference_moves_the_reference_and_the_old_one_goes(tmp_path: Path) -> None:
    write_tensors(reference_file(tmp_path, "dsfedmed", FIRST.sha256), FIRST.weights)
    write_tensors(reference_file(tmp_path, "fedavg", FIRST.sha256), FIRST.weights)
    asked = fetch_reference_weights(request(MOVE, CODED.tensors), tmp_path, no_pull)
    found = resolve_weights(asked.body.round, asked.tensors, tmp_path, SHAPES)
    assert digest(found) == SECOND.sha256
    names = {path.name for path in (tmp_path / "references").iterdir()}
    assert names == {f"dsfedmed.{SECOND.sha256}.safetensors", f"fedavg.{FIRST.sha256}.safetensors"}
    assert digest(read_tensors(reference_file(tmp_path, "dsfedmed", SECOND.sha256))) == SECOND.sha256
    again = resolve_weights(asked.body.round, asked.tensors, tmp_path, SHAPES)
    assert digest(again) == SECOND.sha256, "a round asked again finds the target"


def test_a_pulled_file_that_is_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match="did not arrive whole"):
        fetch_reference_weights(request(START, {}), tmp_path, serving(SECOND))


def test_without_the_reference_it_belongs_to_a_difference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match="is not the one that the server's difference belongs to"):
        resolve_weights(facts(MOVE), CODED.tensors, tmp_path, SHAPES)
    write_tensors(reference_file(tmp_path, "dsfedmed", FIRST.sha256), FIRST.weights)
    with pytest.raises(PayloadError, match="is not the one that the server's difference belongs to"):
        resolve_weights(facts(MOVE), {}, tmp_path, SHAPES)


def test_what_leads_elsewhere_is_removed_so_that_the_next_request_pulls(tmp_path: Path) -> None:
    source = reference_file(tmp_path, "dsfedmed", FIRST.sha256)
    write_tensors(source, weights(5))
    with pytest.raises(PayloadError, match=r"reference: does not match its hash.*pulls the whole weights"):
        resolve_weights(facts(MOVE), CODED.tensors, tmp_path, SHAPES)
    assert not source.exists()
    prepared = fetch_reference_weights(request(MOVE, CODED.tensors), tmp_path, serving_whole(SECOND))
    assert digest(resolve_weights(prepared.body.round, prepared.tensors, tmp_path, SHAPES)) == SECOND.sha256


def serving_whole(reference: Reference) -> Callable[..., None]:
    def pull(_: FileOffer, target: Path, is_whole: Callable[[Path], bool]) -> None:
        write_tensors(target, reference.weights)
        assert is_whole(target)

    return pull


@pytest.mark.parametrize("name", ["../evil", "a/b", "a\\b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """The codec lets no such name through; this is the second lock."""
    with pytest.raises(StoreError, match="cannot hold a file called"):
        reference_file(tmp_path, name, "0" * 64)
    with pytest.raises(StoreError):
        reference_file(tmp_path, "dsfedmed", "../x")


def test_a_request_without_a_reference_passes_as_it_is(tmp_path: Path) -> None:
    for asked in (request(None, {}), Envelope(FactsRequest()), Envelope(MasksRequest(PLAN.common, 2))):
        assert fetch_reference_weights(asked, tmp_path, no_pull) is asked
        assert without_offer(asked) is asked
    assert list(tmp_path.iterdir()) == []


def test_only_the_manifest_of_an_offered_set_is_the_request(tmp_path: Path) -> None:
    """Tokens differ each time a set is offered; the site's worker must see the same request."""
    manifest = noise_manifest(tmp_path, ["site_a"] * 2)
    first, second = (
        Envelope(AuditRequest(PLAN.common, SetOffer(manifest, f"job{n}", {"s": f"t{n}"}), 0.05)) for n in (1, 2)
    )
    assert first.body != second.body
    assert without_offer(first).body == without_offer(second).body
    assert without_offer(first).body.files == SetOffer(manifest, PULLED)
