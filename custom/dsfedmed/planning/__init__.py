# SPDX-License-Identifier: Apache-2.0
"""What a federation on given site folders would look like, before anything is run: `dsfedmed plan`."""
