# SPDX-License-Identifier: Apache-2.0
"""One entry a method: its workflow is there, its options are read, and every model is shown once."""

from __future__ import annotations

import pytest

from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.methods import METHODS, MODELS, required_models


@pytest.mark.parametrize("key", sorted(METHODS))
def test_an_entry_names_what_is_there(key: str) -> None:
    method = METHODS[key]
    workflow = method.load()
    assert issubclass(workflow, FederatedWorkflow)
    assert workflow.METHOD == key == method.key
    options = method.load_options()
    assert (options is None) == (not method.options)
    assert options is None or callable(options.from_dict)


def test_every_model_is_shown_once_and_in_its_own_colour() -> None:
    keys = [model.key for model in MODELS]
    colours = [model.colour for model in MODELS]
    assert len(set(keys)) == len(keys)
    assert len(set(colours)) == len(colours)
    assert {model.key for method in METHODS.values() for model in method.models} <= set(keys)


@pytest.mark.parametrize("key", sorted(METHODS))
def test_what_a_method_is_held_against_is_shown(key: str) -> None:
    keys = {model.key for model in MODELS}
    assert set(METHODS[key].baselines.values()) <= keys
    assert required_models(key) <= keys
    assert key in required_models(key)


def test_a_method_that_is_none_requires_nothing() -> None:
    assert required_models("fedsgd") == frozenset()
