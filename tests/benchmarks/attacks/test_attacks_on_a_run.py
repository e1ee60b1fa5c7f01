# SPDX-License-Identifier: Apache-2.0
"""Every attack on a finished run of tiny networks: its table has the rows it should have, and repeats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.data.datalist import load_datalist
from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.generator.fit import MaskedImages
from dsfedmed_benchmarks.attacks import extraction, inversion, membership, release
from dsfedmed_benchmarks.attacks.denoising import TIMESTEPS, denoising_errors, log_scores, loss_scores
from dsfedmed_benchmarks.attacks.inversion import Options, compare, similarity
from dsfedmed_benchmarks.attacks.roster import Budget
from tests.benchmarks.attacks.conftest import Attacked
from tests.federated.tiny import BUNDLES


def test_membership_has_its_controls_and_goes_on_where_it_stopped(attacked: Attacked) -> None:
    table = membership.run(attacked.roster())
    rows = [(row[0], row[1], row[2]) for row in table.rows]
    assert rows[0] == ("generator with random weights", membership.LOSS, "9 / 14")
    assert ("overfitted branch", membership.RATIO, "4 / 5") in rows
    assert ("branch of the run", membership.RATIO, "9 / 14") in rows
    assert ("6 shadow branches in turn", membership.LOSS) in {row[:2] for row in rows}
    assert [row[0] for row in rows[-2:]] == ["set of the run, as drawn", "set of the run, after the audit"]
    written = {path: path.stat().st_mtime_ns for path in attacked.work.glob("*.safetensors")}
    assert len(written) == 7
    assert membership.run(attacked.roster()).rows == table.rows
    assert {path: path.stat().st_mtime_ns for path in attacked.work.glob("*.safetensors")} == written


def test_an_unfitted_branch_answers_as_the_base_and_errors_repeat(attacked: Attacked) -> None:
    roster = attacked.roster()
    base, some = roster.victim.run.generator_base, MaskedImages(roster.pool.images[:5], roster.pool.channels[:5])
    alone = denoising_errors(base, None, some)
    assert alone.shape == (5, len(TIMESTEPS))
    torch.testing.assert_close(denoising_errors(base, roster.victim.untouched(), some), alone)
    assert not torch.equal(denoising_errors(base, None, some, seed=1), alone)
    torch.testing.assert_close(
        denoising_errors(base, None, MaskedImages(some.images[:2], some.channels[:2])), alone[:2]
    )
    assert loss_scores(torch.full((1, len(TIMESTEPS)), 2.0), torch.ones(1000)).tolist() == [-2.0]
    assert log_scores(torch.ones(1, 10)).tolist() == [0.0]


def test_extraction_ranks_every_canary_of_every_branch(attacked: Attacked) -> None:
    table = extraction.run(attacked.roster(), draws=2, per_set=4)
    rows = [row[:3] for row in table.rows]
    assert rows == [
        ("overfitted branch", "canary's mask", 1),
        ("overfitted branch", "deformed masks", 1),
        ("honest branch", "canary's mask", 1),
        ("honest branch", "canary's mask", 2),
        ("honest branch", "deformed masks", 1),
        ("honest branch", "deformed masks", 2),
        ("branch of the run, nothing planted", "canary's mask", 0),
    ]
    assert all(0 <= float(row[4] or 0) <= 4 for row in table.rows)


def test_a_canary_that_is_drawn_has_the_first_rank(attacked: Attacked) -> None:
    roster = attacked.roster()
    pool, canaries = roster.victim.others.images, roster.canaries(overfitted=False)
    copies = (pool[canaries.pictures][:, None] * 255).to(torch.uint8)
    drawn = extraction.Drawn("copies", canaries, True, copies, copies[:, 0], roster.victim.own.images)
    for row in extraction.rows_of(drawn, pool):
        assert str(row[3]).startswith("1 of "), row
        assert float(row[6] or 0) > 0.99


def test_release_has_a_row_a_site_and_its_check(attacked: Attacked) -> None:
    quick = release.Overfit(few=4, epochs=2, reference_epochs=1)
    table = release.run([attacked.run], attacked.sites, quick, say=lambda _: None)
    assert [row[2] for row in table.rows] == [release.ALL, "site_a", "site_b"] * 5
    assert [row[1] for row in table.rows[::3]] == [
        release.LOSS, release.AGAINST_REFERENCE, release.LOSS, release.LOSS, release.AGAINST_REFERENCE
    ]  # fmt: skip
    assert table.rows[-1][3] == "9 / 6"
    assert [row[0] for row in table.rows[::3]][:3] == [release.OVERFITTED, release.OVERFITTED, release.REFERENCE]
    with pytest.raises(ConfigError, match="no release"):
        release.run([attacked.sites], attacked.sites)


def test_inversion_has_a_row_for_each_combination(attacked: Attacked, tmp_path: Path) -> None:
    options = Options(
        attacked.sites / "site_a", BUNDLES, image_size=32, batches=(1, 2), images=2, optimizers=("sgd", "adam"),
        noise=(0.0, 4.5), iterations=2,
    )  # fmt: skip
    table = inversion.run(options, tmp_path, say=lambda _: None)
    name = options.bundle
    under = [("sgd", None), ("sgd", 4.5), ("adam", None)]
    wanted = [(name, optimizer, noise, batch, 2) for optimizer, noise in under for batch in (1, 2)]
    assert [row[:5] for row in table.rows] == [(inversion.CHECK, "sgd", noise, 1, 2) for noise in (None, 4.5)] + wanted
    assert len(list(tmp_path.glob("*.json"))) == len(table.rows)
    assert inversion.run(options, tmp_path, say=lambda _: None).rows == table.rows
    assert load_datalist(options.site).name in table.notes[0]


def test_what_is_found_is_compared_with_the_best_unrelated_image() -> None:
    true = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    perfect = compare(true, true, 1 - true)
    assert (perfect.ssim, perfect.nearer, perfect.images) == (pytest.approx(1), 1.0, 2)
    stranger = compare(1 - true, true, true)
    assert (stranger.other_ssim, stranger.nearer) == (pytest.approx(1), 0.0)
    assert similarity(true, true).shape == (2,)


def test_budgets_without_meaning_are_refused() -> None:
    for change in ({"shadows": 3}, {"few": 0}, {"copies": ()}):
        with pytest.raises(DSFedMedError):
            Budget(**change)  # type: ignore[arg-type]
