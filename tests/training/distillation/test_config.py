# SPDX-License-Identifier: Apache-2.0
"""Options of the mutual distillation: round trip, and wrong ones refused by name."""

from __future__ import annotations

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.training.distillation.config import ServerDistillationConfig


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batchsize": 4}, "Did you mean 'batch_size'"),
        ({"learn": "neither"}, "Use one of both, teacher, student"),
        ({"batch_size": 0}, "server_distillation.batch_size"),
        ({"grid": "sam"}, "Use one of teacher, student"),
        ({"autocast": "half"}, "Use one of off, bfloat16, float16"),
    ],
)
def test_wrong_options_are_refused_by_name(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ServerDistillationConfig.from_dict(values)


def test_options_come_back_from_a_preset() -> None:
    config = ServerDistillationConfig(batch_size=4, learn="student", grid="student", autocast="bfloat16")
    assert ServerDistillationConfig.from_dict(config.to_dict()) == config
