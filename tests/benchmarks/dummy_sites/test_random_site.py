# SPDX-License-Identifier: Apache-2.0
"""A random site answers in the shapes it was sent, and not before it is asked to."""

from __future__ import annotations

import time

import torch

from dsfedmed.federated.wire.message import Envelope, open_reply, open_request, reply_message, request_message
from dsfedmed_benchmarks.dummy_sites.random_site import RANDOM, STEP, RandomRequest, random_update


def test_the_update_has_the_shapes_of_the_weights_and_differs_by_site_and_round() -> None:
    weights = {"w": torch.zeros(100, 100, dtype=torch.float16), "b": torch.zeros(3, dtype=torch.float16)}
    updates = []
    for site, number in (("site_01", 1), ("site_01", 2), ("site_02", 1), ("site_01", 1)):
        request = open_request(RANDOM, request_message(Envelope(RandomRequest(number, 0.0), weights)))
        reply = open_reply(RANDOM, reply_message(random_update(site, request)), site)
        assert reply.is_difference
        assert reply.body.round == number
        assert {name: (tensor.shape, tensor.dtype) for name, tensor in reply.tensors.items()} == {
            name: (tensor.shape, tensor.dtype) for name, tensor in weights.items()
        }
        updates.append(reply.tensors["w"].float())
    assert abs(float(updates[0].std()) - STEP) < 0.05 * STEP
    assert torch.equal(updates[0], updates[3])
    assert not torch.equal(updates[0], updates[1])
    assert not torch.equal(updates[0], updates[2])


def test_the_answer_waits_for_its_moment() -> None:
    moment = time.time() + 0.3
    reply = random_update("site_01", Envelope(RandomRequest(1, moment), {"w": torch.zeros(2)}))
    assert time.time() >= moment
    assert reply.body.drawn_s < 0.3
