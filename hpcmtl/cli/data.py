"""`hpcmtl data`: makes sealed data files, shows their content, and compares it with its checksums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcmtl.cli.adopt import adopt
from hpcmtl.cli.arguments import Json
from hpcmtl.cli.help import VerbCommand, VerbGroup
from hpcmtl.cli.progress import leaving_nothing, progress_bar
from hpcmtl.cli.seal_options import Attribute, Force, Fractions, Seed, Split
from hpcmtl.errors import ExitCode

if TYPE_CHECKING:
    from hpcmtl.data.sealing.options import SealOptions
    from hpcmtl.data.sealing.rules import Recipe
    from hpcmtl.data.sealing.seal import SealPlan

app = typer.Typer(cls=VerbGroup, help="Make, describe and check data files.", no_args_is_help=True)

DataFile = Annotated[Path, typer.Argument(metavar="FILE", help="Sealed data file.", show_default=False, readable=False)]
NewFile = Annotated[
    Path, typer.Argument(metavar="OUT.h5", help="Data file to make.", show_default=False, readable=False)
]
From = Annotated[
    Path,
    typer.Option(
        "--from",
        metavar="DATA",
        help="Table (.csv, .tsv, .parquet), arrays (.npz, .npy, .h5), lines of text (.txt), or a folder of images.",
        show_default=False,
        readable=False,
    ),
]
Columns = Annotated[
    Path | None,
    typer.Option("--columns", metavar="FILE", help="YAML file with the rules of columns.", show_default=False),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=KIND[,KEY=VALUE]",
        help="Rule of one column, e.g. `price=numeric,missing=mean`; can be repeated.",
        show_default=False,
    ),
]
Target = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="NAME", help="Column to predict; can be repeated.", show_default=False),
]
PlanOnly = Annotated[bool, typer.Option("--dry-run", help="Show what was understood, and write nothing.")]


app.command("adopt", cls=VerbCommand)(adopt)


@app.command("seal", cls=VerbCommand)
def seal(
    out: NewFile,
    data: From,
    *,
    columns: Columns = None,
    column: Column = None,
    target: Target = None,
    split: Split = None,
    fractions: Fractions = None,
    seed: Seed = None,
    attribute: Attribute = None,
    dry_run: PlanOnly = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a sealed data file from a table, arrays, images or text.

    Rules that are left out are guessed from the first rows; --dry-run shows them. Means, deviations and vocabularies
    are those of the train rows.
    """
    from hpcmtl.data.sealing.options import SealOptions

    options = SealOptions(
        columns=tuple(column or ()),
        targets=tuple(target or ()),
        split=split,
        fractions=fractions,
        seed=seed,
        attributes=tuple(attribute or ()),
    )
    recipe = _recipe(columns, options)
    said, plan = _sealed(out, data, recipe, dry_run=dry_run, force=force, as_json=as_json)
    typer.echo(said)
    plan.require_sound()


def _recipe(columns: Path | None, options: SealOptions) -> Recipe:
    """Returns the recipe of a columns file and the options."""
    from hpcmtl.data.sealing.options import with_options
    from hpcmtl.data.sealing.recipe import make_recipe, read_recipe

    where = "the options" if columns is None else str(columns)
    return make_recipe(with_options({} if columns is None else read_recipe(columns), options), where)


def _sealed(
    out: Path, data: Path, recipe: Recipe, *, dry_run: bool, force: bool, as_json: bool
) -> tuple[str, SealPlan]:
    """Seals the data, or plans it; returns what the command prints, and the plan."""
    from hpcmtl.data.sealing.seal import plan_seal
    from hpcmtl.data.sealing.seal import seal as seal_data
    from hpcmtl.data.sealing.told import plan_lines, plan_values
    from hpcmtl.results.strict_json import to_json

    with leaving_nothing(f"{out} was not written"), progress_bar() as report:
        if dry_run:
            plan = plan_seal(data, recipe, report=report)
        else:
            plan = seal_data(out, data, recipe, overwrite=force, report=report)
    if as_json:
        return to_json(plan_values(plan), indent=2), plan
    return "\n".join([*plan_lines(plan), f"{out}: {'not written (--dry-run)' if dry_run else 'sealed'}"]), plan


@app.command("describe", cls=VerbCommand)
def describe(
    file: DataFile,
    as_json: Json = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="OUT", help="Write a page with small pictures.", show_default=False)
    ] = None,
) -> None:
    """Show splits, types, chunks, counts of classes, missing labels, ranges and first samples of a data file."""
    from hpcmtl.data.describing import describe_file, report_lines
    from hpcmtl.data.describing_page import write_page
    from hpcmtl.results.strict_json import to_json

    with leaving_nothing("nothing was written"), progress_bar() as report:
        found = describe_file(file, report)
        if html is not None:
            write_page(html, found)
    if as_json:
        typer.echo(to_json(replace(found, arrays=tuple(replace(each, pictures=()) for each in found.arrays)), indent=2))
    elif html is not None:
        typer.echo(f"{html}: written")
    else:
        typer.echo("\n".join(report_lines(found)))


@app.command("check", cls=VerbCommand)
def check(file: DataFile, as_json: Json = False) -> None:
    """Compare all values of a data file with their checksums.

    The exit code is 0 if all are sound, 1 if some are damaged, and 2 if there is no such file.
    """
    from hpcmtl.data.describing import check_file
    from hpcmtl.results.strict_json import to_json

    with leaving_nothing("the check is not complete"), progress_bar() as report:
        arrays, problems = check_file(file, report)
    if as_json:
        typer.echo(to_json({"file": str(file), "sound": not problems, "problems": [str(each) for each in problems]}))
    else:
        for problem in problems:
            typer.echo(str(problem))
        ending = f"{len(problems)} of {arrays} arrays are damaged" if arrays else "cannot be read"
        typer.echo(f"{file}: {ending if problems else f'{arrays} arrays, all are sound'}")
    raise typer.Exit(int(ExitCode.TASK_FAILED if problems else ExitCode.COMPLETE))
