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
