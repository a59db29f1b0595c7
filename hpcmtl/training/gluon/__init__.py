"""Training with MXNet Gluon; the only package that imports mxnet and horovod."""
