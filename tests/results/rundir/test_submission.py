"""A job in the queue is recognised as an attempt of a run by its script, its arguments and its place in an array."""

import pytest

from hpcmtl.results.rundir.submission import Submission

SCRIPT = "/runs/small/job.sh"
RUN, POINT = Submission(script=SCRIPT), Submission(script=SCRIPT, arguments=("3",))
ELEMENT = Submission(script=SCRIPT, index=2)
SWEEP = Submission(script=SCRIPT, index=2, whole_sweep=True)


@pytest.mark.parametrize(
    ("submission", "job", "command", "found"),
    [
        (RUN, "7", SCRIPT, True),
        (RUN, "7", "/runs/small/../small/job.sh", True),
        (RUN, "7", "/runs/other/job.sh", False),
        (RUN, "7", "", False),
        (Submission(), "7", SCRIPT, False),
        (POINT, "7", f"{SCRIPT} 3", True),
        (POINT, "7", f"{SCRIPT} 4", False),
        (POINT, "7", SCRIPT, False),
        (RUN, "7", f"{SCRIPT} 0", True),
        (ELEMENT, "16_2", SCRIPT, True),
        (ELEMENT, "16_12", SCRIPT, False),
        (SWEEP, "16_5", f"{SCRIPT} 4", True),
        (SWEEP, "16_5", "/runs/other/job.sh", False),
    ],
)
def test_a_job_of_the_queue_is_recognised(submission, job, command, found):
    """The script tells the run; a number after it tells the point of a sweep, and without one it is the first."""
    assert submission.has_started(job, command) is found
