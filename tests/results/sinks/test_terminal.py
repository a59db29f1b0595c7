from __future__ import annotations

import io
import re
import sys

import pytest
from events import event

from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.results.sinks.terminal import SECONDS_BETWEEN_LINES, Terminal, open_display
from hpcmtl.results.step_progress import StepProgress


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    """A terminal that can draw, whatever the tests are started from."""
    monkeypatch.setenv("TERM", "xterm")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def read(self):
        """Return the time."""
        return self.now


def display(mode, width=100):
    """Return a display, its stream and its clock."""
    stream, clock = io.StringIO(), Clock()
    return open_display(mode, stream, width, clock.read), stream, clock


def step(task="digit", layer=1, epoch=2, fraction=0.5, loss=0.123456):
    """A report from the middle of a layer."""
    return StepProgress(task, layer, epoch, loss, 1234.5, fraction)


def test_a_plain_line_names_every_running_task():
    """Layer and epoch from 1, the share of the whole task, the rate with its unit; what is unknown is left out."""
    progress, stream, _ = display("plain")
    progress.layer_started("digit", 1, 4, 2)
    progress.layer_started("parity", 0, 1, 1)
    progress.step(step())

    assert stream.getvalue() == (
        "hpcmtl: digit 38%, layer 2/4, epoch 3, loss 0.123, 1.23k samples/s, 2 ranks; parity 0%, layer 1/1, 1 rank\n"
    )


def test_a_task_without_a_loss_shows_none():
    """Extraction has a rate alone."""
    progress, stream, _ = display("plain")
    progress.layer_started("features", 0, 1, 2)
    progress.step(StepProgress("features", 0, 0, None, 3.1e6, 0.25))

    assert stream.getvalue() == "hpcmtl: features 25%, layer 1/1, epoch 1, 3.1M samples/s, 2 ranks\n"


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (87.34, "87.3"),
        (999.4, "999"),
        (999.6, "1k"),
        (1000.0, "1k"),
        (1240.0, "1.24k"),
        (999_400.0, "999k"),
        (999_600.0, "1M"),
        (3.1e6, "3.1M"),
    ],
)
def test_a_rate_has_three_digits(rate, text):
    """From a thousand on it has a unit."""
    progress, stream, _ = display("plain")
    progress.layer_started("features", 0, 1, 2)
    progress.step(StepProgress("features", 0, 0, None, rate, 0.25))

    assert f" {text} samples/s" in stream.getvalue()


def test_plain_lines_keep_their_distance():
    """However many reports come in, two lines are ten seconds apart."""
    progress, stream, clock = display("plain")
    progress.layer_started("digit", 1, 4, 2)
    written_at = []
    for _ in range(400):
        before = stream.tell()
        progress.step(step())
        if stream.tell() > before:
            written_at.append(clock.now)
        clock.now += 0.25

    assert written_at == [1000.0 + SECONDS_BETWEEN_LINES * k for k in range(10)]


def test_each_task_end_is_a_line_at_once():
    """With the time since its first layer, the reason if it has one, and also for a task that never ran."""
    progress, stream, clock = display("plain")
    progress.layer_started("digit", 0, 2, 2)
    clock.now += 5
    progress.layer_ended("digit")
    progress.layer_started("digit", 1, 2, 4)
    clock.now += 7.25
    progress.layer_ended("digit")
    progress.task_ended("digit", "failed", "the loss became NaN")
    progress.task_ended("joint", "skipped", "needs digit, which failed")

    assert stream.getvalue().splitlines() == [
        "hpcmtl: digit failed after 12.2 s: the loss became NaN",
        "hpcmtl: joint skipped: needs digit, which failed",
    ]


@pytest.mark.parametrize("mode", ["plain", "live"])
def test_a_report_that_comes_late_changes_nothing(mode):
    """The report of a member may arrive after the end of the layer that the root told, or in the next layer."""
    progress, stream, _ = display(mode)
    progress.layer_started("digit", 0, 2, 2)
    progress.layer_ended("digit")
    progress.step(step(layer=0, loss=777.0))
    progress.layer_started("digit", 1, 2, 2)
    progress.step(step(layer=0, loss=777.0))
    progress.close()

    assert "777" not in stream.getvalue()


def test_quiet_is_quiet():
    """Every event is taken and nothing is written."""
    progress, stream, _ = display("quiet")
    progress.layer_started("digit", 1, 4, 2)
    progress.step(step())
    progress.layer_ended("digit")
    progress.task_ended("digit", "complete")
    progress.close()

    assert stream.getvalue() == ""


def words(stream):
    """Returns the written text, without the escape sequences of a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_live_draws_a_bar_a_running_task_on_a_stream_that_is_no_terminal():
    """Mpirun forwards the stream; the facts of all running tasks are on the screen, in columns."""
    progress, stream, _ = display("live")
    progress.layer_started("digit", 1, 4, 2)
    progress.layer_started("odd[x]", 0, 1, 1)
    progress.step(step())
    progress.close()

    digit = next(line for line in words(stream).splitlines() if "digit" in line and "epoch" in line)
    assert "\x1b[" in stream.getvalue()
    assert re.search(r"digit +━.* 38% layer 2/4 epoch 3 loss 0\.123 +1\.23k samples/s 2 ranks", digit)
    assert re.search(r"odd\[x\] .* 0% layer 1/1 +1 rank", words(stream))


def test_live_tells_long_names_apart():
    """In 80 columns names lose their middle; they are no markup, whatever brackets they have."""
    progress, stream, _ = display("live", width=80)
    for number in range(2):
        name = f"pretrain-of-[the]-large-encoder-fold-{number}"
        progress.layer_started(name, 0, 1, 1)
        progress.step(StepProgress(name, 0, 1, 0.5, 1234.5, 0.5))
    progress.close()
    shown = set(re.findall(r"(pre\S*…\S*\d)\b", stream.getvalue()))

    assert {name[-2:] for name in shown} == {"-0", "-1"}


def test_live_leaves_lines_of_ended_tasks_and_no_bars():
    """The bar goes when the layer ends, the line stays."""
    progress, stream, clock = display("live", width=60)
    progress.layer_started("digit", 0, 1, 2)
    clock.now += 3
    progress.layer_ended("digit")
    progress.task_ended("digit", "failed", "a reason that is longer than the terminal is wide and is not cut")
    before_close = len(words(stream))
    progress.close()

    assert "digit failed after 3.0 s: a reason that is longer than the terminal is wide and is not cut" in words(stream)
    assert "digit" not in words(stream)[before_close:]


def test_live_honours_no_color(monkeypatch):
    """Bars stay, colours go."""
    colours = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-7]|9[0-7]|38;[0-9;]+)m")
    seen = {}
    monkeypatch.setenv("TERM", "xterm-256color")
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        progress, stream, _ = display("live")
        progress.layer_started("digit", 1, 4, 2)
        progress.step(step())
        progress.close()
        seen[no_color] = bool(colours.search(stream.getvalue()))

    assert seen == {"": True, "1": False}


def test_live_gives_the_standard_streams_back():
    """After close the process writes where it wrote before, and never was the standard output touched."""
    before = sys.stdout, sys.stderr
    progress, _, _ = display("live")
    stdout_meanwhile = sys.stdout
    progress.close()

    assert stdout_meanwhile is before[0]
    assert (sys.stdout, sys.stderr) == before


def test_the_last_bar_ends_with_a_newline():
    """Mpirun forwards whole lines: the row of a task that runs alone is followed by a newline, whenever it is drawn."""
    stream = io.StringIO()
    display = open_display("live", stream, 80)
    display.layer_started("alone", 0, 1, 1)
    display.step(StepProgress("alone", 0, 0, 0.5, 10.0, 0.5))
    display._bars.refresh()
    drawn = stream.getvalue()
    display.close()

    assert "alone" in drawn
    assert "\n" in drawn[drawn.rindex("alone") :]


@pytest.mark.parametrize("mode", ["live", "plain"])
def test_the_metric_of_the_newest_validation(mode):
    """A running task shows its newest metric, also in later layers; a metric without a value is left out."""
    stream = io.StringIO()
    clock = iter(range(0, 1000, 20))
    terminal = Terminal(open_display(mode, stream, 160, lambda: next(clock)))
    terminal.on_event(event("layer_started", task="t", layer=0, layers=2, first_rank=0, ranks=1), 0.0)
    terminal.on_point("t", TrainingPoint(step=5, ends_epoch=True, metrics={"val_auc": None, "val_f1": 0.25}))
    terminal.on_event(event("layer_started", task="t", layer=1, layers=2, first_rank=0, ranks=1), 0.0)
    terminal.on_progress(StepProgress("t", 1, 0, 0.5, 10.0, 0.5))
    terminal.close()

    assert "val_f1 0.25" in words(stream)
    assert "val_auc" not in words(stream)
