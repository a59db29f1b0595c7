"""Training with MXNet Gluon: the only room that imports mxnet and horovod."""
