# SPDX-License-Identifier: Apache-2.0
"""Options of the teacher's adaptation."""

from __future__ import annotations

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.training.teacher.config import TeacherConfig


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epoch": 3}, "Did you mean 'epochs'"),
        ({"epochs": 0}, "teacher.epochs"),
        ({"epochs": 2.5}, "not a whole number"),
        ({"tune": "encoder"}, "Use one of decoder, lora, full"),
        ({"dice_weight": -1}, "teacher.dice_weight"),
        ({"flips": "yes"}, "not true or false"),
        ({"autocast": "half"}, "Use one of off, bfloat16, float16"),
        ({"bfloat16": True}, "teacher.bfloat16: unknown key"),
        ({"lora_targets": "qkv, key"}, "teacher.lora_targets: 'key'.*qkv, proj, lin1, lin2"),
        ({"lora_rank": 0}, "teacher.lora_rank"),
    ],
)
def test_wrong_options_are_refused_by_name(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TeacherConfig.from_dict(values)
    assert TeacherConfig.from_dict(TeacherConfig().to_dict()) == TeacherConfig()


def test_yamls_bare_off_is_the_word() -> None:
    assert TeacherConfig.from_dict({"autocast": False}).autocast == "off"
    with pytest.raises(ConfigError, match="'True' is not a choice"):
        TeacherConfig.from_dict({"autocast": True})


def test_targets_are_names_by_commas() -> None:
    assert TeacherConfig(lora_targets="qkv, lin1,stem").lora_layers == ("qkv", "lin1", "stem")
