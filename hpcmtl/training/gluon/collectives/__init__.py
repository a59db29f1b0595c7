"""Adapters of MXNet-array collectives: Horovod and KVStore."""
