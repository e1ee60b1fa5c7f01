# SPDX-License-Identifier: Apache-2.0
"""The stage with a training whose Dice the test says: what becomes of the set, the record, the sites and the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.server.robust import parts
from dsfedmed.federated.server.robust.part_training import STAGE
from dsfedmed.federated.server.robust.parts import score_parts
from dsfedmed.federated.server.stages.synthetic_set import FOLDER, SealedSet
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.task import Task
from dsfedmed.store.files import read_json
from tests.federated.server.robust.test_part_scoring import Training
from tests.federated.tiny import FakeRun, noise_manifest, tiny_plan, tiny_settings

SITES = ("site_a", "site_b", "site_c")
PAIRS = 4
GOOD, BAD = [0.7], [0.4] * 4


class Sites:
    """Say a validation Dice of a half to everything; keep what they are told."""

    def __init__(self, kill_after: int = 10**6) -> None:
        self.asked: list[tuple[str, TrainRequest]] = []
        self._kill_after = kill_after

    def __call__(self, site: str, _task: Task[Any, Any], request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
        if len(self.asked) == self._kill_after:
            raise KeyboardInterrupt
        self.asked.append((site, request.body))
        return Envelope(TrainReply(request.body.round.round, 0.5))

    @property
    def told(self) -> dict[str, str]:
        return {site: body.notice for site, body in self.asked if body.notice}


class Scored:
    """The stage, carried out.

    Args:
        folder: of the run.
        own: Dice of each part's own networks, beside a single mask with 0.5.
        harmed: by whom a site is harmed.
        sites: that are asked.
        robust: settings.
    """

    def __init__(
        self,
        folder: Path,
        own: Mapping[str, list[float]] | None = None,
        harmed: Mapping[str, str] | None = None,
        sites: Sites | None = None,
        **robust: Any,
    ) -> None:
        self.sites, settings = sites or Sites(), tiny_settings(robust=robust)
        self.run: Any = FakeRun(folder, settings, self.sites)
        self.run.sources = list(SITES)
        manifest = noise_manifest(folder / FOLDER, [site for site in SITES for _ in range(PAIRS)])
        kept = list(range(1, len(manifest.origin)))
        self.before = SealedSet(SyntheticSet.open(folder / FOLDER, manifest, kept), kept, "f" * 64)
        training = Training(dict.fromkeys(SITES, GOOD) | dict(own or {}), harmed or {})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts, "PartTraining", lambda *_: training)
            self.after = score_parts(self.run, tiny_plan(settings, site_c=4), self.before)

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self.run.record.data
        return found


def test_honest_parts_leave_the_set_as_it_was(tmp_path: Path) -> None:
    done = Scored(tmp_path)
    assert done.after is done.before
    assert "events" not in done.data
    assert {site: score["left_out"] for site, score in done.data["parts"].items()} == dict.fromkeys(SITES, "")
    assert [site for site, _ in done.sites.asked] == list(SITES) * 4, "one network of all parts and one without each"
    assert {body.round.epochs for _, body in done.sites.asked} == {0}
    assert sorted({body.round.round for _, body in done.sites.asked}) == [1, 2, 3, 4]


def test_a_part_that_does_not_follow_its_masks_is_left_out_and_its_site_told(tmp_path: Path) -> None:
    done = Scored(tmp_path, {"site_b": BAD})
    assert done.after.kept == [index for index in done.before.kept if not PAIRS <= index < 2 * PAIRS]
    assert set(done.after.pool.origin) == {"site_a", "site_c"}
    assert done.after.sha256 != done.before.sha256
    said = "it does not follow its masks (Dice 0.400, one mask for all has 0.500). Look at this site's masks"
    ((kind, site, text),) = done.data["events"]
    assert (kind, site) == ("refused", "site_b")
    assert text.startswith(f"its part of the synthetic set is left out: {said}")
    assert done.sites.told.keys() == {"site_b"}
    assert done.sites.told["site_b"].startswith(f"this site's part of the synthetic set is left out: {said}")
    assert done.data["synthetic"]["kept"] == len(done.after.kept)


def test_two_parts_that_contradict_each_other_are_left_out_and_the_run_goes_on(tmp_path: Path) -> None:
    class Silent(Sites):
        def __call__(self, site: str, _task: Task[Any, Any], request: Envelope[TrainRequest]) -> Any:
            return super().__call__(site, _task, request) if request.body.notice else None

    done = Scored(tmp_path, harmed={"site_a": "site_b", "site_b": "site_a"}, sites=Silent())
    assert set(done.after.pool.origin) == {"site_c"}
    assert done.sites.told.keys() == {"site_a", "site_b"}


def test_what_is_scored_is_not_scored_again(tmp_path: Path) -> None:
    first = Scored(tmp_path, {"site_b": BAD})
    again = Scored(tmp_path, {"site_b": BAD})
    assert again.sites.asked == []
    assert (again.after.kept, again.after.sha256) == (first.after.kept, first.after.sha256)
    assert again.data["parts"] == first.data["parts"]
    assert "events" not in again.data


def test_a_scoring_that_was_killed_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole = Scored(tmp_path / "whole", harmed={"site_a": "site_b"})
    with pytest.raises(KeyboardInterrupt):
        Scored(tmp_path / "killed", harmed={"site_a": "site_b"}, sites=Sites(kill_after=4))
    assert not (tmp_path / "killed" / "store" / f"{STAGE}.json").exists()
    after = Scored(tmp_path / "killed", harmed={"site_a": "site_b"})
    assert (after.after.kept, after.after.sha256) == (whole.after.kept, whole.after.sha256)
    stored = [read_json(tmp_path / name / "store" / f"{STAGE}.json")["info"] for name in ("whole", "killed")]
    assert stored[0] == stored[1]


def test_where_every_part_is_bad_there_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DSFedMedError, match=r"score parts: no site's part .*that of site_a does not follow") as told:
        Scored(tmp_path, dict.fromkeys(SITES, BAD))
    assert "generator.branch_steps" in told.value.fix
    assert "robust.parts: false" in told.value.fix


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    done = Scored(tmp_path, {"site_b": BAD}, parts=False)
    assert done.after is done.before
    assert done.sites.asked == []
    assert "parts" not in done.data
