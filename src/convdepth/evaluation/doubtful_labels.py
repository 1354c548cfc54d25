"""Test images whose label is doubtful."""

DOUBTFUL = (
    *(947, 1621, 1901, 2130, 2462, 2597, 2654, 3520),
    *(3558, 5937, 6651, 6783, 8527, 9679, 9729),
)
"""Indices of test images whose label fewer than three of five people chose.

From ``mturk/mnist_mturk.json`` of github.com/cleanlab/label-errors (Northcutt et al. 2021,
arXiv:2103.14749). Of the 10,000 images, only those that a network found suspicious were shown.
"""
