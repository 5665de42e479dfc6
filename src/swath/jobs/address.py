"""What names a dask cluster: ``local:2``, or the address of a scheduler."""

from __future__ import annotations

import re

from swath.errors import ConfigError

_LOCAL = re.compile(r"local:([1-9][0-9]{0,3})")
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]*://)?[^\s/]+:[0-9]{1,5}(/.*)?")


def check_address(cluster: str) -> str:
    """The name of a cluster, if it is one.

    Raises:
        ConfigError: it is neither ``local:NUMBER`` nor an address with a port.

    >>> check_address("local:2")
    'local:2'
    """
    if local_workers(cluster) or (_REMOTE.fullmatch(cluster) and not cluster.startswith("local:")):
        return cluster
    raise ConfigError(
        f"The cluster is '{cluster}'",
        expected="local:2 for two processes on this machine, or the address of a dask scheduler",
        remedy="write the address as the scheduler prints it, such as tcp://10.0.0.5:8786",
    )


def local_workers(cluster: str) -> int:
    """Processes of a cluster on this machine; 0 for one that is elsewhere.

    >>> local_workers("local:3"), local_workers("tcp://10.0.0.5:8786")
    (3, 0)
    """
    found = _LOCAL.fullmatch(cluster)
    return int(found.group(1)) if found else 0
