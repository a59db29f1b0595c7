"""Lines of logs as values, and files that are read while they grow."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import InputError
from hpcmtl.logs import close_logs, layer_context, open_logs
from hpcmtl.results.logs.files import LogReader, Wanted
from hpcmtl.results.logs.lines import LogLine, concerns, parse_line
from hpcmtl.results.rundir.directory import create

HEAD = "2026-11-21 10:15:{second:02},000 INFO    rank={rank} layer={layer} hpcmtl.x: "


def line(second, rank, layer, message):
    """A line as a rank writes it."""
    return HEAD.format(second=second, rank=rank, layer=layer) + message + "\n"


@pytest.fixture
def run(tmp_path):
    """A run of two ranks."""
    run = create(tmp_path / "runs", "small")
    run.rank_log(0).write_text(line(1, 0, "a/0", "one") + line(3, 0, "-", "b failed") + "Traceback\n  boom\n")
    run.rank_log(1).write_text(line(2, 1, "b/1", "two") + line(4, 1, "a/1", "four"))
    return run


def texts(reader, **how):
    """The ends of the new lines."""
    return [found.text.rpartition(": ")[2] for found in reader.read(**how)]


def test_what_ranks_write_is_read(tmp_path):
    """The form that `hpcmtl.logs` writes is the one that is parsed, task and layer included."""
    file = tmp_path / "rank.003.log"
    open_logs(3, file)
    with layer_context("features.v2-a", 2):
        logging.getLogger("hpcmtl.own").warning("loss=1: high")
    close_logs()
    found = parse_line(file.name, file.read_text().rstrip("\n"))

    assert (found.level, found.rank, found.task, found.layer) == ("WARNING", 3, "features.v2-a", 2)
    assert found.file == "rank.003.log"


def test_a_line_of_a_task(tmp_path):
    """Rank, task, layer, module and message are parted."""
    found = parse_line("f", line(1, 7, "digit/12", "a: b").rstrip("\n"))

    assert found == LogLine("f", found.text, "2026-11-21 10:15:01,000", "INFO", 7, "digit", 12, "hpcmtl.x", "a: b")


@given(st.text(st.characters(exclude_characters="\n")), st.none() | st.builds(LogLine, st.just("f"), st.just("x")))
def test_any_line_is_a_line(text, before):
    """Whatever is written is kept as it is."""
    assert parse_line("f", text, before).text == text


@pytest.mark.parametrize(
    ("message", "tells"),
    [
        ("a ends", True),
        ("task a, layer 1", True),
        ("needs a: gone", True),
        ("banana", False),
        ("a-b", False),
        ("x.a", False),
    ],
)
def test_lines_that_name_a_task(message, tells):
    """A name counts as a whole word, so that one task is not taken for another whose name begins alike."""
    assert concerns(LogLine("f", message, message=message), "a") == tells


def test_whose_lines(run):
    """By default rank 0's; a rank's; a task's from all ranks, by time; both; a traceback belongs to its line."""
    assert texts(LogReader(run)) == ["one", "b failed", "Traceback", "  boom"]
    assert texts(LogReader(run, Wanted(rank=1))) == ["two", "four"]
    assert texts(LogReader(run, Wanted(task="a"))) == ["one", "four"]
    assert texts(LogReader(run, Wanted(task="b"))) == ["two", "b failed"]
    assert texts(LogReader(run, Wanted(rank=0, task="a"))) == ["one"]


def test_batch_output_comes_first(run):
    """Where there is a batch job its output is the run's own, of all its attempts."""
    (run.logs / "16.out").write_text("first\n")
    reader = LogReader(run)
    before = texts(reader)
    (run.logs / "17.out").write_text("second\n")

    assert (before, texts(reader)) == (["first"], ["second"])


def test_files_that_grow(run):
    """Each look has what is new: whole lines, none twice; a file that begins again is read from its start."""
    (run.logs / "16.out").write_text("one\ntw")
    reader = LogReader(run)
    looks = [texts(reader)]
    with (run.logs / "16.out").open("a") as file:
        file.write("o\n\nthree")
    looks += [texts(reader), texts(reader)]
    (run.logs / "16.out").write_text("new\n")
    looks += [texts(reader)]
    with (run.logs / "16.out").open("a") as file:
        file.write("end")
    looks += [texts(reader, last=True)]

    assert looks == [["one"], ["two", ""], [], ["new"], ["end"]]


def test_a_rank_that_is_not_there(run, tmp_path):
    """It is refused with those that are; before there are any logs nobody knows."""
    with pytest.raises(InputError, match=r"--rank 5: there is no such log; 2 ranks have one, rank.000.log to rank.001"):
        LogReader(run, Wanted(rank=5)).require()
    LogReader(create(tmp_path / "runs", "new"), Wanted(rank=5)).require()
