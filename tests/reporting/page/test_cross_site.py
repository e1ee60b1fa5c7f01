# SPDX-License-Identifier: Apache-2.0
"""The square of the sites' own networks: its figures, in results.json, in the picture and for who cannot see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfedmed.reporting.figures.cross_site import cross_site_charts
from dsfedmed.reporting.page.cross_site import cross_site
from dsfedmed.reporting.record import load_record
from dsfedmed.reporting.results import build_results, check_results
from tests.reporting.test_results import small

MakeRun = Callable[..., Path]


def results(make_run: MakeRun, **changes: Any) -> dict[str, Any]:
    folder = make_run(small(**changes))
    found = build_results(load_record(folder))
    check_results(found, folder)
    return found


def test_figures_are_percent_by_network_and_test_images(make_run: MakeRun) -> None:
    square = {"a": {"a": 0.5, "b": 0.25}, "b": {"a": 0.125, "b": 1.0}}
    found = results(make_run, cross_site={"local": square})
    assert found["cross_site"] == {"local": {"a": {"a": 50.0, "b": 25.0}, "b": {"a": 12.5, "b": 100.0}}}


def test_no_section_without_figures(make_run: MakeRun) -> None:
    found = results(make_run)
    assert found["cross_site"] == {}
    assert cross_site(found) == []


def test_the_picture_says_every_figure_and_marks_the_own_site() -> None:
    square = {"a": {"a": 50.0, "b": 25.0, "c": 7.5}, "b": {"a": 12.5, "b": 100.0, "c": 3.0}}
    (chart,) = cross_site_charts({"ditto": square}, ("a", "b", "c"))
    assert chart.alt == (
        "Ditto, Dice in %: the network of a has 50.0 at a, 25.0 at b, 7.5 at c; "
        "the network of b has 12.5 at a, 100.0 at b, 3.0 at c."
    )
    assert chart.svg.count("stroke: #1f2933") == 2, "a frame for each of two networks on its own site's images"


def test_a_site_without_a_network_has_no_row_and_equal_figures_are_drawn() -> None:
    (chart,) = cross_site_charts({"local": {"b": {"a": 5.0, "b": 5.0}}}, ("a", "b"))
    assert "the network of a" not in chart.alt


def test_it_is_a_section_of_the_page(make_run: MakeRun) -> None:
    site = small()["sites"][0]
    found = results(make_run, cross_site={"local": {site: {site: 0.5}}})
    (section,) = cross_site(found)
    assert section.anchor == "cross-site"
    assert f"the network of {site} has 50.0 at {site}" in section.body
