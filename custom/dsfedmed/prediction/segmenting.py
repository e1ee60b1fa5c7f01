# SPDX-License-Identifier: Apache-2.0
"""From a picture, or slices of a volume, to label maps and probabilities: what the bundle's evaluator does, by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted

from dsfedmed.bundles.components import innermost
from dsfedmed.data.files.raw import Raw
from dsfedmed.devices import on_device, require_device, to_device
from dsfedmed.errors import DataError, DSFedMedError, worded
from dsfedmed.prediction.model import SegmentationBundle


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in one picture or slice, as it was read.

    Attributes:
        mask: (X, Y) uint8 label map, 0..K.
        probabilities: (K, X, Y) float32 in [0, 1].
        picture: (C, X, Y) float32 in [0, 1], what the network saw, at the size as read.
        meta: the loader's metadata, as `dsfedmed.data.reading.LoadSiteImaged` says them.
    """

    mask: np.ndarray
    probabilities: np.ndarray
    picture: torch.Tensor
    meta: Mapping[str, Any]


class Segmenter:
    """A bundle on a device.

    Args:
        bundle: opened and checked.
        device: a torch device that this machine has.
        batch_size: slices of a volume that go through the network together. With 1, as in ``inference.json``, masks are
            those of ``monai.bundle run`` to the last bit; more may change the last bits of a probability.

    Raises:
        ConfigError: this machine has no such device.
    """

    def __init__(self, bundle: SegmentationBundle, device: str = "cpu", batch_size: int = 1) -> None:
        require_device(device)
        self.bundle, self.device, self.batch_size = bundle, torch.device(device), batch_size
        self.network = on_device(bundle.network, self.device)

    def segment(self, raws: Sequence[Raw], options: Mapping[str, Any]) -> Iterator[Found]:
        """Yield what is found in a flat picture, or in the slices of a volume in their order.

        Args:
            raws: the files as read: one, or one a channel.
            options: ``window`` and ``channel_order``, where a datalist says them.

        Raises:
            DataError: naming the file, when the network cannot take it.
        """
        item = {**options, "image": list(raws)}
        count = raws[0].slices
        if count is None:
            yield from self._batch([item])
            return
        for start in range(0, count, self.batch_size):
            slices = range(start, min(start + self.batch_size, count))
            yield from self._batch([{**item, "slice_index": index} for index in slices])

    def _batch(self, items: list[dict[str, Any]]) -> Iterator[Found]:
        path = items[0]["image"][0].path
        try:
            yield from self._found(items)
        except MemoryError as error:
            raise DataError(path, "there is not enough memory for it", "Free memory, or cut it smaller.") from error
        except torch.cuda.OutOfMemoryError as error:
            raise DataError(
                path, "it does not fit on the GPU", "Give a smaller --batch-size, or --device cpu."
            ) from error
        except DSFedMedError:
            raise
        except Exception as error:  # a model from elsewhere raises whatever it likes, and MONAI wraps it
            cause = innermost(error)
            if isinstance(cause, DSFedMedError):
                raise cause from error
            kind = "" if isinstance(cause, RuntimeError) else f"{type(cause).__name__}: "
            reason = f"the model cannot take it ({kind}{worded(Exception(cause))})"
            raise DataError(path, reason, "Check its channels and size.") from error

    def _found(self, items: list[dict[str, Any]]) -> Iterator[Found]:
        preprocessing = self.bundle.preprocessing
        loaded = [preprocessing(item, end=1) for item in items]
        pictures = [item["image"].as_tensor() for item in loaded]
        ready = [preprocessing(item, start=1) for item in loaded]
        images = to_device(torch.stack([item["image"].as_tensor() for item in ready]), self.device)
        with torch.no_grad():
            logits = self.bundle.inferer(images, self.network)
        for item, picture, own in zip(ready, pictures, logits, strict=True):
            yield self._finished(item, picture, own)

    def _finished(self, item: dict[Any, Any], picture: torch.Tensor, logits: torch.Tensor) -> Found:
        """Run the postprocessing; what there is before the threshold are the probabilities."""
        meta = item["image"].meta
        data: dict[Any, Any] = {**item, "pred": MetaTensor(logits.detach())}
        probabilities = data["pred"]
        for step in self.bundle.postprocessing:
            if isinstance(step, AsDiscreted):
                probabilities = data["pred"].as_tensor().float().cpu().clone()
            data = step(data)
        mask = data["pred"].as_tensor().cpu().numpy()
        if mask.shape != (1, *picture.shape[1:]) or mask.dtype != np.uint8:
            reason = f"its mask is {mask.dtype} {mask.shape}, not uint8 (1, {picture.shape[1]}, {picture.shape[2]})"
            raise DataError(meta["filename_or_obj"], reason, "Invert the bundle's resizing before ChannelsToLabeld.")
        return Found(mask[0], probabilities.numpy(), picture, meta)
