"""The example on words, by mpirun on a small made dictionary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets.words import columns, recipe

from hpcmtl.data import seal

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/words.yaml"
SYLLABLES = {"ba": ("B", "AA"), "te": ("T", "EH"), "lo": ("L", "OW"), "sha": ("SH", "AA"), "no": ("N", "OW")}


def entries():
    """Yields words of 1 to 4 syllables, the longest of which is stressed: the last one but one."""
    generator = np.random.default_rng(3)
    for _ in range(4000):
        chosen = generator.choice(list(SYLLABLES), generator.integers(1, 5))
        stressed = max(len(chosen) - 2, 0)
        phonemes = [
            sound if place == 0 else f"{sound}{int(number == stressed)}"
            for number, syllable in enumerate(chosen)
            for place, sound in enumerate(SYLLABLES[syllable])
        ]
        yield "".join(chosen), phonemes


def test_three_properties_of_words(start, tmp_path):
    """Two ranks learn syllables, stress and first phoneme of words of up to 12 letters, far above the largest class."""
    table = columns(entries())
    phonemes = sorted({"B", "T", "L", "SH", "N"})
    seal(tmp_path / "words.h5", table, recipe(table["stress"].tolist(), phonemes))
    job = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    job["data"] = {"words": str(tmp_path / "words.h5")}
    job["defaults"] |= {"batch_size": 16, "optimizer": {"name": "adam", "learning_rate": 0.01}}
    run = start(job).finish(300)

    assert run.returncode == 0, run.said
    metrics = run.results["tasks"]["test"]["metrics"]
    assert metrics["stress.accuracy"] > 0.9
    assert metrics["first_phoneme.accuracy"] > 0.9
    assert metrics["syllables.mse"] < 0.2 * np.var(table["syllables"])
