# SPDX-License-Identifier: Apache-2.0
"""The server's side of any workflow, on a transport of the test: who fails is left out by name, and all is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dsfedmed.data.facts import SiteFacts
from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import ConfigError, DataError, DSFedMedError, PayloadError, StoreError
from dsfedmed.exchange.ledger import ByteLedger
from dsfedmed.federated.server import workflow as module
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import (
    Envelope,
    Message,
    PrivacyStatement,
    ReplyHeader,
    error_message,
    reply_message,
)
from dsfedmed.federated.wire.requests.facts import FactsReply, FactsRequest
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.specs import FileOffer, SetOffer
from dsfedmed.federated.wire.tasks import FACTS, TRAIN
from dsfedmed.federated.wire.transport import OnArrival, OnSiteProgress, Surroundings, Waiting
from dsfedmed.packages import versions
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json
from dsfedmed.store.stage_store import StageResult
from tests.federated.tiny import BUNDLES, tiny_plan, tiny_settings

SITES = ("site_a", "site_b", "site_c")
FOUND = SiteFacts(1, 1, ("lesion",), True, (0, 1), {"training": 4}, (".png",), (64, 64), (64, 64), versions())
Reply = Callable[[], Message]


class Scripted:
    """Answers as the test says; a site without an answer is absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.replies: dict[str, Reply] = {}
        self.sent: list[tuple[str, Message, list[str], Waiting]] = []
        self.published: list[Path] = []
        self.finished: list[str] = []
        self.tracked: list[tuple[str, float, int]] = []
        self.enough: list[bool] = []
        self.ledger = ByteLedger()
        self.uploads_on_disk: bool | None = None

    def surroundings(self) -> Surroundings:
        return Surroundings(self.folder / "local", self.folder / "scratch", SITES)

    def connect(self, ledger: ByteLedger, on_progress: OnSiteProgress, uploads_on_disk: bool) -> None:
        self.ledger, self.on_progress, self.uploads_on_disk = ledger, on_progress, uploads_on_disk

    def send(self, task: str, request: Message, sites: Sequence[str], receive: OnArrival, waiting: Waiting) -> None:
        self.sent.append((task, request, list(sites), waiting))
        for site in sites:
            self.ledger.add(site, "down", 100)
            if site in self.replies:
                self.ledger.add(site, "up", 10)
                receive(site, self.replies[site])
            self.enough.append(waiting.enough())

    def offered(self, folder: Path, manifest: Manifest) -> AbstractContextManager[SetOffer]:
        raise NotImplementedError

    def offered_file(self, path: Path) -> AbstractContextManager[FileOffer]:
        raise NotImplementedError

    def track(self, tag: str, value: float, step: int) -> None:
        self.tracked.append((tag, value, step))

    def publish(self, run: Path) -> None:
        self.published.append(run)

    def finish(self, error: str) -> None:
        self.finished.append(error)


class Work(FederatedWorkflow):
    """A workflow whose work is the test's."""

    METHOD = "dsfedmed"

    def __init__(self, settings: Settings, work: Callable[[Any], None] = lambda _: None) -> None:
        super().__init__(settings)
        self.do = work

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        return ("check sites", "rounds")

    def work(self) -> None:
        self.do(self)


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    built: list[Path] = []
    monkeypatch.setattr(module, "build_report", lambda run, _: built.append(run))
    return built


@pytest.fixture
def transport(tmp_path: Path) -> Scripted:
    (tmp_path / "local").mkdir()
    config = {"bundles": str(BUNDLES), "run": str(tmp_path / "run")}
    (tmp_path / "local" / "dsfedmed.yaml").write_text(yaml.safe_dump(config))
    return Scripted(tmp_path)


def prepared(transport: Scripted, **changes: Any) -> Work:
    """Return a workflow within its work."""
    workflow = Work(tiny_settings(unseen=["site_c"], **changes))
    workflow._find(transport)
    workflow._prepare()
    return workflow


def facts(header: ReplyHeader | None = None) -> Reply:
    return lambda: reply_message(Envelope(FactsReply(FOUND, "0" * 64), header=header or ReplyHeader(seconds=1.5)))


def refusing(reason: str) -> Reply:
    def unwrap() -> Message:
        raise PayloadError("site", reason, "Send again")

    return unwrap


REQUEST = Envelope(FactsRequest())


def events(workflow: FederatedWorkflow) -> list[tuple[str, str, str]]:
    return [(event["kind"], event["site"], event["message"]) for event in workflow.record.data["events"]]


def test_unseen_sites_are_kept_apart(transport: Scripted, tmp_path: Path) -> None:
    workflow = prepared(transport)
    assert (workflow.sources, workflow.unseen) == (["site_a", "site_b"], ["site_c"])
    assert workflow.folder == tmp_path / "run"
    assert transport.uploads_on_disk is True
    (transport.folder / "local" / "dsfedmed.yaml").write_text("uploads_on_disk: false\n")
    elsewhere = Work(tiny_settings())
    elsewhere._find(transport)
    elsewhere._prepare()
    assert elsewhere.folder == tmp_path / "scratch" / "dsfedmed"
    assert transport.uploads_on_disk is False


def test_the_source_sites_are_asked_and_their_replies_are_typed(transport: Scripted) -> None:
    transport.replies = {"site_a": facts(), "site_b": facts()}
    workflow = prepared(transport)
    replies = workflow.ask(FACTS, REQUEST)
    assert {site: reply.body.facts for site, reply in replies.items()} == {"site_a": FOUND, "site_b": FOUND}
    ((task, request, sites, waiting),) = transport.sent
    assert (task, request, sites) == ("dsf_facts", Message({"body": {}}), ["site_a", "site_b"])
    assert waiting.task_s == workflow.settings.timeouts.task_s
    assert transport.enough == [False, True], "two sites are needed"
    assert workflow.progress.state["sites"] == {site: "dsf_facts done in 1.5 s" for site in ("site_a", "site_b")}
    assert events(workflow) == []


def test_replies_come_in_the_order_of_the_sites_and_without_tensors_where_they_were_taken(transport: Scripted) -> None:
    update = {"w": torch.ones(3)}
    reply = reply_message(Envelope(TrainReply(1, 0.5, 0.1, 2), update, True))
    transport.replies = {"site_a": lambda: reply, "site_b": lambda: reply}
    workflow, taken = prepared(transport), {}
    plan = tiny_plan(workflow.settings)
    body = TrainRequest(plan.common, plan.round_facts("fedavg", 1), "light", plan.teacher_spec)
    found = workflow.ask(
        TRAIN, Envelope(body), sites=["site_b", "site_a"], on_reply=lambda site, got: taken.update({site: got})
    )
    assert list(found) == ["site_b", "site_a"]
    assert all(got.tensors == {} for got in found.values())
    assert all(torch.equal(got.tensors["w"], update["w"]) for got in taken.values())
    kept = workflow.ask(TRAIN, Envelope(body))
    assert torch.equal(kept["site_a"].tensors["w"], update["w"])


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (refusing("sent tensors that do not match their hash"), "do not match their hash. Send again"),
        (lambda: error_message(DataError("x", "the disk is full", "Free space"), "site_b"),
         "the disk is full. Free space"),
        (lambda: Message({"weights": "all"}), "sent FactsReply, which is None"),
        (lambda: Message({"body": {"facts": {}}, "header": {}}),
         "sent FactsReply.facts without its key 'channels'"),
        (lambda: reply_message(Envelope(FactsReply(FOUND, "0" * 64), header=ReplyHeader(seconds=-1.0))),
         "sent ReplyHeader.seconds: -1.0 is not between 0 and 1e+30"),
    ],
)  # fmt: skip
def test_a_site_that_fails_is_left_out_and_the_record_says_why(transport: Scripted, reply: Reply, reason: str) -> None:
    transport.replies = {"site_a": facts(), "site_b": reply}
    workflow = prepared(transport, min_sites=1)
    workflow.ledger.stage = "check sites"
    assert list(workflow.ask(FACTS, REQUEST)) == ["site_a"]
    ((kind, site, message),) = events(workflow)
    assert (kind, site) == ("refused", "site_b")
    assert reason in message
    (event,) = workflow.record.data["events"]
    assert (event["stage"], event["round"]) == ("check sites", None)


def test_a_reply_that_what_takes_it_refuses_is_left_out(transport: Scripted) -> None:
    transport.replies = {"site_a": facts(), "site_b": facts()}
    workflow = prepared(transport, min_sites=1)

    def take(site: str, _: Envelope[FactsReply]) -> None:
        if site == "site_b":
            raise PayloadError(site, "answered another round", "Use one version")

    assert list(workflow.ask(FACTS, REQUEST, on_reply=take)) == ["site_a"]
    assert events(workflow) == [("refused", "site_b", "answered another round. Use one version")]


def test_absent_and_back_again(transport: Scripted) -> None:
    """While a site is missed, the others wait less long for it."""
    transport.replies = {"site_a": facts()}
    workflow = prepared(transport, min_sites=1, timeouts={"straggler_grace_s": 60, "returning_grace_s": 7})
    workflow.ask(FACTS, REQUEST)
    assert workflow.absent == {"site_b"}
    workflow.ask(FACTS, REQUEST, sites=["site_a"])
    assert workflow.absent == {"site_b"}, "who is not asked is not heard of"
    transport.replies["site_b"] = facts()
    workflow.ask(FACTS, REQUEST)
    assert workflow.absent == set()
    workflow.ask(FACTS, REQUEST)
    assert events(workflow) == [
        ("missing", "site_b", "no answer to dsf_facts"), ("returned", "site_b", "answered dsf_facts again"),
    ]  # fmt: skip
    assert [waiting.grace_s for *_, waiting in transport.sent] == [60, 60, 7, 60]


def test_the_round_that_is_asked_for_is_in_the_events(transport: Scripted) -> None:
    workflow = prepared(transport, min_sites=1)
    plan = tiny_plan(workflow.settings)
    body = TrainRequest(plan.common, plan.round_facts("fedavg", 7), "light", plan.teacher_spec)
    workflow.ask(TRAIN, Envelope(body), at_least=0)
    assert {event["round"] for event in workflow.record.data["events"]} == {7}


def test_too_few_replies_stop_the_run_with_every_reason(transport: Scripted) -> None:
    transport.replies = {"site_b": refusing("is broken")}
    workflow = prepared(transport)
    with pytest.raises(DSFedMedError) as caught:
        workflow.ask(FACTS, REQUEST)
    assert caught.value.reason == ("0 of 2 needed sites answered (site_a: no answer; site_b: is broken. Send again)")
    assert caught.value.fix == "Fix these sites and restart the run"
    assert workflow.ask(FACTS, REQUEST, at_least=0) == {}


def test_no_more_replies_are_needed_than_there_are_sites(transport: Scripted) -> None:
    transport.replies = {"site_a": facts()}
    workflow = prepared(transport, min_sites=2)
    assert list(workflow.ask(FACTS, REQUEST, sites=["site_a"])) == ["site_a"]


def test_what_a_noise_filter_states_is_in_the_record(transport: Scripted) -> None:
    statement = PrivacyStatement("gaussian", 1.0, 0.5, None, 1e-5, 3)
    transport.replies = {"site_a": facts(ReplyHeader(privacy=statement)), "site_b": facts()}
    workflow = prepared(transport)
    workflow.ask(FACTS, REQUEST)
    assert workflow.record.data["privacy"] == {
        "site_a": {"mechanism": "gaussian", "clip": 1.0, "noise_multiplier": 0.5, "epsilon": None, "delta": 1e-5,
                   "releases": 3},
    }  # fmt: skip


def test_bytes_count_under_their_stage_and_outlive_a_restart(transport: Scripted, tmp_path: Path) -> None:
    transport.replies = {"site_a": facts(), "site_b": facts()}
    workflow = prepared(transport)
    with workflow.stage("rounds", "comparison"):
        workflow.ask(FACTS, REQUEST)
    entries = read_json(tmp_path / "run" / "record.json")["bytes"]["entries"]
    found = {(e["site"], e["direction"], e["stage"], e["purpose"]): e["bytes"] for e in entries}
    assert found == {(site, way, "rounds", "comparison"): size for site in ("site_a", "site_b")
                     for way, size in (("down", 100), ("up", 10))}  # fmt: skip
    again = prepared(transport)
    assert again.ledger.entries() == entries


def test_a_stage_is_made_once_and_its_time_kept(transport: Scripted) -> None:
    workflow, made = prepared(transport), []

    def make() -> StageResult:
        made.append(1)
        return StageResult({"n": 3}, {"w": torch.ones(2)})

    assert workflow.once("rounds", make).info == {"n": 3}
    resumed = prepared(transport)
    found = resumed.once("rounds", make)
    assert (found.info, found.tensors["w"].tolist(), made) == ({"n": 3}, [1.0, 1.0], [1])
    ((entry),) = resumed.record.data["stages"]
    assert (entry["name"], entry["resumed"]) == ("rounds", True)


def test_another_configuration_does_not_go_on_in_the_same_folder(transport: Scripted) -> None:
    prepared(transport)
    with pytest.raises(StoreError, match="holds a run of another configuration"):
        prepared(transport, seed=1)


def test_a_run_ends_with_a_verdict_and_a_report(transport: Scripted, tmp_path: Path, no_report: list[Path]) -> None:
    workflow = Work(tiny_settings(), lambda run: run.track("fedavg/loss", 0.5, 1))
    workflow.run(transport)
    record = read_json(tmp_path / "run" / "record.json")
    assert (record["verdict"], record["method"]) == ("complete", "dsfedmed")
    assert record["finished"] is not None
    assert no_report == [tmp_path / "run"] == transport.published
    assert transport.finished == [""]
    assert transport.tracked == [("fedavg/loss", 0.5, 1)]


def test_a_known_error_is_the_verdict_and_the_transport_ends(transport: Scripted, tmp_path: Path) -> None:
    def fail(run: FederatedWorkflow) -> None:
        with run.stage("rounds"):
            raise DataError("site_a", "has no images", "Give it some")

    Work(tiny_settings(), fail).run(transport)
    record = read_json(tmp_path / "run" / "record.json")
    assert record["verdict"] == "incomplete: site_a: has no images. Give it some"
    assert [(event["kind"], event["stage"]) for event in record["events"]] == [("error", "rounds")]
    assert transport.finished == ["site_a: has no images. Give it some"]
    assert transport.published == [tmp_path / "run"], "what there is can be fetched"


def test_an_unknown_error_is_raised_once_the_record_says_it(transport: Scripted, tmp_path: Path) -> None:
    def fail(_: FederatedWorkflow) -> None:
        raise RuntimeError("a library's\nlong trace")

    with pytest.raises(RuntimeError):
        Work(tiny_settings(), fail).run(transport)
    verdict = read_json(tmp_path / "run" / "record.json")["verdict"]
    assert verdict.startswith("incomplete: RuntimeError")
    assert "long trace" not in verdict
    assert len(transport.finished) == 1
    assert transport.finished[0].startswith("RuntimeError")


def test_a_method_without_options_refuses_any() -> None:
    with pytest.raises(ConfigError, match="method: dsfedmed has no options there"):
        Work(tiny_settings(method={"experts": 2}))


def test_the_servers_threads_are_its_own(transport: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    (transport.folder / "local" / "dsfedmed.yaml").write_text("server_threads: 3\nthreads: 2\n")
    prepared(transport)
    assert asked == [3]
