# SPDX-License-Identifier: Apache-2.0
"""What a site does for each task; `dsfedmed.federated.wire.tasks` names the function of each."""
