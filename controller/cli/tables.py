"""Tables and documents on stdout. What jobs and the cluster say is shown as text: no markup, no control characters."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

PIPE_WIDTH = 10_000  # columns where stdout is no terminal: nothing is cut or wrapped

STYLES = {
    "Succeeded": "green",
    "Running": "green",
    "Failed": "red",
    "Lost": "red",
    "Canceled": "yellow",
    "Waiting": "bold yellow",
    "Suspended": "yellow",
    "Stopping": "yellow",
}


def plain(value: Any) -> str:
    """`value` as one line without control characters."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text).strip()


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], *, indent: int = 0) -> None:
    """Print aligned columns; on a terminal with colours and as wide as it, in a pipe never cut."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, width=PIPE_WIDTH)
    grid = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for name in header:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(plain(cell), style=STYLES.get(str(cell), "")) for cell in row))
    with console.capture() as capture:
        console.print(Padding(grid, (0, 0, 0, indent), expand=False))
    for line in capture.get().splitlines():
        click.echo(line.rstrip() if not console.is_terminal else line)


def table_or_none(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table below a heading, or the word that there is nothing."""
    if rows:
        table(header, rows, indent=2)
    else:
        click.echo("  none")


def heading(text: str) -> None:
    """Begin a part of a description."""
    click.secho(f"\n{text}", bold=True)


def document(value: Any, form: str) -> None:
    """Print `value` as `json` or `yaml`."""
    if form == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
        return
    click.echo(as_yaml(value), nl=False)


def as_yaml(value: Any) -> str:
    """YAML in the order of the keys as they are; texts of several lines as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
        style = "|" if "\n" in data else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
