"""The manual page of `hpcmtl`, from the same texts as `--help`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "hpcmtl"


def man_page(root: Any, version: str) -> str:
    """Returns a manual page of section 1 in the format of `man`.

    Args:
        root: context of the command `hpcmtl`, as click has it.
        version: version of hpcmtl.
    """
    lines = [f'.TH {NAME.upper()} 1 "" "{NAME} {version}" "User Commands"', ".nh", ".ad l"]
    lines += [".SH NAME", f"{NAME} \\- {_text(_first_sentence(root.command.help))}"]
    lines += [".SH SYNOPSIS", f".B {NAME}", ".I COMMAND", "[OPTIONS] ..."]
    lines += [".SH DESCRIPTION", _text(root.command.help or ""), ".SH OPTIONS", *_parameters(root)]
    lines += [".SH COMMANDS"]
    for context in _contexts(root):
        lines += _section(context)
    if root.command.epilog:
        lines += [".SH EXIT STATUS", _text(re.sub(r"^Exit codes: *", "", root.command.epilog))]
    lines += [".SH SEE ALSO", ".BR mpirun (1),", ".BR sbatch (1)"]
    return "\n".join(lines) + "\n"


def _contexts(parent: Any) -> Iterator[Any]:
    """Yields the context of each command of a group that is shown, and those of the commands of groups in it."""
    for name in parent.command.list_commands(parent):
        command = parent.command.get_command(parent, name)
        if command.hidden:
            continue
        context = type(parent)(command, info_name=name, parent=parent)
        if hasattr(command, "list_commands"):
            yield from _contexts(context)
        else:
            yield context


def _section(context: Any) -> list[str]:
    words = [*_names(context), *context.command.collect_usage_pieces(context)]
    head = [f'.SS "{_quoted(" ".join(words))}"']
    paragraphs = re.split(r"\n\s*\n", context.command.help or "")
    body = [line for text in paragraphs for line in (".PP", _text(text))]
    return [*head, *body, *_parameters(context)]


def _names(context: Any) -> list[str]:
    """Returns the names of a command, whatever the program was started by."""
    return [NAME] if context.parent is None else [*_names(context.parent), str(context.info_name)]


def _parameters(context: Any) -> list[str]:
    """Returns a tagged paragraph for each argument and option, with the texts of `--help`."""
    records = [each.get_help_record(context) for each in context.command.get_params(context)]
    return [
        line for record in records if record for line in (".TP", f".B {_text(record[0].strip())}", _text(record[1]))
    ]


def _first_sentence(text: str | None) -> str:
    return (text or "").split(". ")[0].rstrip(".")


def _text(text: str) -> str:
    """Returns a text as one line of the format: nothing in it is a request, and each `-` can be copied."""
    line = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) or not line else line


def _quoted(text: str) -> str:
    """Returns a text as one argument of a request, inside quotation marks."""
    return _text(text).replace('"', "\\(dq")
