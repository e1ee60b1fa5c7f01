# SPDX-License-Identifier: Apache-2.0
"""What the stage "check sites" stops at once, so that nobody finds out after hours."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.facts import SiteFacts
from dsfedmed.data.review.look import SiteLook
from dsfedmed.errors import CheckpointError, DataError
from dsfedmed.federated.server.stages.check_sites import LIGHT_START, TEACHER_START, check_sites, require_auditors
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.facts import FactsReply, FactsRequest
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import FACTS as FACTS_TASK
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.networks.tiny_sam import TinySam
from dsfedmed.packages import versions
from dsfedmed.version import VERSION
from tests.federated.tiny import FakeRun, tiny_settings

COUNTS = {"training": 4, "validation": 8, "test": 1}
FACTS = SiteFacts(1, 1, ("lesion",), True, (0, 1), COUNTS, (".png",), (64, 64), (64, 64), versions())
TINY_SAM = "light_tinysam_segmentation"


def run_of(folder: Path, validation: dict[str, int], min_sites: int) -> Any:
    """Two sites with so many validation images."""

    def answer(site: str, task: Task[Any, Any], _: Envelope[FactsRequest]) -> Envelope[FactsReply]:
        assert task is FACTS_TASK
        return Envelope(FactsReply(replace(FACTS, counts={**COUNTS, "validation": validation[site]}), "0" * 64))

    return FakeRun(folder, tiny_settings(min_sites=min_sites), answer)


def test_a_source_site_without_a_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="site_b: has no validation images"):
        check_sites(run_of(tmp_path, {"site_a": 8, "site_b": 0}, 2))


def test_where_enough_are_left_it_is_left_out_with_an_event(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"site_a": 8, "site_b": 0}, 1)
    assert check_sites(run).counts == {"site_a": 4}
    assert (run.sources, run.record.data["sites"]) == (["site_a"], ["site_a"])
    ((kind, site, text),) = run.record.data["events"]
    assert (kind, site) == ("left out", "site_b")
    assert "has no validation images" in text


def test_too_few_sites_that_can_audit_stop_the_run_before_it_generates(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"site_a": 8, "site_b": 7}, 2)
    check_sites(run)
    with pytest.raises(DataError, match="site_b 7: fewer than the 8 validation images"):
        require_auditors(run)


def test_a_site_that_cannot_audit_is_told_of_where_enough_others_can(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"site_a": 8, "site_b": 7}, 1)
    check_sites(run)
    require_auditors(run)
    assert any("site_b 7" in line and "train without it" in line for line in run.progress.lines)
    enough = run_of(tmp_path / "enough", {"site_a": 8, "site_b": 8}, 2)
    check_sites(enough)
    before = len(enough.progress.lines)
    require_auditors(enough)
    assert len(enough.progress.lines) == before


def test_the_plan_has_the_sites_counts_and_the_record_their_facts(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"site_a": 8, "site_b": 9}, 1)
    plan = check_sites(run)
    assert plan.counts == {"site_a": 4, "site_b": 4}
    assert (plan.facts.channels, plan.facts.num_classes, plan.facts.label_names) == (1, 1, ("lesion",))
    assert run.record.data["label_names"] == ["lesion"]
    assert run.record.data["facts"]["site_b"]["counts"] == {**COUNTS, "validation": 9}
    assert SiteFacts.from_dict(run.record.data["facts"]["site_a"]) == FACTS


def test_a_site_that_stands_out_is_told_of_and_takes_part(tmp_path: Path) -> None:
    def answer(site: str, _: Any, __: Any) -> Envelope[FactsReply]:
        look = SiteLook(0.7 if site == "site_b" else 0.1, 0.1, 0.02, (64, 64), (0.0, 0.0))
        return Envelope(FactsReply(replace(FACTS, look=look), "0" * 64))

    run: Any = FakeRun(tmp_path, tiny_settings(), answer)
    run.unseen = ["site_c", "site_d"]
    assert check_sites(run).counts == {"site_a": 4, "site_b": 4}
    ((kind, site, text),) = run.record.data["events"]
    assert (kind, site) == ("stands out", "site_b")
    assert "its mean grey value is 0.7 where the others have 0.1" in text
    assert any(line.startswith("site_b stands out: its mean grey value") for line in run.progress.lines)
    check_sites(run)
    assert len(run.record.data["events"]) == 1, "a resumed run does not say it again"


def test_a_method_may_do_without_a_part(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"site_a": 8, "site_b": 0}, 1)
    assert check_sites(run, ("training", "test")).counts == {"site_a": 4, "site_b": 4}


def test_every_site_is_asked(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"site_a": 8, "site_b": 8}, 1)
    run.sources, run.unseen = ["site_a"], ["site_b"]
    asked: list[list[str]] = []
    ask = run.ask

    def watched(task: Task[Any, Any], request: Envelope[Any], sites: list[str]) -> Any:
        asked.append(sites)
        return ask(task, request, sites)

    run.ask = watched
    assert check_sites(run).counts == {"site_a": 4}, "an unseen site weighs nothing"
    assert asked == [["site_a", "site_b"]]


def test_an_unseen_site_that_has_not_joined_is_named(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, tiny_settings(unseen=["site_z"]), lambda *_: None)
    with pytest.raises(DataError, match="site_z: is set as unseen but has not joined"):
        check_sites(run)  # type: ignore[arg-type]


def test_a_site_of_another_kind_is_named(tmp_path: Path) -> None:
    def answer(site: str, _: Any, __: Any) -> Envelope[FactsReply]:
        return Envelope(FactsReply(replace(FACTS, channels=3 if site == "site_b" else 1), "0" * 64))

    with pytest.raises(DataError, match="site_b: its channels is 3 where the others have 1"):
        check_sites(FakeRun(tmp_path, tiny_settings(), answer))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def start_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the light TinySAM."""
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_weights(TinySam(64).state_dict(), path)
    return path


def checked(folder: Path, light_weights: Path | None, bundle: str = TINY_SAM, teacher: Path | None = None) -> Any:
    """Run the stage "check sites" with two sites that report made-up facts."""
    settings = tiny_settings(image_size=64, light={"bundle": bundle})
    run: Any = FakeRun(folder, settings, lambda *_: Envelope(FactsReply(FACTS, "0" * 64)))
    run.config = replace(run.config, light_weights=light_weights, teacher=teacher)
    check_sites(run)
    return run


def test_the_record_says_where_the_light_network_starts(start_file: Path, tmp_path: Path) -> None:
    run = checked(tmp_path, start_file)
    assert "start.safetensors: " in run.record.data["light"]["origin"]
    assert len(run.record.data["light"]["sha256"]) == 64
    assert run.store.get(LIGHT_START).info == run.record.data["light"]
    assert any("light network: light_weights: " in line for line in run.progress.lines)
    assert checked(tmp_path, start_file).record.data["light"] == run.record.data["light"], "resumed with the same file"


def test_a_resumed_run_does_not_start_some_methods_elsewhere(start_file: Path, tmp_path: Path) -> None:
    checked(tmp_path, start_file)
    with pytest.raises(CheckpointError, match=r"light_weights: the run began otherwise .*start\.safetensors"):
        checked(tmp_path, None)


def test_a_resumed_run_does_not_go_on_with_other_teacher_weights(start_file: Path, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    run = checked(tmp_path / "run", start_file, teacher=tmp_path / "one")
    assert run.record.data["teacher_weights"]["sha256"] == hashlib.sha256(b"1").hexdigest()
    assert run.store.get(TEACHER_START).info == run.record.data["teacher_weights"]
    checked(tmp_path / "run", start_file, teacher=tmp_path / "one")
    for other in (tmp_path / "two", None):
        with pytest.raises(CheckpointError, match="teacher: the run began otherwise"):
            checked(tmp_path / "run", start_file, teacher=other)
    assert checked(tmp_path / "without", start_file).record.data["teacher_weights"]["sha256"] is None


def test_a_missing_or_wrong_file_stops_the_run_before_any_work(start_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file; a weights file was expected"):
        checked(tmp_path / "a", tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="another architecture"):
        checked(tmp_path / "b", start_file, "light_unet_segmentation")


def run_with_digest(folder: Path, digests: dict[str, str], min_sites: int = 2) -> Any:
    """Two sites whose data have these digests."""

    def answer(site: str, task: Task[Any, Any], _: Envelope[FactsRequest]) -> Envelope[FactsReply]:
        return Envelope(FactsReply(FACTS, digests[site] * 64))

    return FakeRun(folder, tiny_settings(min_sites=min_sites), answer)


def test_data_that_have_changed_since_the_run_began_stop_it_and_the_site_is_named(tmp_path: Path) -> None:
    check_sites(run_with_digest(tmp_path, {"site_a": "a", "site_b": "b"}))
    check_sites(run_with_digest(tmp_path, {"site_a": "a", "site_b": "b"}))
    for _ in range(2):  # a refused start is no new beginning
        with pytest.raises(DataError, match="site_b: its data have changed since the run began"):
            check_sites(run_with_digest(tmp_path, {"site_a": "a", "site_b": "c"}))


def test_where_enough_are_left_a_site_with_other_data_is_left_out(tmp_path: Path) -> None:
    check_sites(run_with_digest(tmp_path, {"site_a": "a", "site_b": "b"}, 1))
    run = run_with_digest(tmp_path, {"site_a": "a", "site_b": "c"}, 1)
    check_sites(run)
    assert run.sources == ["site_a"]
    ((kind, site, text),) = run.record.data["events"]
    assert (kind, site) == ("left out", "site_b")
    assert "its data have changed" in text


def other_version_of_site_b(folder: Path, min_sites: int, **change: str) -> Any:
    """Two sites, of which site_b has other versions than this machine."""

    def answer(site: str, task: Task[Any, Any], _: Envelope[FactsRequest]) -> Envelope[FactsReply]:
        told = {**versions(), **(change if site == "site_b" else {})}
        return Envelope(FactsReply(replace(FACTS, versions=told), "0" * 64))

    return FakeRun(folder, tiny_settings(min_sites=min_sites), answer)


@pytest.mark.parametrize("change", [{"dsfedmed": "0.3.9"}, {"torch": "1.13.1"}, {"peft": "not installed"}])
def test_another_version_than_the_server_s_stops_the_run_with_both_named(
    change: dict[str, str], tmp_path: Path
) -> None:
    ((name, version),) = change.items()
    told = rf"site_b: has {name} {re.escape(version)} where the server has {re.escape(versions()[name])}\. Install"
    with pytest.raises(DataError, match=told):
        check_sites(other_version_of_site_b(tmp_path, 2, **change))


def test_where_enough_are_left_a_site_of_another_version_is_left_out(tmp_path: Path) -> None:
    run = other_version_of_site_b(tmp_path, 1, dsfedmed="0.3.9")
    check_sites(run)
    assert run.sources == ["site_a"]
    ((kind, site, text),) = run.record.data["events"]
    assert (kind, site) == ("left out", "site_b")
    assert f"dsfedmed 0.3.9 where the server has {VERSION}" in text
    assert "other_versions: true" in text


def test_the_server_s_owner_can_allow_other_versions_and_the_record_says_which(tmp_path: Path) -> None:
    run = other_version_of_site_b(tmp_path, 2, torch="1.13.1")
    run.config = replace(run.config, other_versions=True)
    check_sites(run)
    assert run.sources == ["site_a", "site_b"]
    ((kind, site, text),) = run.record.data["events"]
    assert (kind, site) == ("other versions", "site_b")
    assert "torch 1.13.1 where the server has" in text
