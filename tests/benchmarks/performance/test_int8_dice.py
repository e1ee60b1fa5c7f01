# SPDX-License-Identifier: Apache-2.0
"""Dice by number format: a small table from real trainings, and a row by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.measurement.bare_fedavg import Federation, Outcome
from dsfedmed_benchmarks.performance import int8_dice
from dsfedmed_benchmarks.performance.int8_dice import FORMATS, Options

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Options:
    folder = tmp_path_factory.mktemp("dice")
    make_demo_sites(folder / "sites", 0, ("site_a", "site_b"), training=6, validation=3, test=1)
    return Options(
        folder / "sites",
        ("site_a", "site_b"),
        bundles=BUNDLES,
        image_size=32,
        batch_size=4,
        rounds=3,
        last=1,
        seeds=2,
        work=folder / "work",
    )


def test_the_table_compares_every_format_with_fp32(options: Options) -> None:
    said: list[str] = []
    table = int8_dice.run(options, said.append)
    rows = {(row[0], row[1]): row for row in table.rows}
    assert set(rows) == {("fp32", ""), ("fp16", "yes"), ("int8", "yes"), ("int8", "no")}
    full, half, eight = rows["fp32", ""], rows["fp16", "yes"], rows["int8", "yes"]
    assert full[5] is None
    assert full[2] / 2 < half[2] < 0.51 * full[2], "vectors stay fp32, which is little"
    assert eight[2] < 0.6 * half[2]
    assert eight[3] < 0.6 * half[3]
    assert all(0 <= row[4] <= 100 for row in table.rows)
    assert len(said) == 8
    kept = sorted(path.stat().st_mtime_ns for path in options.work.iterdir())
    again = int8_dice.run(options, said.append)
    assert again.rows == table.rows
    assert sorted(path.stat().st_mtime_ns for path in options.work.iterdir()) == kept, "nothing was trained twice"


def test_a_training_repeats_to_the_last_bit_and_hangs_on_the_seed(options: Options) -> None:
    federation = Federation.open(options)
    first, again = (federation.train(FORMATS["int8"], 0) for _ in range(2))
    assert first == again
    assert federation.train(FORMATS["int8"], 1) != first


def test_the_row_by_hand() -> None:
    """Lost 1 and 3 points: 2 on average, and the standard error of two values that lie 2 apart is 1."""
    full = [Outcome(0.50, 400, 400), Outcome(0.60, 400, 400)]
    ours = [Outcome(0.49, 1024, 2048), Outcome(0.57, 1024, 2048)]
    row = int8_dice._row(FORMATS["int8"], ours, full)
    assert row[:4] == ("int8", "yes", 1.0, 2.0)
    assert row[4:] == (pytest.approx(53.0), pytest.approx(2.0), pytest.approx(1.0))


@pytest.mark.parametrize("change", [{"seeds": 1}, {"last": 0}, {"last": 31}, {"formats": ("int4",)}])
def test_options_that_compare_nothing_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Options(Path("sites"), ("a",), **change)  # type: ignore[arg-type]
