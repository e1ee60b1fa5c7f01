# SPDX-License-Identifier: Apache-2.0
"""What a server may send in the place of settings: any JSON, near to what is declared and far from it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from dsfedmed.bundles.settings import DeclaredSetting

NAMES = ("image_size", "in_channels", "num_classes", "nested", "channel_def", "learning_rate", "weight_decay", "loss",
         "augmentation", "preprocessing", "channels", "strides", "dropout", "variant", "network", "layers")  # fmt: skip
CANARY = Path(tempfile.gettempdir()) / f"dsfedmed-canary-{os.getpid()}"
SHOUT = f"__import__('pathlib').Path({str(CANARY)!r}).touch()"
WORDS = st.sampled_from(
    [*NAMES, "bce", "dice", "standard", "none", "qkv", "_target_", "_mode_", "_requires_", "network_def::_target_",
     "@loss", "%loss", f"${SHOUT}", "torch.nn.functional.torch.os.system", "../x", "/etc/passwd", "command",
     f"touch {CANARY}"],
) | st.text(max_size=8)  # fmt: skip
NUMBERS = st.integers() | st.floats() | st.booleans() | st.none() | st.sampled_from([0.5, 1, 3, 16, 64])
JSON = st.recursive(
    NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


def is_of(setting: DeclaredSetting, value: Any) -> bool:
    """The declared type, written down a second time."""
    items = value if isinstance(value, list) else [value]
    if setting.kind == "label_names":
        return isinstance(value, dict) and all(k.isdigit() and not set(v) & set("$@%/.:#\\") for k, v in value.items())
    if setting.kind in ("string", "strings"):
        return all(item in setting.choices for item in items)
    if setting.kind == "boolean":
        return value in (True, False)
    wanted = int if setting.kind in ("integer", "integers") else float
    in_range = setting.minimum is None or all(setting.minimum <= item <= setting.maximum for item in items)
    return in_range and all(type(item) is wanted for item in items)
