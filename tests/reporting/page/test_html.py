# SPDX-License-Identifier: Apache-2.0
"""Pieces of the page: whatever a name holds, it is text that every page can show."""

from __future__ import annotations

import pytest

from dsfedmed.reporting.page.html import Markup, image, tag, text

HOSTILE = '<script>alert(1)</script>\x1b[2J\ud800\u202e" onload="x'
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;?[2J??&quot; onload=&quot;x"


@pytest.mark.parametrize("piece", [text(HOSTILE), tag("p", HOSTILE), tag("p", title=HOSTILE), image("data:x", HOSTILE)])
def test_a_hostile_name_is_text(piece: Markup) -> None:
    assert SHOWN in piece
    assert piece.encode()


def test_markup_stays() -> None:
    assert text(Markup("<b>\n</b>")) == "<b>\n</b>"
