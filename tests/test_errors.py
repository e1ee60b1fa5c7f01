# SPDX-License-Identifier: Apache-2.0
"""Errors carry where, why and how to fix it, also across process borders."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from dsfedmed.errors import (
    LONGEST_REASON,
    CheckpointError,
    ConfigError,
    DataError,
    DSFedMedError,
    PayloadError,
    StoreError,
    one_line,
    without_paths,
    worded,
)

KINDS = (DataError, ConfigError, PayloadError, CheckpointError, StoreError)


@pytest.mark.parametrize("kind", KINDS)
def test_the_message_names_place_reason_and_fix(kind: type[DSFedMedError]) -> None:
    error = kind(Path("site_a/datalist.json"), "lists no image", "Add images")
    assert str(error) == "site_a/datalist.json: lists no image. Add images"
    assert (error.where, error.reason, error.fix) == ("site_a/datalist.json", "lists no image", "Add images")
    assert isinstance(error, DSFedMedError)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copied_error_is_whole(kind: type[DSFedMedError]) -> None:
    """Copying goes the way of pickling (`__reduce__`), as a process pool does with an error."""
    twin = copy.copy(kind(Path("a"), "b", "c"))
    assert type(twin) is kind
    assert str(twin) == "a: b. c"
    assert (twin.where, twin.reason, twin.fix) == ("a", "b", "c")


def test_kinds_are_told_apart() -> None:
    for kind in KINDS:
        assert [other for other in KINDS if issubclass(kind, other)] == [kind]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("bad value 'MON\x00\x80='\r\n  at 7"), "bad value 'MON??=' at 7"),
        (ValueError("Größe \ud800"), "Größe ?"),
        (ValueError(" \n"), "ValueError"),
        (OSError(), "OSError"),
        (ValueError("x" * 900), "x" * LONGEST_REASON),
    ],
)
def test_what_decoders_say_becomes_one_line(error: Exception, words: str) -> None:
    assert worded(error) == words


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/mia/runs/a/store/fit base.json: cannot be read", "fit base.json: cannot be read"),
        ("see '/tmp/x/report.html', or /data/klinik/images.", "see 'report.html', or images."),
        ("C:\\Users\\mia\\run\\record.json: the disk is full", "record.json: the disk is full"),
        ("2 of 3 sites and/or 1/2, https://example.org/a/b", "2 of 3 sites and/or 1/2, https://example.org/a/b"),
        ("store/rounds.json and light_unet/learning_rate", "store/rounds.json and light_unet/learning_rate"),
    ],
)
def test_of_a_path_of_this_machine_only_the_name_stays(text: str, left: str) -> None:
    assert without_paths(text) == left


def test_below_a_known_folder_the_rest_stays_though_its_name_has_blanks() -> None:
    told = "/srv/my runs/a/store/rounds.json: is damaged; /srv/my runs/a: is in use"
    assert without_paths(told, ["/srv/my runs/a"]) == "store/rounds.json: is damaged; a: is in use"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Größe 3 µm, 患者", "Größe 3 µm, 患者"),
        ("a\nb\tc", "a b c"),
        ("\x1b[2Jx\x07\x9b", "?[2Jx??"),
        ("\u202egnp.exe", "?gnp.exe"),
        ("\udcff\ud800", "??"),
    ],
)
def test_one_line_shows_letters_and_no_commands(text: str, line: str) -> None:
    assert one_line(text) == line
    assert one_line(line) == line
    error = DataError(Path(f"/site/{text}.png"), f"holds {text}", f"Rename {text}")
    assert str(error) == f"/site/{line}.png: holds {line}. Rename {line}"
