# SPDX-License-Identifier: Apache-2.0
"""Every message that left the sites of a real run of each method, read for pixels, paths, names and experts.

pFedSAM's over NVFlare is slow; in this process it is read in every run of the tests
(``tests/federated/methods/test_pfedsam.py``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dsfedmed.algorithms.product_mean import UP
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.labels import to_channels
from dsfedmed.generator.packing import unpack_label_maps
from dsfedmed.networks.local_experts import EXPERTS
from dsfedmed.store.files import read_tensors
from tests.runs.commands import ROOT
from tests.runs.recording import Recording, assert_no_pixels, rows

pytestmark = pytest.mark.federation

SITES = ("site_a", "site_b", "site_c", "site_d")


@pytest.fixture(scope="module")
def recording(dsfedmed_over_nvflare: Recording) -> Recording:
    """The whole run with all its comparisons, and a recorder at every site behind every other filter."""
    return dsfedmed_over_nvflare


def arrays(sites: Path, site: str) -> SiteArrays:
    """A site's training images as the network sees them in this run."""
    bundle = BundleDefinition(ROOT / "bundles" / "light_unet_segmentation", {"image_size": [32, 32]})
    return load_part(load_datalist(sites / site), "training", bundle.preprocessing())


def test_the_recording_holds_what_is_known_to_leave(recording: Recording) -> None:
    """The other tests of this file find nothing; this one shows that they would."""
    for site in SITES[:3]:
        (masks,) = recording.tensors(site, "dsf_masks")
        planes = masks["planes"].numpy().tobytes()
        middle = planes[len(planes) // 2 - 200 : len(planes) // 2 + 200]
        assert any(middle in body for body in recording.bodies(site)), "deformed masks leave, as announced"
        (verdict,) = recording.tensors(site, "dsf_audit")
        assert any(verdict["distances"].numpy().tobytes() in body for body in recording.bodies(site))
        assert site in recording.heads(site)
    assert recording.tensors("site_d", "dsf_evaluate")
    assert not recording.tensors("site_d", "dsf_train")


@pytest.mark.parametrize("site", SITES)
def test_no_path_and_no_name_of_a_case(recording: Recording, sites: Path, site: str) -> None:
    names = {path.stem for path in (sites / site / "images").iterdir()}
    names |= {case for part in ("training", "validation", "test") for case in
              (item.case for item in load_datalist(sites / site).parts[part])}  # fmt: skip
    words = [str(sites), str(recording.run), *names]
    assert len(names) > 20
    everything = [*recording.bodies(site), recording.heads(site).encode()]
    for word in words:
        for coded in (word.encode(), word.encode("utf-16-le")):
            assert not any(coded in text for text in everything), word


@pytest.mark.parametrize("site", SITES)
def test_no_row_of_pixels_in_any_number_format(recording: Recording, sites: Path, site: str) -> None:
    bodies = b"\0".join(recording.bodies(site))
    files = sorted((sites / site / "images").iterdir())
    prepared = arrays(sites, site).images.numpy()
    pictures = [np.asarray(Image.open(path)) for path in files]
    pictures += [np.frombuffer(path.read_bytes(), np.uint8) for path in files]
    for kind in (np.float32, np.float16, np.float64):
        pictures += [image.astype(kind) for image in prepared]
    pictures += [np.rint(image * 255).astype(np.uint8) for image in prepared]
    looked_for = [run for picture in pictures for run in rows(picture)]
    assert len(looked_for) > 500
    assert not any(run in bodies for run in looked_for)
    assert rows(pictures[0])[0] in bodies + pictures[0].tobytes(), "a row that is there is found"


@pytest.mark.parametrize("site", SITES[:3])
def test_no_tensor_correlates_with_a_training_image(recording: Recording, sites: Path, site: str) -> None:
    """Every stretch of every float tensor, against every image, whatever gain and offset: nothing like a copy."""
    images = arrays(sites, site).images.reshape(-1, 32 * 32)
    templates = (images - images.mean(-1, keepdim=True)) / images.std(-1, keepdim=True)
    tasks = ("dsf_base", "dsf_branch", "dsf_train", "dsf_local", "dsf_audit")
    sent = [t for task in tasks for message in recording.tensors(site, task) for t in message.values()]
    long = [t.float().reshape(-1) for t in sent if t.is_floating_point() and t.numel() >= 1024]
    assert len(long) > 20
    found = max(highest_correlation(vector, templates) for vector in long)
    assert highest_correlation(torch.cat([torch.rand(500), images[0] * -3 + 1, torch.rand(9)]), templates) > 0.99
    assert found < 0.6


def highest_correlation(vector: Tensor, templates: Tensor) -> float:
    """Return the largest |Pearson correlation| of any stretch of a vector with any template (N, L), by FFT."""
    length, x = templates.shape[-1], vector.double() - vector.double().mean()
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), x.cumsum(0)])
    squares = torch.cat([torch.zeros(1, dtype=torch.float64), (x * x).cumsum(0)])
    mean = (sums[length:] - sums[:-length]) / length
    deviation = ((squares[length:] - squares[:-length]) / length - mean**2).clamp(min=1e-18).sqrt()
    spectrum = torch.fft.rfft(x, n=len(x))
    products = torch.fft.irfft(spectrum * torch.fft.rfft(templates.double(), n=len(x)).conj(), n=len(x))
    return float((products[:, : len(mean)] / length / deviation).abs().max())


@pytest.mark.parametrize("site", SITES[:3])
def test_no_drawn_mask_leaves_as_it_is(recording: Recording, sites: Path, site: str) -> None:
    drawn = to_channels(arrays(sites, site).labels, 1).flatten(1)
    (sent,) = recording.tensors(site, "dsf_masks")
    deformed = to_channels(unpack_label_maps(sent, 1, 32), 1).flatten(1)
    overlap = 2 * (deformed @ drawn.T) / (deformed.sum(1)[:, None] + drawn.sum(1)[None])
    assert float(overlap.max()) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("site", SITES[:3])
def test_pfedsam_sends_no_pixel_and_no_expert(pfedsam_over_nvflare: Recording, site: str) -> None:
    """By name, and by value in fp32 and fp16; the global branch, which does travel, is found in the same way."""
    assert_no_pixels(pfedsam_over_nvflare, site)
    bodies = b"\0".join(pfedsam_over_nvflare.bodies(site)) + pfedsam_over_nvflare.heads(site).encode()
    assert b"experts" not in bodies
    kept = pfedsam_over_nvflare.run / "sites" / site / "personal" / "pfedsam-0001.safetensors"
    experts = [tensor for name, tensor in read_tensors(kept).items() if EXPERTS in name and tensor.numel() >= 4]
    drawn = [tensor for tensor in experts if float(tensor.abs().sum()) > 0]
    assert drawn
    for kind in (torch.float32, torch.float16):
        assert not any(tensor.to(kind).numpy().tobytes() in bodies for tensor in drawn)
    sent = pfedsam_over_nvflare.tensors(site, "dsf_personal")[0]
    assert any(tensor.contiguous().numpy().tobytes() in bodies for name, tensor in sent.items() if name.endswith(UP))


@pytest.mark.parametrize("site", ["site_b", "site_c"])
def test_samfed_sends_no_pixel_of_an_unlabelled_site(samfed_over_nvflare: Recording, site: str) -> None:
    assert samfed_over_nvflare.tensors(site, "dsf_agree")
    assert_no_pixels(samfed_over_nvflare, site)
