"""`hpcmtl help`: the help of a command, or the whole manual page."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hpcmtl._version import __version__

CommandName = Annotated[
    list[str] | None, typer.Argument(metavar="[COMMAND]", help="Name of a command.", show_default=False)
]
ManPage = Annotated[bool, typer.Option("--man", help="Print the manual page of all commands, for `man -l FILE`.")]


def help_(context: typer.Context, command: CommandName = None, *, man: ManPage = False) -> None:
    """Show the help of a command, or of all; with --man print the manual page."""
    from hpcmtl.cli.man_page import man_page

    root: Any = context.find_root()
    if man:
        typer.echo(man_page(root, __version__), nl=False)
        return
    for name in command or ():
        found = root.command.get_command(root, name) if hasattr(root.command, "get_command") else None
        if found is None:
            from hpcmtl.errors import InputError, Problem, nearest

            known = root.command.list_commands(root) if hasattr(root.command, "list_commands") else ()
            raise InputError([Problem(f"help {name}", f"there is no such command{nearest(name, known)}")])
        root = type(root)(found, info_name=name, parent=root)
    typer.echo(root.command.get_help(root))
