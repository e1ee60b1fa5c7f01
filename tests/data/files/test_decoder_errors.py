# SPDX-License-Identifier: Apache-2.0
"""What decoders say becomes one line of text."""

from __future__ import annotations

import pytest

from dsfedmed.data.files.decoder_errors import MOST, worded


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("bad value 'MON\x00\x80='\r\n  at 7"), "bad value 'MON??=' at 7"),
        (ValueError("Größe \ud800"), "Größe ?"),
        (ValueError(" \n"), "ValueError"),
        (OSError(), "OSError"),
        (ValueError("x" * 900), "x" * MOST),
    ],
)
def test_the_words_of_an_error(error: Exception, words: str) -> None:
    assert worded(error) == words
