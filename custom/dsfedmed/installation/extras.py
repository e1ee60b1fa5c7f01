# SPDX-License-Identifier: Apache-2.0
"""What each extra of the installation brings: `pip install 'dsfedmed[EXTRA]'`."""

from __future__ import annotations

from importlib.util import find_spec

from dsfedmed.errors import ConfigError

EXTRAS = {
    "generator": ("diffusers", "peft", "accelerate", "transformers"),
    "teacher": ("segment_anything", "timm", "peft", "torchvision"),
    "report": ("matplotlib",),
    "nvflare": ("nvflare", "tensorboard"),
    "tracking": ("mlflow", "wandb"),
    "privacy": ("opacus",),
}
"""Modules by extra; ``pyproject.toml`` declares the packages."""


def require_extras(*names: str) -> None:
    """See that extras are installed, before anything is computed that they would be missing for.

    Raises:
        ConfigError: modules of one are not there; all that are missing are named, and the command that installs them.
    """
    missing = [name for name in names if any(find_spec(module) is None for module in EXTRAS[name])]
    if missing:
        raise lacking([module for name in missing for module in EXTRAS[name] if find_spec(module) is None], missing)


def lacking(modules: list[str], extras: list[str]) -> ConfigError:
    """Return the error of missing modules, with the command that installs them."""
    wanted = ",".join(dict.fromkeys(extras))
    shown = ", ".join(dict.fromkeys(modules))
    return ConfigError(shown, "not installed", f"Install it with: pip install 'dsfedmed[{wanted}]'")


def extra_of(module: str) -> str | None:
    """Return the extra that brings a module; None where it is of none."""
    top = module.partition(".")[0]
    return next((name for name, modules in EXTRAS.items() if top in modules), None)
