# SPDX-License-Identifier: Apache-2.0
"""The hyper-parameters of the generator: what each is, its unit and its default."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class GeneratorFields:
    """One generator, wholly described; the defaults are the embedded recipe for 64 px grey images on a CPU core.

    With ``base`` "stable_diffusion" the networks' shapes, the latents and the noise schedule are those of the
    folder that each party names in its own configuration; the fields marked (embedded) are not looked at.

    Attributes:
        base: the frozen part: "embedded" (a small base that the sites train together, or that the server has as a
            file) or "stable_diffusion" (a folder in diffusers format).
        prompt: the one text that conditions every image (stable_diffusion); empty says nothing.
        dtype: number format of the networks' arithmetic: "float32", "float16" or "bfloat16". What is trained stays in
            float32, what is frozen in a Stable Diffusion is held in this format.
        image_size: side of the square images, in pixels. The embedded networks see the next multiple of ``unshuffle``
            times 2 ** (levels - 1), to which images and masks are extended by reflection.
        channels: image channels, 1 (grey), 3 (RGB) or another number up to 16 (embedded only).
        num_classes: mask channels K.
        unshuffle: pixels per latent position along each axis (a power of two); latents are that side / unshuffle
            (embedded, as are all fields up to ``snr_clamp``).
        image_mean: mean grey value, in [0, 1], of the images of all sites together, roughly.
        image_deviation: their standard deviation; diffusion wants latents near unit variance.
        block_out_channels: channels of the UNet levels, shallow to deep; each level after the first halves the latents.
        layers_per_block: residual blocks per level of the encoder (the decoder has one more).
        attention_levels: how many of the deepest levels carry self-attention.
        attention_head_channels: channels per attention head.
        norm_groups: groups of the group normalisation; divides every entry of ``block_out_channels``.
        train_timesteps: diffusion steps T of the training schedule.
        prediction_type: what the network predicts: "sample" (the clean latents), "v_prediction" or "epsilon". A small
            network that sees patches learns "sample" fastest (arXiv 2511.13720); the others leave noise behind.
        zero_terminal_snr: rescale the schedule so that step T is pure noise (arXiv 2305.08891); not with "epsilon".
        snr_clamp: the loss is that of v-prediction, with 1 + signal-to-noise ratio clamped to this; above 1.
        lora_rank: rank of the branch's adapters on attention projections; 0 trains the branch in full.
        lora_convolutions: put adapters of that rank on the 3x3 convolutions of the residual blocks too.
        zero_rank: rank of the branch's output convolutions, with ``lora_rank`` only; 0 trains them in full.
        batch_size: images per forward pass of a fit.
        accumulation: forward passes per gradient step; for cards that hold few images at a time.
        gradient_checkpointing: compute activations again on the way back instead of keeping them (slower, smaller).
        base_learning_rate: peak learning rate of AdamW for the base (embedded).
        branch_learning_rate: peak learning rate of AdamW for the branch.
        warmup_steps: steps over which each call of a fit raises the learning rate linearly from zero.
        max_gradient_norm: gradients are scaled down to this norm.
        flip_axes: spatial axes (0 is x: left-right as displayed, 1 is y) flipped at random while fitting. The default
            leaves y alone because depth has a direction in ultrasound.
        mask_dropout: probability in [0, 1) of blanking a mask while fitting the branch (classifier-free guidance).
        guidance: classifier-free guidance scale against the blank mask; 1 is off and costs half of any other value. On
            breast ultrasound 1.25 gives lesions the contrast of real ones (-0.129 to -0.131), 1 less, 1.5 more.
        sampler: "ddim", "unipc", "dpmsolver++", "ddpm" or "lcm". The last needs a network distilled for consistency
            (arXiv 2310.04378), with guidance 1; of others it makes blurred images.
        sampler_steps: network evaluations per image (twice as many with guidance).
        sample_batch: images drawn at a time.
    """

    base: str = "embedded"
    prompt: str = ""
    dtype: str = "float32"
    image_size: int = 64
    channels: int = 1
    num_classes: int = 1
    unshuffle: int = 4
    image_mean: float = 0.3
    image_deviation: float = 0.2
    block_out_channels: tuple[int, ...] = (48, 96, 96)
    layers_per_block: int = 1
    attention_levels: int = 1
    attention_head_channels: int = 32
    norm_groups: int = 8
    train_timesteps: int = 1000
    prediction_type: str = "sample"
    zero_terminal_snr: bool = True
    snr_clamp: float = 20.0
    lora_rank: int = 0
    lora_convolutions: bool = True
    zero_rank: int = 0
    batch_size: int = 16
    accumulation: int = 1
    gradient_checkpointing: bool = False
    base_learning_rate: float = 1e-3
    branch_learning_rate: float = 1e-3
    warmup_steps: int = 10
    max_gradient_norm: float = 1.0
    flip_axes: tuple[int, ...] = (0,)
    mask_dropout: float = 0.1
    guidance: float = 1.25
    sampler: str = "dpmsolver++"
    sampler_steps: int = 8
    sample_batch: int = 32
