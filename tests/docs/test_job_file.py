from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hpcmtl.jobfile.load import parse_job
from hpcmtl.jobfile.schema import Job

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/job_file.md").read_text(encoding="utf-8")


def keys_in(schema: Any) -> set[str]:
    """Every key that the JSON Schema of job files knows."""
    if isinstance(schema, list):
        return {key for entry in schema for key in keys_in(entry)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own | {key for value in schema.values() for key in keys_in(value)}


def test_the_reference_mentions_every_key() -> None:
    """Nobody has to read the schema to learn of a key."""
    missing = sorted(
        key for key in keys_in(Job.model_json_schema()) if f"`{key}`" not in PAGE and f"{key}:" not in PAGE
    )

    assert missing == []


@pytest.mark.parametrize("name", ["coupled", "digits", "small"])
def test_the_examples_are_sound(name: str) -> None:
    """The example job files pass every check that needs no data."""
    raw = yaml.safe_load((ROOT / f"examples/{name}.yaml").read_text(encoding="utf-8"))

    assert parse_job(raw).job == name
