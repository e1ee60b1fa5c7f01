# SPDX-License-Identifier: Apache-2.0
"""The fields of a generator's configuration: each one documented, and the same in what is checked."""

from __future__ import annotations

import dataclasses
import re

from dsfedmed.generator import GeneratorConfig
from dsfedmed.generator.config_fields import GeneratorFields


def test_every_field_is_documented_in_its_order() -> None:
    assert GeneratorFields.__doc__ is not None
    described = re.findall(r"^        (\w+): ", GeneratorFields.__doc__, re.MULTILINE)
    assert described == [field.name for field in dataclasses.fields(GeneratorFields)]


def test_the_configuration_adds_and_changes_none() -> None:
    assert GeneratorConfig().to_dict() == {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(GeneratorFields()).items()
    }
