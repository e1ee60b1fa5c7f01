# SPDX-License-Identifier: Apache-2.0
"""What server and sites share: messages, a typed request and reply for each task, the transport's protocol."""
