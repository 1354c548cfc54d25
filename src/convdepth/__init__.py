"""Four convolutional networks of growing depth on MNIST: compared, and reproducible to the byte."""
