"""The runtime of one rank: control thread, worker, and the channels between them."""
