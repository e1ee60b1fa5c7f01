# SPDX-License-Identifier: Apache-2.0
"""The samplers by name, on the noise schedule that the generator base was trained with."""

from __future__ import annotations

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_lcm import LCMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from dsfedmed.errors import ConfigError
from dsfedmed.generator.config import GeneratorConfig

Sampler = DDPMScheduler | DDIMScheduler | UniPCMultistepScheduler | DPMSolverMultistepScheduler | LCMScheduler

KINDS = {
    "ddim": DDIMScheduler,
    "unipc": UniPCMultistepScheduler,
    "dpmsolver++": DPMSolverMultistepScheduler,
    "ddpm": DDPMScheduler,
    "lcm": LCMScheduler,
}
# They add fresh noise in every step, from the generator of each image.
STOCHASTIC = ("ddpm", "lcm")
LCM_STEPS = 50
LOWEST_LOG_SNR, HIGHEST_LOG_SNR = -3.0, 4.0


def sampling_scheduler(schedule: DDPMScheduler, config: GeneratorConfig) -> Sampler:
    """Return the sampler named by ``config.sampler`` on ``schedule``, its timesteps set.

    Timesteps start at the last one, T - 1, where there is nothing but noise. Those of "dpmsolver++" then follow
    `log_snr_timesteps`; the others are spaced evenly (arXiv 2305.08891, "trailing").

    Raises:
        ConfigError: more steps than the schedule has.
    """
    total = int(schedule.config["num_train_timesteps"])
    if config.sampler_steps > total:
        raise ConfigError(
            "generator_model.sampler_steps", f"{config.sampler_steps} is more than {total}", "Give fewer."
        )
    sampler: Sampler = KINDS[config.sampler].from_config(schedule.config, timestep_spacing="trailing")
    if isinstance(sampler, LCMScheduler):
        sampler.set_timesteps(
            config.sampler_steps, original_inference_steps=min(total, max(LCM_STEPS, config.sampler_steps))
        )
    elif isinstance(sampler, DPMSolverMultistepScheduler):
        sampler.set_timesteps(timesteps=log_snr_timesteps(schedule.alphas_cumprod, config.sampler_steps))
    else:
        sampler.set_timesteps(config.sampler_steps)
    return sampler


def log_snr_timesteps(alphas_cumprod: Tensor, steps: int) -> list[int]:
    """Return at most ``steps`` falling timesteps: T - 1, then even steps in half the log signal-to-noise ratio.

    That is the variable in which DPM-Solver's error is a power of the step (arXiv 2211.01095, section 3): spaced evenly
    in time, eight steps leave most of the way to the first one, and the images lose contrast. The range is cut to
    [`LOWEST_LOG_SNR`, `HIGHEST_LOG_SNR`), outside of which the images no longer change; of a schedule that does not
    end in pure noise the last timestep itself begins the spacing. Values that fall on one timestep count once.
    """
    ratios = 0.5 * torch.log(alphas_cumprod / (1 - alphas_cumprod).clamp(min=torch.finfo(torch.float32).tiny))
    last, highest = float(ratios[-1]), min(float(ratios[0]), HIGHEST_LOG_SNR)
    pure_noise = last < LOWEST_LOG_SNR
    first, parts = (LOWEST_LOG_SNR, steps - 1) if pure_noise else (last, steps)
    wanted = [first + (highest - first) * place / parts for place in range(parts)]
    chosen = [len(ratios) - 1, *(int((ratios - value).abs().argmin()) for value in wanted)]
    return sorted(set(chosen), reverse=True)
