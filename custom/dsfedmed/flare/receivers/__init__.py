# SPDX-License-Identifier: Apache-2.0
"""What writes the curves of an NVFlare job at the server: TensorBoard, MLflow or Weights & Biases."""
