# SPDX-License-Identifier: Apache-2.0
"""A generator base that the server has as a file, where the sites do not fit one together (`generator.base: given`).

It takes the place of the stage "fit base": its weights lie in the store under that name, and all that follows is the
same.
"""

from __future__ import annotations

from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.generator.base_file import read_base, read_header, require_fit
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.settings import Settings
from dsfedmed.store.files import file_sha256

ENTRY = "fit base"


def check_given_base(settings: Settings, path: Path | None) -> None:
    """See, before any hospital is asked, that the file is there and fits.

    The channels are known when the hospitals have answered; `given_base` looks at them.

    Args:
        settings: of the run; nothing is checked unless they say `generator.base: given`.
        path: the server's file.

    Raises:
        ConfigError: there is no such file, or it was made for another generator.
    """
    if settings.generator.base != "given":
        return
    path = _file(path)
    header = read_header(path)
    known = {"image_size": settings.image_size, "channels": header.generator_model.get("channels")}
    require_fit(header, GeneratorConfig.from_dict({**settings.generator_model, **known}), path)


def given_base(run: FederatedWorkflow, plan: FederationPlan) -> Weights:
    """Return the weights of the server's file, and record which it is; a resumed run goes on with the same.

    Raises:
        ConfigError: the file does not fit the run, or is another than the one that the run began with.
    """
    path = _file(run.config.generator_base)
    made_by = {"file": path.name, "sha256": file_sha256(path)}
    if not run.store.has(ENTRY):
        run.store.put(ENTRY, made_by, read_base(path, plan.generator))
    kept = run.store.get(ENTRY)
    if kept.info["sha256"] != made_by["sha256"]:
        fix = "Give the file that the run began with, or start in another run folder"
        raise ConfigError("generator_base", f"the run began with another base ({kept.info['file']})", fix)
    run.record.put(generator_base=made_by)
    run.progress.say(f"generator base: {path.name}, given; the sites fit none")
    return kept.tensors


def _file(path: Path | None) -> Path:
    if path is None:
        fix = (
            "Make a file with `dsfedmed pretrain-generator` and give it as `job.py --generator-base FILE` or as "
            "`generator_base` in the server's local/dsfedmed.yaml, or use generator.base=fitted"
        )
        raise ConfigError("generator.base", "is `given`, and the server has no file of a base", fix)
    return path
