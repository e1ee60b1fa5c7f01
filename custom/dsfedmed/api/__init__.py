# SPDX-License-Identifier: Apache-2.0
"""What `import dsfedmed` offers Python programs besides `load`: run a method, read its results, check a site."""
