"""What a task does, one module a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.training.sessions.evaluate import EvaluateSession
from hpcmtl.training.sessions.extract import ExtractSession
from hpcmtl.training.sessions.predict import PredictSession
from hpcmtl.training.sessions.python import PythonSession
from hpcmtl.training.sessions.train import TrainSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.training.session import Session, SessionContext

# A joint task trains a network with several objectives, a train task one with one: the session is the same.
SESSIONS: Mapping[str, Callable[[SessionContext], Session]] = {
    "train": TrainSession,
    "joint": TrainSession,
    "extract": ExtractSession,
    "predict": PredictSession,
    "evaluate": EvaluateSession,
    "python": PythonSession,
}
