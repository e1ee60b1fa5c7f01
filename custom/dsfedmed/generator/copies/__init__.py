# SPDX-License-Identifier: Apache-2.0
"""Parts of the copy check `dsfedmed.generator.audit`: what is compared, where to look, how much agrees, from when on."""
