# SPDX-License-Identifier: Apache-2.0
"""What a researcher may fetch of a run: copied into NVFlare's run folder, which ``nvflare job download`` gives.

The run folder itself stays at the server: it holds the sites' generator branches, which can repeat private images, and
the stage store, which is large. NVFlare gives its own run folder to whoever may download the job.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dsfedmed.store.files import write_json

FOLDER = "dsfedmed"
FILES = ("record.json", "results.json", "report.html", "status.json")
RELEASE = "release"
WEIGHTS = f"{RELEASE}/models/model.pt"


def export_artifacts(run: Path, nvflare_run: Path) -> Path:
    """Copy report, figures and release; name the released weights for NVFlare's tools as the global model.

    Args:
        run: the run folder.
        nvflare_run: NVFlare's folder of the job.

    Returns:
        Where the copies lie; the run folder itself when that is a part of NVFlare's folder already.
    """
    target = nvflare_run / FOLDER
    if run.resolve() != target.resolve():
        target.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if (run / name).exists():
                shutil.copy2(run / name, target / name)
        if (run / RELEASE).is_dir():
            shutil.copytree(run / RELEASE, target / RELEASE, dirs_exist_ok=True)
    if (target / WEIGHTS).exists():
        named = {"global_model": f"{FOLDER}/{WEIGHTS}"}
        write_json(nvflare_run / "artifact_manifest.json", {"schema_version": "1", "artifacts": named})
    return target
