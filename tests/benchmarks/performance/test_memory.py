# SPDX-License-Identifier: Apache-2.0
"""Figures of a process's memory, and a federation of random updates that averages them by the product's own code."""

from __future__ import annotations

import math
from mmap import mmap

import pytest
import torch

from dsfedmed_benchmarks.dummy_sites.federation import network_shapes, simulate_random_updates
from dsfedmed_benchmarks.performance.memory import COLUMNS, row_of
from dsfedmed_benchmarks.measurement.process_memory import peak_mib, reset_peak, resident_mib
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.tasks.networks import trained_tensors
from dsfedmed.networks.tiny_sam import TinySam


def test_the_peak_sees_what_was_there_and_can_start_again():
    reset_peak()
    before = resident_mib()
    with mmap(-1, 64 * 2**20) as block:  # fresh pages: an allocator may hand out some that were resident before
        block.write(bytes(64 * 2**20))
        held = resident_mib()
    assert held - before == pytest.approx(64, abs=8)
    assert peak_mib() - before >= 56
    reset_peak()
    assert peak_mib() - resident_mib() < 8


def test_what_is_sent_of_tiny_sam_is_what_the_product_sends():
    shapes = network_shapes("tiny_sam")
    with torch.device("meta"):
        network = TinySam(1024)
    assert shapes == shapes_of(trained_tensors(network))
    assert sum(math.prod(shape) for shape in shapes.values()) == 9_260_308


def test_a_row_has_the_highest_peak_and_leaves_the_wait_out():
    rounds = [
        {"seconds": 9.0, "waited": 1.0, "peak_mib": 130.0, "end_mib": 110.0},
        {"seconds": 5.0, "waited": 3.0, "peak_mib": 150.0, "end_mib": 110.0},
        {"seconds": 7.0, "waited": 3.0, "peak_mib": 140.0, "end_mib": 110.0},
    ]
    row = row_of(8, {"start_mib": 100.0, "rounds": rounds})
    assert row == [8, 100.0, 150.0, 50.0, 3.0]
    assert len(row) == len(COLUMNS)


@pytest.mark.federation
def test_two_sites_answer_and_the_server_notes_its_memory(tmp_path):
    record = simulate_random_updates("small", 2, 2, tmp_path)
    noted = record["memory"]
    assert record["sites"] == ["site_01", "site_02"]
    assert [entry["peak_mib"] >= noted["start_mib"] for entry in noted["rounds"]] == [True, True]
    sent = sum(entry["bytes"] for entry in record["bytes"]["entries"] if entry["direction"] == "up")
    assert sent >= 2 * 2 * 2 * 33_280, "two sites, two rounds, two bytes a number"
