"""Texts of durations and numbers for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Returns a duration as text: 8 s, 3 min 20 s, 2 h 05 min, 1 d 04 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 24 else f"{hours // 24} d {hours % 24:02} h"


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: 1 task, 2 tasks."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
