# SPDX-License-Identifier: Apache-2.0
"""Run a method from Python, as `dsfedmed run` does, and check a site, as `dsfedmed check-site` does."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsfedmed.api.results import Results
from dsfedmed.cli.job.words import add_run_options
from dsfedmed.errors import ConfigError
from dsfedmed.methods import METHODS

if TYPE_CHECKING:
    from dsfedmed.data.checks import SiteCheck


def run(
    method: str,
    /,
    sites: str | Path,
    out: str | Path,
    preset: str | Path = "cpu",
    unseen: Sequence[str] = (),
    engine: str = "local",
    **options: Any,
) -> Results:
    """Run a federation on this machine and return its results; call it again to resume an interrupted run.

    Example:
        ``dsfedmed.run("dsfedmed", "data/sites", "runs/first", unseen=["site_d"], teacher="teacher.safetensors",
        rounds=5, schedule={"joint_weight": 0.5})``

    Args:
        method: a key of `dsfedmed.methods.METHODS`.
        sites: folder with one folder per site.
        out: the run folder.
        preset: name of one of the method's presets, or a path to a YAML file.
        unseen: sites held out until the end.
        engine: "local" (this process), "local-processes" or "nvflare" (its simulator); the results are the same.
        options: those of `dsfedmed run` with underscores (``teacher``, ``seed``, ``threads``, ``reuse``); every other
            name is a setting, a section a mapping (``method={"label_site": "site_a"}`` has the method's own).

    Raises:
        ConfigError: the method, an option or a setting is not known or not usable.
        DSFedMedError: whatever stopped the run; what is finished is kept.
    """
    if method not in METHODS:
        raise ConfigError("method", f"{method} is none of the methods", f"Use {', '.join(sorted(METHODS))}")
    from dsfedmed.cli.job.command import run_method
    from dsfedmed.installation.shipped import job_folder

    given = {"sites": sites, "out": out, "preset": preset, "unseen": list(unseen), "engine": engine, **options}
    run_method(_arguments(given), method, job_folder(method))
    return Results.of(out)


def check_site(folder: str | Path) -> SiteCheck:
    """Open every file of a site folder and return its findings, errors first."""
    from dsfedmed.data.review.whole_site import check_whole_site

    return check_whole_site(folder)[0]


def _arguments(given: Mapping[str, Any]) -> argparse.Namespace:
    """Return what the command line would be parsed to; names that are no option become settings."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_run_options(parser)
    known = {action.dest: action for action in parser._actions if action.option_strings}
    words: list[str] = []
    settings: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known or isinstance(value, Mapping):  # `teacher` is a file, and a section of the settings
            settings[name] = value
        elif value is not None:
            words += _words(known[name], value)
    words += [f"--set={key}={json.dumps(value)}" for key, value in _dotted(settings)]
    try:
        return parser.parse_args(words)
    except argparse.ArgumentError as error:
        raise ConfigError(str(error.argument_name), error.message, "See `dsfedmed run --help`") from error


def _words(action: argparse.Action, value: Any) -> list[str]:
    option = action.option_strings[0]
    if action.nargs == 0:
        return [option] if value else []
    values = value if isinstance(value, (list, tuple)) else [value]
    return [f"{option}={one}" for one in values]


def _dotted(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
