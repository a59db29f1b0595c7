"""The base of everything in a job file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from hpcmtl.networks.strict import strict_numbers

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


def tag_of_name(value: Any) -> str:
    """Returns the tag that the `name` of a value chooses: itself, or ``user`` for ``package.module:attribute``."""
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return "user" if isinstance(name, str) and ":" in name else str(name)


class Spec(BaseModel):
    """Base of everything in a job file: frozen, and an unknown key is an error."""

    # A model that is only a part of others never needs a validator of its own: `validate` takes 40 ms of CPU less.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, defer_build=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Returns the validator of pydantic; see `strict_numbers`."""
        schema: CoreSchema = strict_numbers(handler(source))
        return schema
