"""Requests are looked for now and then; a folder that cannot be read is named once, and what is no request refused."""

from types import SimpleNamespace

import pytest

from hpcmtl.dispatch.requests.request_queue import SECONDS_BETWEEN_LOOKS, RequestFolder, RequestQueue


def test_a_folder_that_is_away_is_named_once(tmp_path, caplog):
    """The same trouble is one line of the log, until the folder was there again."""
    place = tmp_path / "requests"
    folder = RequestFolder(place, [].append)
    for _ in range(2):
        place.write_text("this is no folder")
        assert [folder.take(), folder.take()] == [[], []]
        place.unlink()
        assert folder.take() == []

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["requests cannot be read"] * 2


@pytest.mark.parametrize(("ended", "answered"), [(False, [1, 1, 2]), (True, [0, 0, 0])])
def test_looks_keep_their_distance(tmp_path, ended, answered):
    """The folder is looked at every half second, until the job has ended; what is no request is refused each time."""
    recorded, found = [], []
    queue = RequestQueue(RequestFolder(tmp_path, recorded.append), SimpleNamespace(ended=ended))
    for number, now in enumerate((10.0, 10.0 + 0.9 * SECONDS_BETWEEN_LOOKS, 10.0 + SECONDS_BETWEEN_LOOKS)):
        (tmp_path / f"torn{number % 2}.json").write_text("{")
        assert queue.look(now) == []
        found.append(len(recorded))

    assert found == answered
    assert all(event.name == "request_refused" and "this is no request" in event.message for event in recorded)
