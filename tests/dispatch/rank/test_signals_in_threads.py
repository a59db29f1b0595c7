"""Signals where a program calls hpcmtl in a thread of its own."""

import signal
import threading

from hpcmtl.dispatch.rank.channels import ThreadChannels
from hpcmtl.dispatch.rank.signals import signals_to


def test_another_thread_leaves_signals_alone():
    """Python lets the main thread alone set handlers: elsewhere the program's own stay, and nothing is raised."""
    before, inside = signal.getsignal(signal.SIGTERM), []

    def call():
        with signals_to(ThreadChannels()):
            inside.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()

    assert inside == [before]
