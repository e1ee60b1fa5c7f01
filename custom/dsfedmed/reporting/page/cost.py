# SPDX-License-Identifier: Apache-2.0
"""What the run cost: the byte ledger beside FedSAM's, and time per stage."""

from __future__ import annotations

from typing import Any

from dsfedmed.reporting.figures.cost import stage_bytes_chart, time_chart, total_bytes_chart
from dsfedmed.reporting.figures.style import Chart
from dsfedmed.reporting.methods import colour, display_name
from dsfedmed.reporting.page.html import Section, chart_figure, join, note, nothing, table, tag
from dsfedmed.reporting.record import Record
from dsfedmed.reporting.units import byte_text, change_text, count_text, seconds_text


def ledger(record: Record, results: dict[str, Any]) -> Section:
    """Return bytes by stage and site, and FedSAM's cost on the same sites and rounds."""
    block = results["bytes"]
    if not block["per_stage"]:
        return Section("bytes", "Byte ledger", nothing("No payload was recorded."))
    spent = block["up"] + block["down"]
    stages = [
        (name, byte_text(s["up"]), byte_text(s["down"]), byte_text(sum(s.values())))
        for name, s in block["per_stage"].items()
    ]
    sites = [
        (name, byte_text(s["up"]), byte_text(s["down"]), byte_text(sum(s.values())))
        for name, s in sorted(block["per_site"].items())
    ]
    total = (tag("b", "All"), byte_text(block["up"]), byte_text(block["down"]), tag("b", byte_text(spent)))
    apart = block["comparison"]
    body = (
        note(
            f"Bytes that really went between server and sites in {block['messages']:,} messages. The comparison arms "
            f"(FedAvg, FedSAM, gathering test figures) are not the method's cost and are counted apart: "
            f"{byte_text(apart['up'])} up, {byte_text(apart['down'])} down.{_number_format(block)}"
        ),
        chart_figure([*stage_bytes_chart(block["per_stage"]), *_beside(results), *_to_train(results)]),
        tag(
            "div",
            tag("div", table(("Stage", "Up", "Down", "Both"), [*stages, total]), css="half"),
            tag("div", table(("Site", "Up", "Down", "Both"), sites), _fedsam(record, results), css="half"),
            css="halves",
        ),
    )
    return Section("bytes", "Byte ledger", join(body))


def _number_format(block: dict[str, Any]) -> str:
    """How the rounds' weights travelled, in words."""
    words = {
        "fp32": "whole weights down and differences up, in 32-bit floating point",
        "fp16": "whole weights down and differences up, in 16-bit floating point",
        "int8": "differences both ways, eight bits a number and entropy coded",
    }
    form = block["number_format"]
    return f" Rounds: {words.get(form, form)}." if form else ""


def stages(record: Record, results: dict[str, Any]) -> Section:
    """Return the time per stage and which stages were taken over from an earlier start."""
    found = results["stages"]
    if not found:
        return Section("time", "Time", nothing("No stage has been timed yet."))
    resumed = [str(stage.get("name")) for stage in record.entries("stages") if stage.get("resumed")]
    source = record.mapping("reused").get("run")
    whence = "an earlier start" + (f" or the run {source}" if source else "")
    again = f" Taken over from {whence}, not computed again: {', '.join(resumed)}." if resumed else ""
    body = (note(f"{seconds_text(sum(found.values()))} in all.{again}"), chart_figure(time_chart(found)))
    return Section("time", "Time", join(body))


def _beside(results: dict[str, Any]) -> list[Chart]:
    """Return the run's bytes beside those that FedSAM would have moved, in the run's own number format."""
    block = results["bytes"]
    totals = [(display_name(results["method"]), float(block["up"] + block["down"]), colour(results["method"]))]
    if block["fedsam_same_format"]:
        totals.append(("FedSAM", float(block["fedsam_same_format"]), colour("fedsam")))
    return total_bytes_chart(totals, f"All sites, all rounds{_in_form(block)}")


def _to_train(results: dict[str, Any]) -> list[Chart]:
    """Return what each tested method moved until it was trained, as measured."""
    block = results["bytes"]
    totals = [(display_name(key), float(moved), colour(key)) for key, moved in block["to_train"].items()]
    return total_bytes_chart(totals, f"One hospital, to train{_in_form(block)}")


def _in_form(block: dict[str, Any]) -> str:
    return f", {block['number_format']}" if block["number_format"] else ""


def _fedsam(record: Record, results: dict[str, Any]) -> object:
    """How FedSAM's equivalent is counted, in words."""
    block, fedsam = results["bytes"], record.mapping("bytes").get("fedsam")
    if block["fedsam_equivalent"] is None or not fedsam:
        return nothing("FedSAM's equivalent was not recorded.")
    form, alike = block["number_format"], block["fedsam_same_format"]
    text = (
        f"FedSAM on the same sites and rounds would move {count_text(fedsam['parameters'])} parameters, up and down, "
        f"{len(record.sites)} sites, {fedsam['rounds']} rounds: "
    )
    if alike is None:
        return note(f"{text}{byte_text(block['fedsam_equivalent'])} in fp32, as the paper counts.")
    packed = " (one byte a number, before entropy coding)" if form == "int8" else ""
    text += f"{byte_text(alike)} in {form}{packed}, in which this run's updates travelled"
    text += "" if form == "fp32" else f"; {byte_text(block['fedsam_equivalent'])} in fp32, as the paper counts"
    if block["reduction_same_format"] is None:
        return note(f"{text}.")
    return note(f"{text}. {display_name(results['method'])} moved {change_text(block['reduction_same_format'])}.")
