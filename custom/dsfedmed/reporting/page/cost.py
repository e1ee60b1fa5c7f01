# SPDX-License-Identifier: Apache-2.0
"""What the run cost: the byte ledger beside FedSAM's, and time per stage."""

from __future__ import annotations

from typing import Any

from dsfedmed.reporting.figures.cost import bytes_figure, stages_figure
from dsfedmed.reporting.methods import display_name
from dsfedmed.reporting.page.html import Section, join, note, nothing, svg_figure, table, tag
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
        for name, s in block["per_site"].items()
    ]
    total = (tag("b", "All"), byte_text(block["up"]), byte_text(block["down"]), tag("b", byte_text(spent)))
    apart = block["comparison"]
    body = (
        note(
            f"Bytes that really went through NVFlare in {block['messages']:,} messages. The comparison arms (FedAvg, "
            f"FedSAM, gathering test figures) are not the method's cost and are counted apart: "
            f"{byte_text(apart['up'])} up, {byte_text(apart['down'])} down.{_number_format(block)}"
        ),
        svg_figure(bytes_figure(block, results["method"]), ""),
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
    body = (note(f"{seconds_text(sum(found.values()))} in all.{again}"), svg_figure(stages_figure(found), ""))
    return Section("time", "Time", join(body))


def _fedsam(record: Record, results: dict[str, Any]) -> object:
    """How FedSAM's equivalent is counted, in words."""
    block, fedsam = results["bytes"], record.mapping("bytes").get("fedsam")
    if block["fedsam_equivalent"] is None or not fedsam:
        return nothing("FedSAM's equivalent was not recorded.")
    ours = display_name(results["method"])
    change = "" if block["reduction"] is None else f" {ours} moved {change_text(block['reduction'])}."
    if block["reduction"] is not None and block["reduction"] < 0:
        change = f" {ours} moved {-100 * block['reduction']:.1f} % more: the one-off payloads outweigh so few rounds."
    return note(
        f"FedSAM on the same sites and rounds: {count_text(fedsam['parameters'])} parameters "
        f"({byte_text(fedsam['bytes_per_round_per_site_per_direction'])}), up and down, {len(record.sites)} sites, "
        f"{fedsam['rounds']} rounds = {byte_text(block['fedsam_equivalent'])}.{change}"
    )
