# SPDX-License-Identifier: Apache-2.0
"""Parts of the copy check `dsfedmed.generator.audit`: what is compared, where, how much agrees, from when on."""
