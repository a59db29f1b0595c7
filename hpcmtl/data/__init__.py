"""Data files on disk and the order of training samples; imports numpy and h5py, but neither MPI nor a framework."""
