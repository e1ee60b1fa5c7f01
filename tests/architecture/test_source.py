# SPDX-License-Identifier: Apache-2.0
"""The reader of the source sees what the rules are about; a reader that sees nothing would pass them all."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.source import Import, Module, _imports, module_of, modules, of_package

EXAMPLE = """
import torch
from nvflare.apis import signal
from . import near
from ..wire import codec as c
if TYPE_CHECKING:
    from dsfedmed.settings import Settings
try:
    import tomllib
except ImportError:
    import tomli
class A:
    import os
    def f(self):
        if True:
            import dsfedmed.flare.recipe
"""


def test_imports_are_found_wherever_they_are_written() -> None:
    found = list(_imports(ast.parse(EXAMPLE).body, "dsfedmed.federated.site", late=False, types=False))
    assert [entry.name for entry in found] == [
        "torch",
        "nvflare.apis.signal",
        "dsfedmed.federated.site.near",
        "dsfedmed.federated.wire.codec",
        "dsfedmed.settings.Settings",
        "tomllib",
        "tomli",
        "os",
        "dsfedmed.flare.recipe",
    ]
    assert found[4].is_for_types
    assert found[-1] == Import("dsfedmed.flare.recipe", 16, is_late=True, is_for_types=False)
    assert not any(entry.is_late for entry in found[:-1])


def test_every_file_is_read() -> None:
    assert len(of_package("dsfedmed")) > 250
    assert len(of_package("dsfedmed_benchmarks")) > 40
    assert "dsfedmed.federated.server.stages.rounds" in modules()


def test_a_name_belongs_to_the_module_that_defines_it() -> None:
    found = module_of("dsfedmed.errors.DSFedMedError")
    assert found is not None
    assert found.name == "dsfedmed.errors"
    assert module_of("torch.nn") is None


def test_the_rooms_of_the_federation_are_its_folders() -> None:
    assert modules()["dsfedmed.federated.server.stages.rounds"].room == "federated/server"
    assert modules()["dsfedmed.data.datasets.isic"].room == "data"
    assert modules()["dsfedmed.settings"].room == ""


def test_methods_are_told_from_functions(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("def f(a): ...\nclass A:\n    def g(self): ...\n    @staticmethod\n    def h(a): ...\n")
    assert {f.name: bound for f, bound in Module("x", path).functions()} == {"f": False, "g": True, "h": False}
