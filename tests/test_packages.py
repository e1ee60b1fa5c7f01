# SPDX-License-Identifier: Apache-2.0
"""Versions of two parties: this package exactly, those under it by their first two numbers."""

from __future__ import annotations

import pytest

from dsfedmed.packages import ABSENT, PACKAGES, differing_versions, versions
from dsfedmed.version import VERSION

SERVER = {
    "dsfedmed": "0.4.0", "python": "3.11.7", "torch": "2.8.0+cu128", "monai": "1.6.0", "nvflare": "2.9.1",
    "diffusers": "0.42.1", "peft": "0.17.0",
}  # fmt: skip


def test_a_party_says_its_own_version_and_those_of_every_package_that_is_compared() -> None:
    found = versions()
    assert found["dsfedmed"] == VERSION
    assert set(found) == {"dsfedmed", "python", *PACKAGES}
    assert all(found.values())
    assert set(PACKAGES) >= {"nvflare", "monai", "torch", "diffusers", "peft"}
    assert differing_versions(found, found, "the server") == ""


@pytest.mark.parametrize(
    "change", [{"torch": "2.8.3"}, {"torch": "2.8.0"}, {"monai": "1.6.1rc1"}, {"python": "3.12.0"}]
)
def test_a_patch_a_build_and_python_make_no_difference(change: dict[str, str]) -> None:
    assert differing_versions({**SERVER, **change}, SERVER, "the server") == ""


@pytest.mark.parametrize(
    ("package", "version"),
    [("dsfedmed", "0.4.1"), ("torch", "2.9.0"), ("monai", "2.6.0"), ("nvflare", "2.10.1"), ("diffusers", "0.4"),
     ("peft", "0.18.0"), ("peft", ABSENT)],
)  # fmt: skip
def test_both_sides_are_named(package: str, version: str) -> None:
    said = differing_versions({**SERVER, package: version}, SERVER, "the server")
    assert said == f"{package} {version} where the server has {SERVER[package]}"


def test_every_difference_is_named_and_who_says_nothing_differs() -> None:
    other = {**SERVER, "dsfedmed": "0.3.0", "torch": "2.7.1"}
    said = differing_versions(other, SERVER, "the server")
    assert said == "dsfedmed 0.3.0 where the server has 0.4.0, torch 2.7.1 where the server has 2.8.0+cu128"
    silent = {name: version for name, version in SERVER.items() if name != "peft"}
    assert differing_versions(silent, SERVER, "the server") == "peft of no told version where the server has 0.17.0"
    assert differing_versions({}, {}, "the server")
