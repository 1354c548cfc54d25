"""MNIST: download, file formats, normalization, arrays."""
