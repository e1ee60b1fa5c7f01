# SPDX-License-Identifier: Apache-2.0
"""What a run does beyond its method's paper: named by its settings; the papers' presets have nothing of it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from dsfedmed.installation.shipped import job_folder
from dsfedmed.methods import METHODS, Beyond
from dsfedmed.options import dotted
from dsfedmed.reporting.beyond_paper import beyond_the_paper
from dsfedmed.settings import Settings, read_preset

ENTRIES = (
    Beyond("refit.steps", (0,), "a repair"),
    Beyond("method.teacher_gate", (False,), "a gate", True),
    Beyond("light_settings.loss", ("bce",), "another loss", "dice"),
)


def preset(method: str, name: str) -> dict[str, Any]:
    return Settings.from_dict(read_preset(job_folder(method) / "presets" / f"{name}.yaml")).to_dict()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"refit": {"steps": 0}, "method": {"teacher_gate": False}, "light_settings": {"loss": "bce"}}, []),
        ({"refit": {"steps": 20}, "method": {}, "light_settings": {}}, ["a repair", "a gate", "another loss"]),
        ({"light": {"bundle": "unet"}, "light_settings": {"unet/loss": "bce", "tiny/loss": "dice"}}, ["a gate"]),
        ({"light": {"bundle": "unet"}, "light_settings": {"loss": "dice", "unet/loss": "bce"}},
         ["a gate", "another loss"]),
    ],
)  # fmt: skip
def test_additions_are_named_by_hand(settings: dict[str, Any], expected: list[str]) -> None:
    assert beyond_the_paper(ENTRIES, settings) == expected


@pytest.mark.parametrize(
    ("method", "name"), [*((method, "paper") for method in sorted(METHODS)), ("dsfedmed", "released")]
)
def test_the_papers_presets_have_nothing_of_ours(method: str, name: str) -> None:
    assert beyond_the_paper(METHODS[method].beyond, preset(method, name)) == []


@pytest.mark.parametrize(("method", "words"), [
    ("dsfedmed", "a repair of every mean on the synthetic set"),
    ("samfed", "SAM is asked while at least as good as its student"),
    ("pfedsam", "low-rank updates averaged as products"),
    ("fedbn", "augmentation at the sites"),
])  # fmt: skip
def test_the_small_presets_say_what_is_ours(method: str, words: str) -> None:
    assert words in beyond_the_paper(METHODS[method].beyond, preset(method, "cpu"))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_entry_is_a_setting_with_its_default(method: str) -> None:
    """A key of ``method`` that a preset leaves out has the default of the method's options."""
    known = dict(dotted(Settings().to_dict()))
    kind = METHODS[method].load_options()
    options: dict[str, Any] = {} if kind is None else {f.name: f.default for f in fields(kind)}
    for entry in METHODS[method].beyond:
        section, _, key = entry.setting.partition(".")
        if section == "method":
            assert entry.default == options[key], entry.setting
        elif section not in ("light_settings", "generator_model"):
            assert entry.setting in known
    assert len({entry.setting for entry in METHODS[method].beyond}) == len(METHODS[method].beyond)
