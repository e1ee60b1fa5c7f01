# SPDX-License-Identifier: Apache-2.0
"""What a bundle folder must fulfil, committed or released; every check is a function that returns its complaints.

What MONAI's own commands ask (metadata schema, network input and output, workflow properties) and what they leave
out: that train and inference build one network, that the output has the stated size, that the metadata fit the
configuration, that weights belong to the network, that what jobs may set is there, and that nothing in the folder is
code. A bundle that breaks the rules is not opened, so that nothing of it runs.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
from monai.bundle import ConfigParser
from monai.bundle.properties import InferProperties, MetaProperties, TrainProperties
from monai.utils import BundleProperty, BundlePropertyConfig
from torch import nn

from dsfedmed.bundles.answer import answer_to_zeros
from dsfedmed.bundles.components import innermost
from dsfedmed.bundles.definition import BundleDefinition, lay_values
from dsfedmed.bundles.documents import EVALUATE, INFERENCE, METADATA, TRAIN, check_documents, read_config
from dsfedmed.bundles.layout import layout_complaints, logging_complaints
from dsfedmed.bundles.monai_only.document import complaints as monai_only_complaints
from dsfedmed.bundles.settings import RUN_SETTINGS, declared_settings, schema
from dsfedmed.errors import ConfigError, DSFedMedError, worded
from dsfedmed.networks.checkpoints import load_weights

WEIGHTS = "models/model.pt"
SHARED = ("network_def", "networks", "image_size", "in_channels", "num_classes", "nested", "window", "inferer")
CARD = ("# Model overview", "## Data", "## Training configuration", "### Input", "### Output", "## Performance",
        "## MONAI Bundle Commands", "# References", "# License")  # fmt: skip
WORKFLOWS: dict[str, tuple[list[str], Any]] = {
    "train": ([TRAIN], TrainProperties),
    "evaluate": ([TRAIN, EVALUATE], TrainProperties),
    "inference": ([INFERENCE], InferProperties),
}
FOR_TRAINING = ("settings", "metadata fits the configuration", "one network")
"""Checks that a bundle without train.json (one that only samples, such as the generator's) has nothing to show for."""
ABSOLUTE = re.compile(r'"/(?!/)\w|[A-Za-z]:\\\\|/home/|/Users/|/root/')


@dataclass(frozen=True)
class CheckResult:
    """One check's name and its complaints; no complaint means passed."""

    name: str
    complaints: tuple[str, ...]


def schema_path() -> Path:
    """Return the metadata schema's file, which ``monai.bundle verify_metadata --filepath`` takes as well."""
    return Path(str(importlib.resources.files("dsfedmed.bundles") / "metadata.schema.json"))


def check_bundle(folder: Path | str, *, weights: bool = False, also_allowed: Collection[str] = ()) -> list[CheckResult]:
    """Run every check on a bundle folder.

    Args:
        folder: the bundle.
        weights: complain when ``models/model.pt`` is missing (a release, or a bundle to serve).
        also_allowed: classes and functions that the party accepts beyond `dsfedmed.bundles.allowed_classes`.

    Returns:
        One entry per check, in order. Where files are missing or break the rules, the checks that would open the
        bundle are left out.
    """
    root = Path(folder)
    results = [CheckResult("layout", tuple(layout_complaints(root)))]
    if results[0].complaints:
        return results
    results.append(CheckResult("rules", _complaints(partial(_rules, also_allowed=also_allowed), root)))
    if results[1].complaints:
        return results
    checks: dict[str, Callable[[Path], Iterator[str]]] = {
        "metadata": _metadata,
        "settings": _settings,
        "metadata fits the configuration": partial(_metadata_fits, also_allowed=also_allowed),
        "one network": _one_network,
        "properties": _properties,
        "input and output": _input_output,
        "model card": _card,
        "MONAI alone": monai_only_complaints,
    }
    if not (root / TRAIN).is_file():
        checks = {name: check for name, check in checks.items() if name not in FOR_TRAINING}
    if weights or (root / WEIGHTS).is_file():
        checks["weights"] = _weights
    return results + [CheckResult(name, _complaints(check, root)) for name, check in checks.items()]


def require_bundle(folder: Path | str, *, weights: bool = False, also_allowed: Collection[str] = ()) -> None:
    """Raise unless every check passes.

    Raises:
        ConfigError: naming the bundle, the first check that failed and its complaint.
    """
    for result in check_bundle(folder, weights=weights, also_allowed=also_allowed):
        if result.complaints:
            more = f" (and {len(result.complaints) - 1} more)" if len(result.complaints) > 1 else ""
            reason = f"{result.name}: {result.complaints[0]}{more}"
            raise ConfigError(folder, reason, "`dsfedmed check-bundle` lists all of it.")


def _complaints(check: Callable[[Path], Iterator[str]], root: Path) -> tuple[str, ...]:
    try:
        return tuple(check(root))
    except DSFedMedError as error:
        return (str(error),)
    except Exception as error:  # a network that cannot be built or run raises whatever it likes
        cause = innermost(error)
        return (f"it cannot be built or run ({type(cause).__name__}: {worded(Exception(cause))})",)


def _rules(root: Path, also_allowed: Collection[str]) -> Iterator[str]:
    yield from logging_complaints(root)
    for name, document in check_documents(root, also_allowed).items():
        if ABSOLUTE.search(json.dumps(document)):
            yield f"{name} holds an absolute path"


def _metadata(root: Path) -> Iterator[str]:
    metadata = read_config(root / METADATA)
    for error in jsonschema.Draft201909Validator(schema()).iter_errors(metadata):
        yield f"{'.'.join(str(part) for part in error.absolute_path) or 'top level'}: {error.message}"
    if metadata.get("version") not in metadata.get("changelog", {}):
        yield f"version {metadata.get('version')} has no changelog entry"


def _settings(root: Path) -> Iterator[str]:
    """Complain about run settings that are not declared, and about declared ones that set nothing there is."""
    declared = declared_settings(read_config(root / METADATA), METADATA)
    train, inference = read_config(root / TRAIN), read_config(root / INFERENCE)
    yield from (f"'{name}' is not declared in {METADATA}" for name in RUN_SETTINGS if name not in declared)
    for setting in declared.values():
        ids = [*setting.sets, *(f"{setting.blocks}::{choice}" for choice in setting.choices if setting.blocks)]
        lay_values(train, dict.fromkeys(ids), root / TRAIN)
        shared = [key for key in ids if key.split("::")[0] in inference]
        lay_values(inference, dict.fromkeys(shared), root / INFERENCE)


def _metadata_fits(root: Path, also_allowed: Collection[str]) -> Iterator[str]:
    definition = BundleDefinition(root, also_allowed=also_allowed)
    data_format = read_config(root / METADATA)["network_data_format"]
    image, pred = data_format["inputs"]["image"], data_format["outputs"]["pred"]
    classes = definition.num_classes
    names = {str(k) for k in range(classes + 1)}
    for what, found, expected in (
        ("input channels", image["num_channels"], definition.in_channels),
        ("input channel names", len(image["channel_def"]), definition.in_channels),
        ("input size", image["spatial_shape"], list(definition.image_size)),
        ("output channels", pred["num_channels"], classes),
        ("output size", pred["spatial_shape"], list(definition.image_size)),
        ("label values", set(pred["channel_def"]), names),
        ("channel_def of train.json", definition.document.get("channel_def"), pred["channel_def"]),
    ):
        if found != expected:
            yield f"{what}: {found} in the metadata, {expected} in the configuration"


def _one_network(root: Path) -> Iterator[str]:
    train, inference = read_config(root / TRAIN), read_config(root / INFERENCE)
    yield from (f"{key} differs between train.json and inference.json" for key in SHARED
                if train.get(key) != inference.get(key))  # fmt: skip


def _properties(root: Path) -> Iterator[str]:
    """Complain about required ids of MONAI's workflows; ``check_properties`` itself needs data to start from."""
    for name, (configs, kind) in WORKFLOWS.items():
        if not all((root / config).is_file() for config in configs):
            continue
        parser = ConfigParser()
        parser.read_config([str(root / config) for config in configs])
        parser.read_meta(str(root / METADATA))
        for key, entry in {**kind, **MetaProperties}.items():
            if entry[BundleProperty.REQUIRED] and entry[BundlePropertyConfig.ID] not in parser:
                yield f"{name}: required '{entry[BundlePropertyConfig.ID]}' ({key}) is missing"


def _input_output(root: Path) -> Iterator[str]:
    """Forward shapes: ``verify_net_in_out`` looks at channels and type, this at the size as well."""
    data_format = read_config(root / METADATA)["network_data_format"]
    image, pred = data_format["inputs"]["image"], data_format["outputs"]["pred"]
    shape = (1, image["num_channels"], *image["spatial_shape"])
    only_samples = not (root / TRAIN).is_file()
    logits = answer_to_zeros(partial(_network, root), shape, draws=only_samples)
    expected = (1, pred["num_channels"], *pred["spatial_shape"])
    if tuple(logits.shape) != expected or str(logits.dtype) != f"torch.{pred['dtype']}":
        yield f"the network answers {tuple(logits.shape)} {logits.dtype}, the metadata say {expected} {pred['dtype']}"


def _card(root: Path) -> Iterator[str]:
    lines = (root / "docs/README.md").read_text(encoding="utf-8").splitlines()
    found = [line.strip() for line in lines if line.strip() in CARD]
    yield from (f"docs/README.md has no section '{heading}'" for heading in CARD if heading not in found)
    if not set(CARD) - set(found) and found != list(CARD):
        yield "docs/README.md has its sections in another order than the model zoo"


def _weights(root: Path) -> Iterator[str]:
    load_weights(_network(root), root / WEIGHTS, root.name)
    yield from ()


def _network(root: Path) -> nn.Module:
    """Build a new network, as inference does."""
    network: nn.Module = ConfigParser(read_config(root / INFERENCE)).get_parsed_content("network_def")
    return network
