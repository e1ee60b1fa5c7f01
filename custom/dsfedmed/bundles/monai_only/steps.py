# SPDX-License-Identifier: Apache-2.0
"""The steps of ``monai_only/inference.json``, one expression each; every one says what it stands for here.

Planes are (X, Y, C), volumes (X, Y, Z, C), as `dsfedmed.data.reading` has them.
"""

from __future__ import annotations

from typing import Any

from dsfedmed.data.files.limits import KEPT_PIXELS
from dsfedmed.data.files.values import PERCENTILES

STEPS: dict[str, Any] = {
    "imports": [
        "$import argparse",
        "$import glob",
        "$import os",
        "$import nibabel",
        "$import numpy as np",
        "$from PIL import Image",
        "$import torch",
        "$import monai",
    ],
    "bundle_root": ".",
    "ckpt_path": "$@bundle_root + '/models/model.pt'",
    "dataset_dir": "data",
    "output_dir": "output",
    "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "network": "$@network_def.to(@device).eval()",
    "inverse": {
        "_target_": "monai.transforms.Invertd",
        "_desc_": "logits, not masks, are resized to the image's own size",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": False,
        "to_tensor": True,
    },
    # One line and status 2.
    "refuse": (
        "$lambda path, why: argparse.ArgumentParser().exit("
        "2, '%s: %s. It needs dsfedmed: `dsfedmed predict`\\n' % (path, why))"
    ),
    "paths": (
        "$[path for path in sorted(glob.glob(os.path.join(@dataset_dir, '**', '*'), recursive=True))"
        " if os.path.isfile(path)] or @refuse(@dataset_dir, 'there are no files in it')"
    ),
    "kind": (
        "$lambda path: next((end for end in ('.png', '.npy', '.nii.gz', '.nii') if path.lower().endswith(end)), '')"
    ),
    "stem": "$lambda path: os.path.relpath(path, @dataset_dir)[: -len(@kind(path))]",
    # What is wrong with a number of channels: grey and RGB become each other, all others have to be the network's.
    "channels_fault": (
        "$lambda count: '' if count == @in_channels or {count, @in_channels} == {1, 3}"
        " else 'it has %d channels, and the network %d' % (count, @in_channels)"
    ),
    # PNG 1.2, 11.2.2: signature, bit depth (8), colour type (0 grey, 2 RGB); the rest is in chunks that Pillow reads.
    "png_header": "$lambda path: open(path, 'rb').read(33)",
    "png_fault": (
        "$lambda path: 'it is no PNG of 8 bits, grey or RGB'"
        " if @png_header(path)[:8] != b'\\x89PNG\\r\\n\\x1a\\n' or @png_header(path)[24] != 8"
        " or @png_header(path)[25] not in (0, 2)"
        " else @picture_fault(Image.open(path)) or @channels_fault(1 if @png_header(path)[25] == 0 else 3)"
    ),
    "picture_fault": (
        "$lambda picture: picture.load() and ('it is turned (EXIF)' if picture.getexif().get(274, 1) not in (0, 1)"
        " else 'it has transparent parts' if 'transparency' in picture.info"
        " else 'it has several frames' if getattr(picture, 'n_frames', 1) != 1"
        f" else 'it is very large' if picture.width * picture.height > {KEPT_PIXELS} else '')"
    ),
    "npy_fault": (
        "$lambda path: @array_fault(np.load(path, mmap_mode='r'))"
    ),
    "array_fault": (
        "$lambda array: 'it holds no numbers' if array.dtype.kind not in 'uif'"
        " else 'it is no image (rows, columns[, channels])' if array.ndim not in (2, 3) or 0 in array.shape"
        " else 'it holds values that are not finite' if not np.isfinite(array).all()"
        " else @channels_fault(array.shape[2] if array.ndim == 3 else 1)"
    ),
    # Its slices are those that dsfedmed takes only where they are the third axis, coarsest or none much coarser.
    "nifti_fault": (
        "$lambda path: @volume_fault(nibabel.load(path))"
    ),
    "volume_fault": (
        "$lambda image: 'it is no volume of one channel' if len(image.shape) != 3 or min(image.shape) < 2"
        " or image.get_data_dtype().kind not in 'uif'"
        " else 'it does not say how it lies' if int(image.header['qform_code']) <= 0"
        " and int(image.header['sform_code']) <= 0"
        " else 'its slices are not axial, or its axes have another order'"
        " if @axes(image)[:, 0].tolist() != [0, 1, 2] or @coarsest(image) not in (2, None)"
        " else 'it holds values that are not finite' if not np.isfinite(np.asanyarray(image.dataobj)).all()"
        " else @channels_fault(1)"
    ),
    "axes": "$lambda image: nibabel.orientations.io_orientation(image.affine)",
    "spacing": "$lambda image: np.sqrt((np.asarray(image.affine, dtype=np.float64)[:3, :3] ** 2).sum(axis=0))",
    "coarsest": (
        "$lambda image: int(np.argmax(@spacing(image)))"
        " if np.sort(@spacing(image))[2] >= 1.5 * np.sort(@spacing(image))[1] else None"
    ),
    "fault": (
        "$lambda path: {'.png': @png_fault, '.npy': @npy_fault, '.nii': @nifti_fault, '.nii.gz': @nifti_fault}"
        ".get(@kind(path), lambda _: 'it is no PNG, NPY or NIfTI')(path)"
    ),
    "same_name": "$[path for path in @paths if [@stem(other) for other in @paths].count(@stem(path)) > 1]",
    # Files to volumes (X, Y, Z, C), Z 1 of pictures, in the numbers that are stored.
    "flat": "$lambda array: np.swapaxes(array.reshape(*array.shape[:2], -1), 0, 1)[:, :, None]",
    "turned": "$lambda array, image: nibabel.orientations.apply_orientation(array, @axes(image))",
    "upright": "$lambda image: @turned(np.asanyarray(image.dataobj), image)[..., None]",
    "stored": (
        "$lambda path: @flat(np.asarray(Image.open(path))) if @kind(path) == '.png'"
        " else @flat(np.load(path)) if @kind(path) == '.npy' else @upright(nibabel.load(path))"
    ),
    # The numbers that become 0 and 1, a row a channel: the release's, those of 8 bits, or the file's percentiles.
    "limits": (
        "$lambda array: np.array([@window] * array.shape[-1], dtype=np.float64) if @window"
        " else np.array([(0.0, 255.0)] * array.shape[-1]) if array.dtype == np.uint8"
        f" else np.tile(np.percentile(array.astype(np.float32), {PERCENTILES}), (3, 1)) if array.shape[-1] == 3"
        f" else np.percentile(array.reshape(-1, array.shape[-1]).astype(np.float32), {PERCENTILES}, axis=0).T"
    ),
    "span": "$lambda low, high: np.where(np.abs(high - low) < 1e-12, 1e-12, high - low).astype(np.float32)",
    "scaled": (
        "$lambda plane, low, high:"
        " np.clip((plane.astype(np.float32) - low.astype(np.float32)) / @span(low, high), 0, 1)"
    ),
    "as_channels": (
        "$lambda plane: np.matmul(plane, np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., None]"
        " if @in_channels == 1 and plane.shape[2] == 3"
        " else np.repeat(plane, 3, axis=2) if @in_channels == 3 and plane.shape[2] == 1 else plane"
    ),
    "image": (
        "$lambda plane: @preprocessing({'image': monai.data.MetaTensor("
        "np.ascontiguousarray(@as_channels(plane).transpose(2, 0, 1)))})"
    ),
    "answer": (
        "$torch.no_grad()(lambda item:"
        " @inverse({**item, 'pred': @network(item['image'][None].to(@device))[0]})['pred'])"
    ),
    # Of classes that contradict each other the highest one wins.
    "label": (
        "$lambda logits: ((torch.sigmoid(logits) >= 0.5) * torch.arange(1, @num_classes + 1, device=logits.device)"
        ".view(-1, 1, 1)).amax(0).to(torch.uint8).as_tensor().cpu().numpy()"
    ),
    "mask": (
        "$lambda array, limits: np.stack([@label(@answer(@image(@scaled(array[:, :, z], limits[:, 0], limits[:, 1]))))"
        " for z in range(array.shape[2])], axis=-1)"
    ),
    "segment": "$lambda array: @mask(array, @limits(array))",
    # Flips undo themselves.
    "as_file": "$lambda mask, image: nibabel.Nifti1Image(@turned(mask, image), image.affine)",
    "name": (
        "$lambda path: os.path.join("
        "@output_dir, @stem(path) + '_mask' + ('.nii.gz' if '.nii' in @kind(path) else '.png'))"
    ),
    "save": (
        "$lambda mask, path: nibabel.save(@as_file(mask, nibabel.load(path)), @name(path)) if '.nii' in @kind(path)"
        " else Image.fromarray(np.ascontiguousarray(mask[..., 0].T)).save(@name(path))"
    ),
    "initialize": [
        "$[@refuse(path, 'it is not the only one of its name') for path in @same_name]",
        "$[@refuse(path, fault) for path in @paths for fault in [@fault(path)] if fault]",
        "$@network.load_state_dict(torch.load(@ckpt_path, map_location='cpu', weights_only=True))",
    ],
    "run": [
        "$[os.makedirs(os.path.dirname(@name(path)), exist_ok=True) for path in @paths]",
        "$[@save(@segment(@stored(path)), path) for path in @paths]",
    ],
}  # fmt: skip
