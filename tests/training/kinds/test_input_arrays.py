"""Inputs of a network by name: which of them are mixed."""

from __future__ import annotations

from hpcmtl.jobfile.transforms import Flip, Mixup
from hpcmtl.networks.input_values import INPUT
from hpcmtl.training.kinds.input_arrays import check_mixed


def test_all_inputs_are_mixed_alike():
    """A sample is mixed as a whole: each input has the same `mixup`, or none has one."""
    mixed, other = (Flip(), Mixup(alpha=0.3)), (Mixup(alpha=0.2),)
    sound = [{}, {"image": (Flip(),)}, {"image": mixed, "table": (Mixup(alpha=0.3),)}]
    text = "mixup mixes whole samples: write it with alpha 0.3 for each input, or for none"

    assert [list(check_mixed(["image", "table"], each)) for each in sound] == [[], [], []]
    assert list(check_mixed([INPUT], {INPUT: mixed})) == []
    for bad in ({"image": mixed}, {"image": mixed, "table": other}):
        assert list(check_mixed(["image", "table"], bad)) == [(("transform", "table"), text)]
