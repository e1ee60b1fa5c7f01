# SPDX-License-Identifier: Apache-2.0
"""No arrow upwards between the rooms, NVFlare in one room only, and no module that imports itself in a circle."""

from __future__ import annotations

from tests.architecture.source import BENCHMARKS, PRODUCT, Module, module_of, modules, of_package

_NUMERICS = ("algorithms", "store", "exchange")
_PARTS = (*_NUMERICS, "data", "networks", "generator")
_TRAINING = (*_PARTS, "bundles", "training", "evaluation")
_SHARED = (*_TRAINING, "reporting", "federated/wire", "federated/party")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "algorithms": (),
    "installation": (),
    "store": (),
    "exchange": ("algorithms", "store"),
    "data": _NUMERICS,
    "networks": _NUMERICS,
    "generator": _NUMERICS,
    "bundles": _PARTS,
    "training": (*_PARTS, "bundles"),
    "evaluation": (*_PARTS, "bundles"),
    "reporting": _TRAINING,
    "label": ("data", "bundles", "store"),
    "prediction": ("data", "networks", "bundles", "store", "reporting"),
    "federated/wire": (*_TRAINING, "reporting"),
    "federated/party": (*_TRAINING, "reporting", "federated/wire"),
    "planning": (*_TRAINING, "reporting"),
    "federated/server": _SHARED,
    "federated/site": _SHARED,
    "federated/methods": (*_SHARED, "federated/server"),
    "federated/local": (*_SHARED, "federated/server", "federated/site", "federated/methods"),
    "federated/privacy": (),
    "flare": (*_SHARED, "federated/server", "federated/site", "federated/methods", "federated/local"),
    "cli": (
        *_SHARED, "planning", "installation", "label", "prediction", "federated/server", "federated/site",
        "federated/methods", "federated/local", "flare",
    ),
    "api": ("installation", "data", "reporting", "cli"),
}  # fmt: skip
"""Every room, from the bottom up, and the rooms that it may import. Modules of the package itself (errors, settings,
ranges) are open to all."""
OF_SETTINGS = ("algorithms", "bundles", "generator", "networks", "training")
"""Rooms whose options are sections of the settings, which alone of the package's own modules import rooms."""
SETTINGS = ("dsfedmed.settings", "dsfedmed.settings_sections")
FRONT_DOOR: dict[str, tuple[str, ...]] = {"dsfedmed": ("prediction", "api")}
"""Rooms of which the package itself offers a name, fetched late."""


def arrows(module: Module) -> list[tuple[str, int]]:
    """Return the modules of ours that one imports, wherever in its text, with the line."""
    found = [(module_of(entry.name), entry.line) for entry in module.imports]
    return [(target.name, line) for target, line in found if target is not None and target is not module]


def test_every_room_has_its_place() -> None:
    assert {module.room for module in of_package(PRODUCT)} - {"", "federated"} == set(MAY_IMPORT)
    below: set[str] = set()
    for room, allowed in MAY_IMPORT.items():
        assert set(allowed) <= below, f"{room} may import a room above it"
        below.add(room)


def test_no_arrow_leads_upwards() -> None:
    wrong = [
        f"{module.name}:{line} imports {target}"
        for module in of_package(PRODUCT)
        for target, line in arrows(module)
        if modules()[target].room not in ("", module.room, *_allowed(module))
    ]
    assert not wrong, wrong


def _allowed(module: Module) -> tuple[str, ...]:
    if module.name in SETTINGS:
        return OF_SETTINGS
    return FRONT_DOOR.get(module.name) or MAY_IMPORT.get(module.room, ())


def test_server_and_site_do_not_know_each_other() -> None:
    assert "federated/site" not in MAY_IMPORT["federated/server"]
    assert "federated/server" not in MAY_IMPORT["federated/site"]


def test_the_product_does_not_import_its_benchmarks() -> None:
    wrong = [m.name for m in of_package(PRODUCT) for target, _ in arrows(m) if target.split(".")[0] == BENCHMARKS]
    assert not wrong, wrong


def test_nvflare_is_imported_in_one_room() -> None:
    users = {m.name: m.room for m in of_package(PRODUCT) for entry in m.imports if _is_nvflare(entry.name)}
    assert set(users.values()) == {"flare"}, users


def _is_nvflare(name: str) -> bool:
    return name.split(".")[0] == "nvflare"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: _when_imported(module) for name, module in modules().items()}
    assert not _circle(graph), " -> ".join(_circle(graph))


def test_a_circle_would_be_found() -> None:
    assert _circle({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == ["b", "c", "b"]
    assert _circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def _when_imported(module: Module) -> list[str]:
    """Return the modules that are imported together with this one."""
    early = [entry.name for entry in module.imports if not entry.is_late and not entry.is_for_types]
    found = {target.name for target in map(module_of, early) if target is not None}
    return sorted(found - {module.name})


def _circle(graph: dict[str, list[str]]) -> list[str]:
    """Return a path that ends where it began; empty where there is none."""
    done: set[str] = set()
    for start in graph:
        stack = [(start, iter(graph[start]))]
        path = [start]
        while stack and start not in done:
            for target in stack[-1][1]:
                if target in path:
                    return [*path[path.index(target) :], target]
                if target not in done:
                    stack.append((target, iter(graph[target])))
                    path.append(target)
                    break
            else:
                done.add(stack.pop()[0])
                path.pop()
    return []
