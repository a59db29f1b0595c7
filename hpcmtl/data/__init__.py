"""Data on disc and the order in which it is trained on; knows numpy and h5py, but neither MPI nor a framework."""
