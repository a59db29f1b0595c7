"""A signal is noted wherever it finds the main thread, and the handlers of before come back."""

import os
import signal
import sys

import pytest

from hpcmtl.dispatch.protocol import EndOfJob
from hpcmtl.dispatch.rank.channels import ThreadChannels
from hpcmtl.dispatch.rank.signals import signals_to


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_noted(number):
    """The control thread finds the name of the signal, and afterwards the handler is the one of before."""
    channels, before = ThreadChannels(), signal.getsignal(number)
    with signals_to(channels):
        os.kill(os.getpid(), number)

        # mpirun cannot pass SIGTERM on without its own end: the launchers send it SIGUSR2.
    meant = signal.SIGTERM if number == signal.SIGUSR2 else number
    assert channels.signal == signal.Signals(meant).name
    assert signal.getsignal(number) is before


def report_with_signal(at):
    """Leave a report, with a signal at the given one of the calls that this makes; return whether it came to that."""
    channels, calls = ThreadChannels(), 0

    def strike(_frame, _event, _argument):
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGUSR1)

    with signals_to(channels):
        sys.setprofile(strike)
        try:
            channels.report(EndOfJob())
        finally:
            sys.setprofile(None)
    assert list(channels.take_reports()) == [EndOfJob()]
    return channels.signal == "SIGUSR1"


@pytest.mark.timeout(300)
def test_in_the_middle_of_a_report():
    """A signal at any call that the main thread makes while it leaves a report does not stop it for ever."""
    struck = [report_with_signal(at) for at in range(1, 60)]

    assert 10 < sum(struck) < len(struck), "the signals did not cover the whole of a report"
