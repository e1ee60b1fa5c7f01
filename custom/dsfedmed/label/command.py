# SPDX-License-Identifier: Apache-2.0
"""The command and the environment variables that start MONAI Label's server."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from dsfedmed.errors import ConfigError

ENVIRONMENT = Path(".venv-label")
SETUP = "Run `make label-setup`, or point --environment to one made from requirements-label.txt."
EXTENSIONS = ("*.nii.gz", "*.nii", "*.png", "*.jpg", "*.jpeg", "*.tif", "*.tiff", "*.bmp")


def python_of(environment: Path) -> Path:
    """Return the interpreter of MONAI Label's environment.

    Raises:
        ConfigError: there is none, or MONAI Label is not installed in it.
    """
    python = environment / "bin" / "python"
    if not python.is_file():
        raise ConfigError(environment, "there is no MONAI Label environment", SETUP)
    if not list(environment.glob("lib/python*/site-packages/monailabel")):
        raise ConfigError(environment, "MONAI Label is not installed in it", SETUP)
    return python.absolute()


def server_command(
    python: Path, app: Path, studies: Path, models: Sequence[str], host: str = "127.0.0.1", port: int = 8000
) -> list[str]:
    """Return the argument list that starts the server.

    Args:
        python: the interpreter of MONAI Label's environment.
        app: the folder that ``workspace.prepare`` wrote.
        studies: folder of images to label; labels go into ``labels/`` there.
        models: names of the models to serve.
        host: address to listen on. MONAI Label has no login by default: anything but 127.0.0.1 opens images, labels
            and weights to the network.
        port: TCP port.
    """
    command = [str(python), "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", str(studies)]
    command += ["--host", host, "--port", str(port), "--uvicorn_app", "dsfedmed.label.server:app"]
    return [*command, "--conf", "models", ",".join(models)]


def server_environment(app: Path) -> dict[str, str]:
    """Return the variables of the server's process: nothing is fetched, nothing is written outside ``app``."""
    return {
        **os.environ,
        "PYTHONPATH": str(app),  # MONAI Label's background tasks read this variable without asking whether it is set
        "MONAI_LABEL_DATASTORE_FILE_EXT": json.dumps(EXTENSIONS),
        "MONAI_LABEL_SESSION_PATH": str(app / "sessions"),
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",  # scoring runs when it is asked for
    }
