# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.cli.main import main
from dsfedmed.reporting.page.images import synthetic
from dsfedmed.reporting.page.overview import _where_images_stayed
from dsfedmed.reporting.pictures import read_picture_index
from dsfedmed.reporting.record import load_record
from dsfedmed.reporting.report import build_report
from dsfedmed.reporting.results import load_results

VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """Collects anchors, image sources and text; fails on tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.sources += [found["src"] or ""] if "src" in found else []
        self.links += [found["href"] or ""] if "href" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data + " "


def read(run: Path) -> Page:
    page = Page()
    page.feed((run / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_the_page_is_whole_and_self_contained(built_run: Path) -> None:
    page = read(built_run)
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    assert all(source.startswith("data:image/") for source in page.sources)
    assert [link.removeprefix("#") for link in page.links] == ["words", *page.ids]
    assert len(page.ids) == 13
    css = (built_run / "report.html").read_text(encoding="utf-8").split("</style>")[0]
    assert "url(" not in css
    assert "@import" not in css
    # three methods' three cases at four sites; three sheets; 2 charts of means, 2 of differences, 3 of rounds, 4 of the
    # sites' spread, 3 audits, 3 of learnability, 3 of bytes, 1 of time
    assert len([s for s in page.sources if "jpeg" in s[:20]]) == 4 * 9
    assert len([s for s in page.sources if "png" in s[:20]]) == 3
    assert len([s for s in page.sources if "svg" in s[:20]]) == 21


def test_parts_of_the_set_are_shown_with_why_one_is_left_out(
    make_run: Callable[..., Path], make_record: Callable[..., dict[str, Any]]
) -> None:
    data = make_record()
    good = {"dice": 0.7, "constant": 0.4, "gains": {"busi": -0.3, "logiq7": 0.01}, "left_out": ""}
    bad = {"dice": 0.38, "constant": 0.4, "gains": {}, "left_out": "does not follow its masks <b>"}
    run = make_run(data)
    assert "Parts of the set" not in synthetic(load_record(run)).body
    run = make_run({**data, "parts": {"busi": good, "logiq7": bad}})
    shown = synthetic(load_record(run)).body
    assert '<th scope="row">busi</th><td>0.700</td><td>0.400</td><td>0.010</td><td>-</td>' in shown
    assert "<td>0.380</td><td>0.400</td><td>-</td><td>does not follow its masks &lt;b&gt;</td>" in shown


def test_the_page_shows_the_results_figures(built_run: Path) -> None:
    results = load_results(built_run)
    text = " ".join(read(built_run).text.split())
    for method in results["methods"].values():
        assert f"{method['unseen_dice']:.1f}" in text
    assert "With as many rounds" in text
    assert "With as many training steps" in text
    assert "no answer within 120 s; the round went on" in text
    assert "softmax" in text  # the preset as it ran


def test_text_is_escaped(make_run: Callable[..., Path], record: dict[str, Any]) -> None:
    attack = '<script>alert("x")</script>&'
    record["name"] = attack
    record["events"][0]["message"] = attack
    record["config"]["note"] = attack
    record["versions"]["torch"] = attack
    run = make_run(record)
    build_report(run)
    page = read(run)
    assert "script" not in page.tags
    assert page.text.count(attack) == 4  # title, heading, event and version; the setting is shown as JSON
    assert attack.replace('"', '\\"') in page.text


@pytest.mark.parametrize(
    "keep",
    [
        (),
        ("cases", "label_names"),
        ("curves", "learnability", "stages"),
        ("bytes", "audit", "synthetic", "events"),
        ("facts", "config", "versions", "selected", "parameters"),
    ],
)
def test_an_unfinished_run_has_a_page_that_says_so(
    make_run: Callable[..., Path], record: dict[str, Any], keep: tuple[str, ...]
) -> None:
    run = make_run({key: record[key] for key in ("sites", "unseen", "versions", *keep)})
    build_report(run)
    text = read(run).text
    assert "incomplete" in text
    assert "Not there:" in text


def test_gaps_inside_the_curves_and_scores_do_not_stop_the_page(
    make_run: Callable[..., Path], record: dict[str, Any]
) -> None:
    record["curves"]["fedavg"][2]["validation"].pop("busi")
    record["curves"]["fedavg"][3]["validation"]["busi"] = float("nan")
    record["curves"]["dsfedmed"][0].pop("loss")
    record["learnability"][0].pop("scores")
    record["learnability"][1]["kl"] = None
    record["synthetic"]["sheets"]["busi"] = "../../elsewhere.png"
    run = make_run(record)
    build_report(run)
    assert "elsewhere.png is not there" in read(run).text


def test_what_was_taken_over_from_another_run_is_said(make_run: Callable[..., Path], record: dict[str, Any]) -> None:
    record["stages"][0]["resumed"] = True
    record["reused"] = {"run": "the-first-run", "stages": [record["stages"][0]["name"]]}
    run = make_run(record)
    build_report(run)
    said = f"or the run the-first-run, not computed again: {record['stages'][0]['name']}."
    assert said in read(run).text


def test_no_unseen_site_and_several_classes(
    make_run: Callable[..., Path], make_record: Callable[..., dict[str, Any]]
) -> None:
    data = make_record(classes=2)
    data["unseen"] = []
    run = make_run(data)
    results = build_report(run)
    assert results["methods"]["dsfedmed"]["unseen_dice"] is None
    text = read(run).text
    assert "cytoplasm / nucleus" in text
    assert "All unseen" not in text


def test_the_command_prints_the_table_and_gives_the_same_bytes(
    built_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(built_run, tmp_path / "run")
    assert main(["report", str(run)]) == 0
    printed = capsys.readouterr().out
    results = load_results(run)
    for name in ("report.html", "results.json"):
        assert (run / name).read_bytes() == (built_run / name).read_bytes()
    row = next(line for line in printed.splitlines() if line.startswith("DSFedMed  "))
    assert re.findall(r"[\d.]+", row)[-1] == f"{results['methods']['dsfedmed']['unseen_dice']:.1f}"
    assert "at equal training steps: seen" in printed
    assert "than FedSAM would have (" not in printed, "the record does not say in which format its numbers went"
    assert main(["report", str(run / "nowhere")]) == 2
    assert "no run record" in capsys.readouterr().err


@pytest.mark.parametrize(("epsilon", "shown"), [(9.92071, "9.92"), (None, "above 700")])
def test_what_a_site_stated_of_its_noise_stands_in_page_and_results(
    record: dict[str, Any], make_run: Callable[..., Path], epsilon: float | None, shown: str
) -> None:
    stated = {"mechanism": "gaussian", "clip": 2.0, "noise_multiplier": 4.5, "epsilon": epsilon, "delta": 1e-5}
    run = make_run({**record, "privacy": {"hospital_b": {**stated, "releases": 20}}})
    build_report(run)
    assert load_results(run)["privacy"]["hospital_b"]["epsilon"] == epsilon
    text = " ".join(read(run).text.split())
    assert f"hospital_b 2 4.5 20 {shown} 1e-05" in text


def test_without_noise_nothing_is_said_of_it(built_run: Path) -> None:
    assert "Noise multiplier" not in read(built_run).text
    assert load_results(built_run)["privacy"] == {}
    assert load_results(built_run)["branch_privacy"] == {}


def test_a_private_branch_stands_in_page_and_results_with_what_it_does_not_cover(
    record: dict[str, Any], make_run: Callable[..., Path]
) -> None:
    stated = {"unit": "patient", "clip": 1.0, "noise_multiplier": 2.5, "rate": 0.3, "steps": 40}
    stated |= {"epsilon": 2.998, "delta": 4.9e-4, "total_epsilon": 4.51, "branches": 2}
    run = make_run({**record, "branch_privacy": {"hospital_b": stated}})
    build_report(run)
    assert load_results(run)["branch_privacy"]["hospital_b"] == stated
    text = " ".join(read(run).text.split())
    assert "hospital_b 3 0.00049 2.5 1 2 4.51" in text
    assert "It covers the branch alone" in text


@pytest.mark.parametrize(("methods", "exception"), [(["dsfedmed"], ""), (["dsfedmed", "centralised"], "centralised")])
def test_the_page_claims_of_images_what_is_true(methods: list[str], exception: str) -> None:
    claim = _where_images_stayed({"methods": dict.fromkeys(methods)})
    assert claim.startswith("Images never left their site")
    assert exception in claim
    assert ("but for" in claim) == bool(exception)
    assert "but for those of site_a" in _where_images_stayed({"methods": {}}, "site_a")


def test_the_command_leaves_cases_out_where_it_is_asked_to(built_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(built_run, run)
    assert main(["report", str(run)]) == 0
    with_cases = (run / "report.html").read_text()
    assert main(["report", str(run), "--no-cases"]) == 0
    without = (run / "report.html").read_text()
    names = [picture.case for folder in run.glob("sites/*/pictures") for picture in read_picture_index(folder)]
    assert names
    assert all(name in with_cases for name in names)
    assert not [name for name in names if name in without]
    assert "jpeg" not in without
    assert len(without) < len(with_cases)
