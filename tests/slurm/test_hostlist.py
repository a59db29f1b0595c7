"""Our reader of Slurm's lists of hosts says what `scontrol show hostnames` says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hpcmtl.launch.slurm.hostlist import expand

NAMES = st.text("abcdefgxyz", min_size=1, max_size=6)


@st.composite
def ranges(draw):
    """What may stand in a bracket: numbers and ranges, padded with zeros or not."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        first, length = draw(st.integers(0, 120)), draw(st.integers(0, 12))
        width = draw(st.integers(1, 4))
        parts.append(f"{first:0{width}d}" + (f"-{first + length:0{width}d}" if draw(st.booleans()) else ""))
    return "[" + ",".join(parts) + "]"


@st.composite
def hosts(draw):
    """One word of a list: a plain name, with a number, or with one or two brackets."""
    kind = draw(st.sampled_from(["plain", "number", "one", "two"]))
    if kind == "plain":
        return draw(NAMES) + draw(st.sampled_from(["", "-ib", ".site.org"]))
    if kind == "number":
        return draw(NAMES) + f"{draw(st.integers(0, 999)):0{draw(st.integers(1, 4))}d}"
    if kind == "one":
        return draw(NAMES) + draw(ranges())
    return draw(NAMES) + draw(ranges()) + draw(NAMES) + draw(ranges())


@settings(max_examples=150)
@given(words=st.lists(hosts(), min_size=1, max_size=4))
def test_as_scontrol_does(slurm, words):
    """Padding, several ranges and several brackets, in any list, give the same names in the same order."""
    nodelist = ",".join(words)
    said = slurm.ask("scontrol", "show", "hostnames", nodelist).splitlines()

    assert list(expand(nodelist)) == said
