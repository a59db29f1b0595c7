"""Lists of hosts: what is read, and what is refused with all its problems."""

import pytest

from hpcmtl.errors import InputError
from hpcmtl.launch.hosts import Host, chosen_hosts, parse_hosts, read_hostfile, slots_of


def test_a_list_and_a_file_say_the_same(tmp_path):
    """Both forms give names and slots in their order; comments and empty lines mean nothing."""
    file = tmp_path / "hosts"
    file.write_text("# ours\nnode1 slots=4\n\n  node2.site   slots=16 # new\n", encoding="utf-8")

    assert parse_hosts("node1:4, node2.site:16") == (Host("node1", 4), Host("node2.site", 16)) == read_hostfile(file)
    assert chosen_hosts(None, file) == chosen_hosts("node1:4,node2.site:16", None)
    assert chosen_hosts(None, None) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no NAME:SLOTS"),
        ("node1", "'node1' is no NAME:SLOTS"),
        ("node1:0", "'node1:0' is no NAME:SLOTS"),
        ("node1:two,:3", "':3' is no NAME:SLOTS"),
        ("-oProxyCommand=x:1", "is no NAME:SLOTS"),
        ("a:1,b:1,a:2", "a is given 2 times"),
    ],
)
def test_lists_that_are_refused(text, said):
    """Each wrong entry is named, with the form to write; an option of ssh is no host."""
    with pytest.raises(InputError, match="write --hosts node1:4,node2:4") as refused:
        parse_hosts(text)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("node1 4\n", r"\(line 1\): 'node1 4' is no"), ("# none\n", "names no host"), (None, "cannot be read")],
)
def test_files_that_are_refused(tmp_path, text, said):
    """The line is named; a file without hosts, or that is not there, is refused as well."""
    file = tmp_path / "hosts"
    if text is not None:
        file.write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=said):
        read_hostfile(file)


def test_slots_and_ranks(tmp_path):
    """Without a number of ranks all slots count; more ranks than slots are refused, as is a list beside a file."""
    hosts = parse_hosts("a:2,b:3")

    assert [slots_of(hosts, None), slots_of(hosts, 4), slots_of((), 7), slots_of((), None)] == [5, 4, 7, None]
    with pytest.raises(InputError, match="6 ranks do not fit into the 5 slots of a:2,b:3"):
        slots_of(hosts, 6)
    with pytest.raises(InputError, match="beside --hostfile"):
        chosen_hosts("a:1", tmp_path)
