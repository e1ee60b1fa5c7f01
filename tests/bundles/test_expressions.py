# SPDX-License-Identifier: Apache-2.0
"""The grammar of expressions: what bundles compute passes, everything else of Python's does not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.bundles.expressions import parse_expression

PIECES = ("@network", ".to(", ")", "'", '"', "os.system", "torch", ".", "(", "[", "]", "lambda", ":", "#", "::",
          "@or", " ", "__import__", "eval", "+", "'/models'", "@bundle_root", "1", ",", "\\", "\n", "\0", "{", "}",
          "f'", "if", "else")  # fmt: skip


def allowed(text: str) -> bool:
    found = parse_expression(text)
    return found is not None and found.is_allowed()


@pytest.mark.parametrize(
    "text",
    ["@a + 1", "@network.parameters()", "@a::b#c.to(@device)", "2 * @k // 3 - 1", "[@k, (1, 2)]", "@image_size[0]",
     "{'a': 1}", "monai.utils.set_determinism(seed=None)", "monai.handlers.from_engine(['loss'], first=True)",
     "@bundle_root + '/models'", "@ckpt_dir + '/model.pt'", "torch.float32", "1 if @a == 2 else 3"],
)  # fmt: skip
def test_what_bundles_compute(text: str) -> None:
    assert allowed(text)


@pytest.mark.parametrize(
    "text",
    ["import os", "__import__('os')", "open('x')", "torch.load('x')", "(lambda: 1)()", "[x for x in (1,)]", "1 +",
     "@network.__class__", "@network.state_dict()", "eval('1')", "().__class__", "@network.to(open('x'))", "f'{@a}'",
     "monai.utils.set_determinism(seed=__import__('os'))", "np.load('x')", "torch.device", "os.system", "x", "@a[0:2]",
     "(y := 1)", "not @a", "@a and @b", "2 ** 9", "", "@", "@::a", "@a::", "\0", "@a\n@b",
     "(" * 90 + "1" + ")" * 90 + "("],
)  # fmt: skip
def test_what_python_has_beyond_it(text: str) -> None:
    assert not allowed(text)


@pytest.mark.parametrize(
    "text",
    ["'/etc/passwd'", "'a' + '/b'", "@device + '/b'", "@bundle_root + '/../b'", "@bundle_root + 'b'", "@a + @b", "'..'",
     "b'/x'", "@bundle_root + '/a//b'", "'a b'", "'x@y'", "'@or'", "'@a' + '@b'", "'#'", "'__reference_0'"],
)  # fmt: skip
def test_words_are_no_paths_and_hide_no_references(text: str) -> None:
    assert not allowed(text)


def test_what_is_long_is_refused_unread() -> None:
    assert allowed("+".join(["1"] * 100))
    assert not allowed("+".join(["1"] * 101))


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_no_mixture_gets_further_than_the_grammar(text: str) -> None:
    """Whatever passes holds no name, attribute or quote beyond what the tests above let through.

    What follows "@" is a key of the configuration, whatever it is called.
    """
    if allowed(text):
        text = re.sub(r"@\w+", "@", text)
        assert not any(word in text for word in ("os.system", "__import__", "eval", "lambda", "\\"))
        assert not re.search(r"(?<![\w'\"])f['\"]", text), "a formatted string"
        assert "torch" not in text.replace("'torch'", "").replace('"torch"', "")
