# SPDX-License-Identifier: Apache-2.0
"""One bad site among honest ones: what each way of being bad does under each rule."""
