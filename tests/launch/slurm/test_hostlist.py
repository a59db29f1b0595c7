"""Slurm's lists of hosts, and where ranks lie by what Slurm and Open MPI tell."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.launch.environment import batch_job, node_id
from hpcmtl.launch.slurm.hostlist import allocated_slots, expand, hosts_by_rank, tasks_by_node

TEXT = st.text("abcxyz-.", min_size=1, max_size=4)
RANGE = st.tuples(st.integers(0, 120), st.integers(0, 12), st.integers(0, 4))


@st.composite
def lists(draw):
    """A list of hosts as Slurm writes it, with the names that it stands for, made the slow and obvious way."""
    words, hosts = [], []
    for _ in range(draw(st.integers(1, 3))):
        word = draw(TEXT)
        names = [word]
        for _ in range(draw(st.integers(0, 3))):
            parts, numbers = [], []
            for first, more, width in draw(st.lists(RANGE, min_size=1, max_size=3)):
                places = max(width, len(str(first)))  # Slurm goes by the first number
                padded = [str(number).zfill(places) for number in range(first, first + more + 1)]
                parts.append(f"{padded[0]}-{padded[-1]}" if more else padded[0])
                numbers += padded
            suffix = draw(st.sampled_from(["", "-ib", "r"]))
            word += f"[{','.join(parts)}]{suffix}"
            names = [name + number + suffix for name in names for number in numbers][:400]
        if len(names) < 400:
            words.append(word)
            hosts += names
    return ",".join(words), tuple(hosts)


@given(lists())
def test_every_form_is_expanded(case):
    """Ranges, padding, several brackets, suffixes and lists stand for the names that their numbers make."""
    text, hosts = case

    assert expand(text) == hosts


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ()),
        ("login", ("login",)),
        ("n[01-03,07]", ("n01", "n02", "n03", "n07")),
        ("n[8-11]", ("n8", "n9", "n10", "n11")),
        ("n[098-101]", ("n098", "n099", "n100", "n101")),
        ("r[1-2]n[1-2]-ib,x", ("r1n1-ib", "r1n2-ib", "r2n1-ib", "r2n2-ib", "x")),
    ],
)
def test_known_lists(text, hosts):
    """The forms that clusters have."""
    assert expand(text) == hosts


@pytest.mark.parametrize(
    "text",
    ["n[1-2", "n1]", "n[]", "n[a]", "n[3-1]", "a,,b", "a b", "n[[1]]", "n[0-99999999999]", "x[0-999]y[0-999]z[0-9]"],
)
def test_damaged_lists_are_refused(text):
    """What is no list, or stands for millions of hosts, is refused with the list in the message."""
    with pytest.raises(EnvironmentUnfitError, match=r"Slurm's list .* cannot be read"):
        expand(text)


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(1, 5)), min_size=1, max_size=6))
def test_tasks_of_nodes(groups):
    """Tasks of each node, repeated where Slurm says so."""
    text = ",".join(f"{count}(x{times})" if times > 1 else str(count) for count, times in groups)

    assert tasks_by_node(text) == tuple(count for count, times in groups for _ in range(times))


@pytest.mark.parametrize("text", ["", "2(3)", "x", "2(x3", "-1", "1(x99999999)"])
def test_damaged_tasks_are_refused(text):
    """What is no number of tasks is refused."""
    with pytest.raises(EnvironmentUnfitError, match="cannot be read"):
        tasks_by_node(text)


UNEVEN = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "2,1", "SLURM_JOB_ID": "5"}
HET = {
    **UNEVEN,
    "SLURM_HET_SIZE": "2",
    "SLURM_JOB_NODELIST_HET_GROUP_0": "n[1-2]",
    "SLURM_TASKS_PER_NODE_HET_GROUP_0": "2,1",
    "SLURM_JOB_NODELIST_HET_GROUP_1": "g1",
    "SLURM_TASKS_PER_NODE_HET_GROUP_1": "2",
}
STEP = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_STEP_TASKS_PER_NODE": "1(x2)"}
MPIRUN = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
ALONE = MPIRUN | {"OMPI_COMM_WORLD_LOCAL_SIZE": "3", "PMIX_HOSTNAME": "n7"}


@pytest.mark.parametrize(
    ("size", "environ", "hosts"),
    [
        (3, UNEVEN, ("n1", "n1", "n2")),
        (2, UNEVEN, ("n1", "n1")),
        (4, UNEVEN, None),
        (3, UNEVEN | {"SLURM_DISTRIBUTION": "cyclic"}, ("n1", "n2", "n1")),
        (3, UNEVEN | {"SLURM_DISTRIBUTION": "plane=2"}, None),
        (2, UNEVEN | STEP, ("n1", "n2")),
        (5, HET, ("n1", "n1", "n2", "g1", "g1")),
        (3, UNEVEN | STEP | MPIRUN, ("n1", "n1", "n2")),
        (3, UNEVEN | MPIRUN | {"SLURM_TASKS_PER_NODE": "1(x2)"}, None),
        (3, UNEVEN | ALONE, ("n7", "n7", "n7")),
        (1, {}, None),
    ],
    ids=["block", "fewer", "more", "cyclic", "plane", "step", "het", "mpirun", "daemons-step", "one-host", "shell"],
)
def test_hosts_by_rank(size, environ, hosts):
    """Hosts follow from the allocation, the step or the launcher; where these do not tell, nothing is made up."""
    assert hosts_by_rank(size, environ) == hosts


def test_lists_that_contradict_each_other_are_refused():
    """More hosts than numbers of tasks is damage, and a het group without its list is unknown."""
    with pytest.raises(EnvironmentUnfitError, match="2 hosts.*speaks of 3"):
        allocated_slots(UNEVEN | {"SLURM_TASKS_PER_NODE": "1(x3)"})

    assert allocated_slots({"SLURM_HET_SIZE": "2", **UNEVEN}) is None


def test_the_name_of_a_node():
    """The user's word comes before Slurm's, and that before the host's name, which emulated nodes share."""
    assert node_id({"HPCMTL_NODE_ID": "a", "SLURMD_NODENAME": "n1"}) == "a"
    assert node_id({"SLURMD_NODENAME": "n1"}) == "n1"
    assert node_id({}) == socket.gethostname()


def test_a_point_of_an_array_is_named_as_such():
    """The last point's own id is that of the whole array: to requeue it by that would requeue all."""
    array = {"SLURM_JOB_ID": "16", "SLURM_ARRAY_JOB_ID": "16", "SLURM_ARRAY_TASK_ID": "3"}

    assert batch_job({}) is None
    assert (job := batch_job(array)) is not None
    assert (job.name, job.index, job.ends) == ("16_3", 3, None)
    assert (job := batch_job({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "1700000000"})) is not None
    assert (job.name, job.index, job.ends) == ("7", None, 1.7e9)
