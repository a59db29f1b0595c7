"""Options that `hpcmtl data seal` and `data adopt` share."""

from __future__ import annotations

from typing import Annotated

import typer

Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="HOW",
        help="hash (default), stratified:COLUMN, grouped:COLUMN, time:COLUMN, folds:FOLDS/FOLD, or column:COLUMN.",
        show_default=False,
    ),
]
Fractions = Annotated[
    str | None,
    typer.Option("--fractions", metavar="A,B,C", help="Shares of train, val and test.", show_default="0.8,0.1,0.1"),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the split.", show_default="0")]
Attribute = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="KEY=VALUE",
        help="Attribute of the file, such as source or licence; can be repeated.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]
