# SPDX-License-Identifier: Apache-2.0
"""Extras: what is missing is said with the command that installs it, and the table is that of pyproject.toml."""

from __future__ import annotations

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from dsfedmed.cli.main import main
from dsfedmed.errors import ConfigError
from dsfedmed.installation import extras
from dsfedmed.installation.extras import EXTRAS, extra_of, require_extras

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LATER = {name: name for name in ("transformers", "accelerate", "mlflow", "wandb")}
CHOSEN = {"tracking", "privacy"}
"""Extras that a federation does without."""


def names(requirements: list[str]) -> set[str]:
    return {requirement.split(">")[0].split("[")[0].split("<")[0] for requirement in requirements}


def test_the_table_is_that_of_the_project() -> None:
    declared = {name: names(packages) for name, packages in PROJECT["optional-dependencies"].items()}
    assert set(EXTRAS) == set(declared) - {"all"}
    held = packages_distributions() | {module: [name] for module, name in LATER.items()}
    for name, modules in EXTRAS.items():
        assert {held[module][0].lower() for module in modules} == declared[name]


def test_all_is_all_of_them_and_requirements_txt_lists_them() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert set(everything.partition("[")[2].rstrip("]").split(",")) == set(EXTRAS) - CHOSEN
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = {*PROJECT["dependencies"]}
    for extra in set(EXTRAS) - CHOSEN:
        wanted |= {*PROJECT["optional-dependencies"][extra]}
    assert {line for line in lines if line and not line.startswith("#")} == wanted


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda module: None if module in ("timm", "matplotlib") else object())
    require_extras("nvflare", "generator")
    with pytest.raises(ConfigError, match=r"timm, matplotlib: not installed\. .*'dsfedmed\[teacher,report\]'"):
        require_extras("generator", "teacher", "report")


@pytest.mark.parametrize(
    "words", ["demo --out demo", "check-site sites --pictures a.html", "run fedbn --sites a --out b"]
)
def test_a_command_asks_before_it_does_anything(
    words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extras, "find_spec", lambda module: None if module == "matplotlib" else object())
    assert main(words.split()) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["dsfedmed: matplotlib: not installed. Install it with: pip install 'dsfedmed[report]'"]
    assert list(tmp_path.iterdir()) == []


def test_a_module_s_extra() -> None:
    assert (extra_of("diffusers.models"), extra_of("timm"), extra_of("dsfedmed.cli")) == ("generator", "teacher", None)
