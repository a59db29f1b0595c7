"""`hpcmtl data adopt`: makes plain HDF5 files usable where they lie, alone or as the ranks of an MPI world."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hpcmtl.cli.arguments import Json
from hpcmtl.cli.progress import leaving_nothing, progress_bar
from hpcmtl.cli.seal_options import Attribute, Force, Fractions, Seed, Split
from hpcmtl.errors import HpcmtlError, naming_no_permission
from hpcmtl.launch.environment import rank_environment
from hpcmtl.logs import harmless

if TYPE_CHECKING:
    from hpcmtl.data.adopting.order import AdoptionOrder
    from hpcmtl.data.adopting.plan import AdoptionPlan
    from hpcmtl.data.sealing.options import SealOptions

Files = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="HDF5 files, or a pattern in quotes: 'shard*.h5'.", show_default=False),
]
InputNames = Annotated[
    list[str] | None,
    typer.Option("--inputs", metavar="NAME[,NAME]", help="Datasets that networks read.", show_default=False),
]
TargetNames = Annotated[
    list[str] | None,
    typer.Option("--targets", metavar="NAME[,NAME]", help="Datasets to predict.", show_default=False),
]
ArrayRules = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=array,KEY=VALUE",
        help="Scale, classes or units of an array, e.g. `x=array,scale=0.0039`; can be repeated.",
        show_default=False,
    ),
]
MissingValues = Annotated[
    list[str] | None,
    typer.Option(
        "--missing",
        metavar="NAME=VALUE[,NAME=VALUE]",
        help="Number that stands for a missing value in an array, such as `y=nan` or `y=-1`; can be repeated.",
        show_default=False,
    ),
]
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="OUT.h5", help="File to make.", show_default="FILE.adopted.h5", readable=False),
]


def adopt(
    files: Files,
    *,
    inputs: InputNames = None,
    targets: TargetNames = None,
    to: To = None,
    split: Split = None,
    fractions: Fractions = None,
    seed: Seed = None,
    column: ArrayRules = None,
    missing: MissingValues = None,
    attribute: Attribute = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make plain HDF5 files usable where they lie: their split, statistics and checksums go into a small file.

    GROUP/DATASET names one in a group, NAME=GROUP/DATASET gives it another name. Several files count as one, in natural
    order. The ranks of an MPI world read shares of the values.
    """
    from hpcmtl.data.sealing.options import SealOptions

    options = SealOptions(
        columns=tuple(column or ()),
        split=split,
        fractions=fractions,
        seed=seed,
        attributes=tuple(attribute or ()),
    )
    names = [*(inputs or ()), *(targets or ())]

    def ordered() -> AdoptionOrder:
        return _order(files, names, to, options, missing or [], overwrite=force)

    if rank_environment() is not None:
        _be_rank(ordered, as_json=as_json)
    typer.echo(_adopted(ordered(), as_json=as_json))


def _order(
    files: list[str], names: list[str], to: Path | None, options: SealOptions, missing: list[str], *, overwrite: bool
) -> AdoptionOrder:
    """Returns the request that the options make."""
    from hpcmtl.data.adopting.options import missing_values, named_arrays, place_beside
    from hpcmtl.data.adopting.order import AdoptionOrder
    from hpcmtl.data.sealing.options import with_options
    from hpcmtl.data.sealing.recipe import make_recipe

    return AdoptionOrder(
        out=place_beside(files) if to is None else to,
        files=files,
        arrays=named_arrays(names),
        recipe=make_recipe(with_options({}, options), "the options"),
        missing=missing_values(missing),
        overwrite=overwrite,
    )


def _adopted(order: AdoptionOrder, *, as_json: bool) -> str:
    """Adopts files in this process alone, and returns what the command prints."""
    from hpcmtl.data.adopting.adopt import adopt_alone

    with leaving_nothing(f"{order.out} was not written"), progress_bar() as report:
        plan = adopt_alone(order, report)
    return _told(order, plan, as_json=as_json)


def _be_rank(ordered: Callable[[], AdoptionOrder], *, as_json: bool) -> NoReturn:
    """Adopts files as one rank of an MPI world, prints the result, and exits."""
    from hpcmtl.cli.world import world_in_time
    from hpcmtl.communicators.outcome import abort_on_error, on_root
    from hpcmtl.communicators.shutdown import leads, leave
    from hpcmtl.pipeline.adoption import adopt_together

    world, code, text = world_in_time(), 0, ""
    with abort_on_error(world):
        try:
            order = on_root(world, ordered)
            with naming_no_permission(), progress_bar(shown=leads(world)) as report:
                plan = adopt_together(world, order, report)
            text = _told(order, plan, as_json=as_json)
        except HpcmtlError as error:  # all ranks raise the same error: one prints it, and all end normally
            code = int(error.exit_code)
            if leads(world):
                print(f"hpcmtl: {harmless(str(error))}", file=sys.stderr, flush=True)  # noqa: T201 - output of the command
        if text and leads(world):
            typer.echo(text)
        sys.stdout.flush()
        world.barrier()  # a rank that exits with an error kills the others before they have printed
    leave(world, code)


def _told(order: AdoptionOrder, plan: AdoptionPlan, *, as_json: bool) -> str:
    from hpcmtl.data.adopting.told import adoption_lines, adoption_values
    from hpcmtl.results.strict_json import to_json

    if as_json:
        return to_json(adoption_values(order.out, plan), indent=2)
    return "\n".join(adoption_lines(order.out, plan))
