"""A script of ape's on a chain that was named, whose failures are one sentence."""

from __future__ import annotations

from typing import Any

import click
from ape.cli import ConnectedProviderCommand
from ape.exceptions import ApeException


class OnNetwork(ConnectedProviderCommand):
    """Refuses to guess the network: ape's default is a chain of its own that is gone when the script ends."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As ape does, once `--network` is there."""
        named = any(each == "--network" or each.startswith("--network=") for each in args)
        if not named and not {"-h", "--help"} & set(args):
            raise click.ClickException("network: say which, with --network, such as http://127.0.0.1:8545")
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def invoke(self, ctx: click.Context) -> Any:
        """As ape does; what a node or ape refuses is one sentence instead of a traceback."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            raise click.ClickException(_first_line(error)) from error
        except (ApeException, OSError) as error:
            raise click.ClickException(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    said = str(error.format_message() if isinstance(error, click.ClickException) else error).strip()
    return said.partition("\n")[0] or type(error).__name__
