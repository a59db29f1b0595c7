"""Seeds are functions of the step: of the rank as well for networks, and of nothing else for optimizers."""

from hpcmtl.training.streams import RandomStreams


def test_optimizers_of_all_ranks_share_a_stream():
    """The seed of an update depends on task and step alone."""
    seeds = {rank: [RandomStreams(5, rank).optimizer(step) for step in range(50)] for rank in range(4)}

    assert seeds[0] == seeds[1] == seeds[2] == seeds[3]
    assert len(set(seeds[0])) == 50
    assert RandomStreams(6).optimizer(0) != RandomStreams(5).optimizer(0)


def test_networks_of_ranks_do_not():
    """Each rank and each step has a seed of its own, that fits 31 bits."""
    seeds = [RandomStreams(5, rank).network(step) for rank in range(4) for step in range(50)]

    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert not set(seeds) & {RandomStreams(5).optimizer(step) for step in range(50)}
