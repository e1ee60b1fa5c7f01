# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import PayloadError
from dsfedmed.federated.site.own_look import own_look
from dsfedmed.store.files import write_json


def test_grey_images_at_one_size_and_as_colour(tmp_path: Path) -> None:
    (folder,) = make_demo_sites(tmp_path, 0, ["site_a"], training=3, validation=2, test=1)
    grey = own_look(load_datalist(folder), "training", 1)
    assert (grey.shape, grey.dtype) == ((3, 1, 64, 64), torch.float32)
    assert 0 <= float(grey.min()) < float(grey.max()) <= 1
    torch.testing.assert_close(own_look(load_datalist(folder), "training", 3), grey.expand(-1, 3, -1, -1))
    with pytest.raises(PayloadError, match="4 channels and the site's images have 1"):
        own_look(load_datalist(folder), "training", 4)


def test_sequences_keep_their_channels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.random((20, 30, 4), dtype=np.float32))
    np.save(tmp_path / "m.npy", np.zeros((20, 30), dtype=np.uint8))
    item = {"image": "a.npy", "label": "m.npy", "case": "1"}
    labels = {"0": "background", "1": "lesion"}
    document = {"name": "mr", "channels": 4, "labels": labels, "training": [item], "validation": [], "test": []}
    write_json(tmp_path / "datalist.json", document)
    datalist = load_datalist(tmp_path)
    assert own_look(datalist, "training", 4).shape == (1, 4, 64, 64)
    with pytest.raises(PayloadError):
        own_look(datalist, "training", 3)
