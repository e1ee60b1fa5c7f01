# SPDX-License-Identifier: Apache-2.0
"""The files of a bundle's folder: what must be there, and that nothing there is code or leads elsewhere."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from pathlib import Path

from dsfedmed.bundles.documents import CONFIGS, EVALUATE, TRAIN

LOGGING = "configs/logging.conf"
FILES = ("LICENSE", *CONFIGS, LOGGING, "docs/README.md", "docs/data_license.txt")
CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".sh", ".bat", ".pkl", ".pickle")
LOG_VALUES = {
    "class": ("logging.StreamHandler", "StreamHandler"),
    "args": ("(sys.stdout,)", "(sys.stderr,)", "()"),
}
"""Python's reader of such a file evaluates these two, and would evaluate others."""
LOG_KEYS = ("keys", "level", "handlers", "qualname", "propagate", "formatter", "format", "datefmt", *LOG_VALUES)


def layout_complaints(root: Path) -> Iterator[str]:
    """Complain about files that are missing, are code, lead elsewhere, or would be read as a further configuration."""
    if not root.is_dir():
        yield f"{root} is not a folder"
        return
    sampling = not (root / TRAIN).is_file() and not (root / EVALUATE).is_file()
    wanted = [name for name in FILES if not (sampling and name in (TRAIN, EVALUATE))]
    yield from (f"{name} is missing" for name in wanted if not (root / name).is_file())
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix.lower() in CODE:
            yield f"{name} is code; a bundle for sites is configuration only"
        if not path.resolve().is_relative_to(root.resolve()):
            yield f"{name} is a link out of the bundle"
        if path.parent == root / "configs" and name not in FILES:
            yield f"{name} is not a configuration of a bundle; the known ones are checked, others would not be"


def logging_complaints(root: Path) -> Iterator[str]:
    """Complain about a ``logging.conf`` that does more than print: Python evaluates parts of such a file."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string((root / LOGGING).read_text(encoding="utf-8"))
    except (configparser.Error, ValueError) as error:
        yield f"{LOGGING} cannot be read ({error})"
        return
    if parser.defaults():
        yield f"{LOGGING} has defaults for all sections"
    for section in parser.sections():
        for key, value in parser.items(section):
            if key not in LOG_KEYS or value not in LOG_VALUES.get(key, (value,)):
                yield f"{LOGGING}: [{section}] {key} = {value[:60]} may not stand there"
