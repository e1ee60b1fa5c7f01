# SPDX-License-Identifier: Apache-2.0
"""A dummy site's replies are those of the product: typed, shaped and announced as it expects them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.party.folders import SET_FOLDER
from dsfedmed.federated.party.layout import SimulatedSites, write_party_config
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.training_run import TrainingSpec, reply_check
from dsfedmed.federated.server.uplink import unpack_update
from dsfedmed.federated.site.uplink import pack_update
from dsfedmed.federated.wire.message import Envelope, ReplyT, RequestT, open_reply, request_message
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.generator import BranchRequest, MasksRequest
from dsfedmed.federated.wire.requests.synthetic import AuditRequest
from dsfedmed.federated.wire.requests.training import TrainRequest
from dsfedmed.federated.wire.specs import SetOffer
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import AUDIT, BRANCH, MASKS, TRAIN
from dsfedmed.generator.packing import unpack_label_maps
from dsfedmed_benchmarks.dummy_sites.dummy_site import DECAY, STEP, DummyWorker
from dsfedmed_benchmarks.dummy_sites.random_set import write_random_set
from dsfedmed_benchmarks.paper_scale.shapes import branch_shapes
from tests.federated.tiny import BUNDLES, tiny_plan, tiny_settings

SITE = "site_a"


@pytest.fixture
def plan() -> FederationPlan:
    return tiny_plan(tiny_settings(light={"precision": "int8"}))


@pytest.fixture
def worker(tmp_path: Path) -> DummyWorker:
    (tmp_path / "local").mkdir()
    write_party_config(tmp_path / "local", SimulatedSites(tmp_path, tmp_path, BUNDLES))
    return DummyWorker(SITE, tmp_path / "local", tmp_path / "site")


def ask(worker: DummyWorker, task: Task[RequestT, ReplyT], request: Envelope[RequestT]) -> Envelope[ReplyT]:
    return open_reply(task, worker.run(task.name, request_message(request), lambda: False), SITE)


def train_request(plan: FederationPlan, epochs: int) -> Envelope[TrainRequest]:
    body = TrainRequest(plan.common, plan.round_facts("dsfedmed", 3, epochs), "light", plan.teacher_spec)
    sent = {WEIGHTS + name: tensor for name, tensor in pack(plan.start_weights(), "fp16").items()}
    return Envelope(body, sent)


def test_an_update_is_taken_by_the_product_s_filter_and_server(plan, worker):
    request = train_request(plan, 1)
    message = worker.run(TRAIN.name, request_message(request), lambda: False)
    drawn = open_reply(TRAIN, message, SITE)
    reply_check(plan, TrainingSpec("dsfedmed"), plan.round_facts("dsfedmed", 3, 1))(SITE, drawn.body)
    assert drawn.header.scalars == {"dsfedmed/loss": 0.1, "dsfedmed/validation_dice": 0.5}
    packed = open_reply(TRAIN, pack_update(message, SITE, worker.folder), SITE)
    assert packed.byte_count < drawn.byte_count / 3, "int8, as the plan wants it"
    update = unpack_update(packed, plan.start_weights(), SITE)
    numbers = torch.cat([tensor.flatten() for tensor in update.values()])
    assert float(numbers.std()) == pytest.approx(STEP * DECAY**3, rel=0.05)


def test_a_round_without_epochs_is_validated_only(plan, worker):
    reply = ask(worker, TRAIN, train_request(plan, 0))
    assert (reply.body.validation, reply.body.loss, reply.tensors) == (0.5, None, {})
    assert reply.header.update is None


def test_branch_and_masks_have_the_sizes_of_the_plan(plan, worker):
    branch = ask(worker, BRANCH, Envelope(BranchRequest(plan.common, plan.generator, None, 1)))
    assert shapes_of(branch.tensors) == branch_shapes(plan.generator)
    assert {tensor.dtype for tensor in branch.tensors.values()} == {torch.float16}
    masks = ask(worker, MASKS, Envelope(MasksRequest(plan.common, 5)))
    assert masks.body.kind == "deformed"
    label_maps = unpack_label_maps(masks.tensors, plan.facts.num_classes, plan.settings.image_size, SITE)
    assert label_maps.shape == (5, 1, 32, 32)
    assert label_maps.any()


def test_the_set_is_verified_and_nothing_vetoed(plan, worker):
    manifest = write_random_set(worker.folder / SET_FOLDER, [SITE, "site_b"], 3, 32, 1, 4)
    request = AuditRequest(plan.common, SetOffer(manifest, "pulled"), 0.01)
    verdict = ask(worker, AUDIT, Envelope(request))
    assert verdict.tensors["vetoed"].numel() == 0
    assert verdict.tensors["distances"].shape == (6,)
    shard = worker.folder / SET_FOLDER / manifest.shards[0].name
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(PayloadError, match="hash is not the announced one"):
        ask(worker, AUDIT, Envelope(request))
