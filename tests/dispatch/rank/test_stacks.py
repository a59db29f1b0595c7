"""A rank that is stuck tells where its threads are."""

import threading

from hpcmtl.dispatch.rank.stacks import place_of_main_thread, stacks


def test_all_threads_are_shown():
    """Another thread sees where the main thread is; the stacks name both threads and their innermost calls."""
    seen = []

    def look():
        seen.extend([place_of_main_thread(), stacks()])

    thread = threading.Thread(target=look, name="looking")
    thread.start()
    thread.join()
    place, text = seen

    assert place.endswith((" in join", " in wait", " in _wait_for_tstate_lock"))
    assert "thread looking:" in text
    assert "thread MainThread:" in text
    assert "test_all_threads_are_shown" in text
