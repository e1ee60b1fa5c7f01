# SPDX-License-Identifier: Apache-2.0
"""Names of version 0.3 are refused with the new name, wherever a setting comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.cli.job import RENAMED as OPTIONS
from dsfedmed.cli.main import RENAMED as COMMANDS
from dsfedmed.errors import ConfigError
from dsfedmed.flare.controller import FederatedController
from dsfedmed.options import dotted
from dsfedmed.renamed import SETTINGS, refuse_renamed, refuse_renamed_word
from dsfedmed.settings import Settings, merge, parse_override, read_preset, read_run

KEYS = {old: new for old, new in SETTINGS.items() if not any(other.startswith(f"{old}.") for other in SETTINGS)}
"""Without the sections, which are named by a key of theirs."""


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


@pytest.mark.parametrize(("old", "new"), KEYS.items())
def test_an_old_key_is_refused_with_the_new_one_wherever_it_comes_from(old: str, new: str, tmp_path: Path) -> None:
    said = rf"{old}: renamed to `{new}` in 0\.4\. Write `{new}`"
    with pytest.raises(ConfigError, match=rf"^mine\.yaml\.{said}"):
        Settings.from_dict(_nested(old, 1), "mine.yaml")
    with pytest.raises(ConfigError, match=rf"^--set {said}"):
        parse_override(f"{old}=1")
    (tmp_path / "old.yaml").write_text(f"{old.replace('.', ': {', 1)}: 1{'}' * old.count('.')}\n")
    (tmp_path / "new.yaml").write_text("base: old\n")
    with pytest.raises(ConfigError, match=rf"^old\.yaml\.{said}"):
        read_run("new", presets=tmp_path)
    with pytest.raises(ConfigError, match=said):
        FederatedController("dsfedmed", merge(Settings().to_dict(), _nested(old, 1)))  # a job's configuration


def test_a_renamed_section_is_named_by_the_keys_in_it() -> None:
    with pytest.raises(ConfigError, match=r"s\.waits: renamed to `timeouts` in 0\.4"):
        Settings.from_dict({"waits": {}}, "s")
    with pytest.raises(ConfigError, match=r"s\.waits: renamed to `timeouts` in 0\.4"):
        Settings.from_dict({"waits": 5}, "s")


def test_all_old_keys_are_told_at_once() -> None:
    """A preset of 0.3 is corrected in one go, not error by error."""
    values = {"schedule": {"every": 5, "at": "sites"}, "waits": {"after_enough_s": 60}}
    with pytest.raises(ConfigError) as caught:
        Settings.from_dict(values, "mine.yaml")
    assert caught.value.where == "mine.yaml.waits.after_enough_s"
    assert caught.value.fix == (
        "Write `timeouts.straggler_grace_s`; renamed as well: `schedule.every` to `schedule.interval_rounds`, "
        "`schedule.at` to `schedule.distil_at`"
    )


def test_every_new_key_is_one_and_no_old_key_is() -> None:
    known = {**Settings().to_dict(), "generator_model": {"base": "embedded"}}
    keys = dict(dotted(known)).keys() | known.keys()
    assert set(SETTINGS.values()) <= keys
    assert not set(SETTINGS) & keys


def test_what_is_not_renamed_passes() -> None:
    refuse_renamed(Settings().to_dict(), "s.")
    refuse_renamed({"schedule": 5, "generator_model": None, "method": {"every": 3}}, "s.")
    refuse_renamed_word("report", {"recipe": "prepare-data"})


def test_an_old_word_of_the_command_line_is_refused_with_the_new_one() -> None:
    with pytest.raises(ConfigError, match=r"^recipe: renamed to `prepare-data` in 0\.4\. Write `prepare-data`$"):
        refuse_renamed_word("recipe", {"recipe": "prepare-data"})


def test_the_presets_of_the_jobs_hold_no_old_key() -> None:
    for path in sorted((Path(__file__).resolve().parents[1] / "jobs").glob("*/presets/*.yaml")):
        read_preset(path)


@pytest.mark.parametrize(("old", "new"), (KEYS | COMMANDS | OPTIONS).items())
def test_the_upgrade_notes_list_every_renamed_word(old: str, new: str) -> None:
    text = (Path(__file__).resolve().parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    notes = text.partition("### Upgrading from 0.3")[2].partition("\n## ")[0]
    rows = [row for row in notes.splitlines() if row.startswith("|")]
    assert any(old in row and new in row for row in rows)
