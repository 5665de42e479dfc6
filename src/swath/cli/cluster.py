"""``--cluster``: the dask cluster that does the work of a command."""

from __future__ import annotations

from typing import Annotated

import typer


def _check(cluster: str) -> str:
    """Refuse what cannot be a cluster before anything else is done.

    Raises:
        ConfigError: it is neither ``local:NUMBER`` nor an address.
    """
    from swath.jobs import check_address

    return check_address(cluster) if cluster else cluster


Cluster = Annotated[
    str,
    typer.Option(
        "--cluster",
        help="Dask cluster instead of processes: local:2, or the address of a scheduler.",
        show_default=False,
        callback=_check,
    ),
]
