# SPDX-License-Identifier: Apache-2.0
"""The samplers by name, on the noise schedule that the foundation was trained with."""

from __future__ import annotations

from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_lcm import LCMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

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


def sampling_scheduler(schedule: DDPMScheduler, config: GeneratorConfig) -> Sampler:
    """Return the sampler named by ``config.sampler`` on ``schedule``, its timesteps set.

    Timesteps are spaced to start at the last one, T - 1 (arXiv 2305.08891, "trailing"): with few steps any other
    spacing starts from noise that it takes for less than it is.

    Raises:
        ConfigError: more steps than the schedule has.
    """
    total = int(schedule.config.num_train_timesteps)
    if config.sampler_steps > total:
        raise ConfigError("generator.sampler_steps", f"{config.sampler_steps} is more than {total}", "Give fewer.")
    sampler: Sampler = KINDS[config.sampler].from_config(schedule.config, timestep_spacing="trailing")
    if isinstance(sampler, LCMScheduler):
        sampler.set_timesteps(
            config.sampler_steps, original_inference_steps=min(total, max(LCM_STEPS, config.sampler_steps))
        )
    else:
        sampler.set_timesteps(config.sampler_steps)
    return sampler
