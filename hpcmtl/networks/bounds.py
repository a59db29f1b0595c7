"""Largest whole numbers of job files and requests: more than any machine has, and products of two fit into 64 bits."""

MOST = 10**9
"""Of epochs, samples of a batch, outputs, priorities and the like."""

MOST_RANKS = 10**7
"""Of ranks, nodes, and cores of a rank; the largest machines have some millions of cores."""

MOST_LAYERS = 10**5
"""Of layers of one task: each is started, recorded and resumed by itself."""

LARGEST_SEED = 2**63 - 1
MOST_BYTES = 2**62
