"""Artifacts that tasks hand to each other, in memory and as files, and parameters exchanged while tasks run.

- `peer_transfer`: between groups; it requests rows from the ranks that made them, out of their `artifact_cache`.
- `transfer`: inside one group; one rank reads and all receive, or all send and one receives.
- `redistribute`: computes which rows move between two layouts (`plan_moves`), and moves them inside a communicator.
- `store`: sealed files of parameters and checkpoints. Data artifacts are data files, see `data.hdf5`.
- `packed_arrays`: named arrays as one buffer. `parameter_server`, `parameter_client`: tasks that run side by side.

The way of an artifact: each producer rank keeps its rows, and the first rank of the last group publishes the index.
`RunLayer.owners` names that rank. Each consumer rank gets the index there, plans its moves and requests the rows. If a
rank has dropped them, or after any loss of ranks, the file is read. If the file is damaged, its task makes it again.
"""
