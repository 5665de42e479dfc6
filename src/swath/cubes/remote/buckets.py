"""Addresses of objects in buckets (``s3://BUCKET/KEY``) as addresses that any web server is asked by.

With keys in the environment (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``) addresses are
signed for an hour by obstore, which sends nothing for that; without, buckets are asked openly, as public data sets want
it. ``AWS_ENDPOINT_URL`` names a service other than Amazon's, with the bucket as the first part of the path; an archive
may name its own. Amazon's buckets lie in regions: ``AWS_REGION``, else what the first answer tells.
"""

from __future__ import annotations

import datetime
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from swath.cubes.remote.signing import MARGIN_S
from swath.errors import ConfigError, InputError, require

SCHEME = "s3://"
REGION = "us-east-1"
"""Amazon's own default."""
_VALID_S = 3600.0
_MOST = 10_000
"""Signed addresses that are kept: to sign one takes less than to ask for it."""


@dataclass
class Buckets:
    """What is known of buckets; threads share it.

    Args:
        endpoint: address of the service; ``AWS_ENDPOINT_URL`` or Amazon's where it is empty.
        now: seconds since 1970.
    """

    endpoint: str = ""
    now: Callable[[], float] = time.time
    regions: dict[str, str] = field(default_factory=dict)
    _signed: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint, "now": self.now, "regions": dict(self.regions)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def on_the_web(self, address: str) -> str:
        """The address to ask for an object; signed addresses are used again until they end soon.

        Raises:
            InputError: the address names no bucket or no object.
            ConfigError: half a key, or an endpoint that is no address.
            MissingError: there are keys, and the extra ``stac`` is not installed.
        """
        bucket, key = _parts(address)
        service = (self.endpoint or os.environ.get("AWS_ENDPOINT_URL", "")).rstrip("/")
        if service and not service.startswith(("http://", "https://")):
            raise ConfigError(
                f"The service of buckets is '{service}'",
                expected="an address with http or https",
                remedy="correct AWS_ENDPOINT_URL, or bucket_endpoint of the archive",
            )
        region = self.regions.get(bucket) or os.environ.get("AWS_REGION") or REGION
        if not _keys():
            return f"{service or f'https://s3.{region}.amazonaws.com'}/{bucket}/{quote(key)}"
        with self._lock:
            known, until = self._signed.get(address, ("", 0.0))
            if self.now() > until - MARGIN_S:
                if len(self._signed) >= _MOST:
                    self._signed.clear()
                known = _sign(bucket, key, service, region)
                self._signed[address] = (known, self.now() + _VALID_S)
            return known

    def renew(self, address: str, headers: Mapping[str, str]) -> bool:
        """Learn from a refusal where a bucket lies; False where it tells nothing new."""
        bucket, _ = _parts(address)
        told = headers.get("x-amz-bucket-region", "")
        if not told or told == self.regions.get(bucket):
            return False
        with self._lock:
            self.regions[bucket] = told
            self._signed.clear()
        return True


def _parts(address: str) -> tuple[str, str]:
    parts = urlsplit(address, allow_fragments=False)
    key = address.removeprefix(SCHEME).partition("/")[2]
    if not parts.netloc or not key or "\0" in key:
        raise InputError(f"'{address}' names no object", expected="s3://BUCKET/KEY", remedy="correct the address")
    return parts.netloc, key


def _keys() -> bool:
    """Whether the environment holds keys.

    Raises:
        ConfigError: half of them.
    """
    found = [bool(os.environ.get(f"AWS_{name}")) for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    if any(found) and not all(found):
        raise ConfigError(
            "One of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set, and the other is not",
            expected="both, or neither for buckets that are open to all",
            remedy="set or remove them",
        )
    return all(found)


def _sign(bucket: str, key: str, service: str, region: str) -> str:
    obstore = require("obstore", "stac")
    from obstore.store import S3Store

    settings: dict[str, Any] = {
        "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "region": region,
        "client_options": {"allow_http": service.startswith("http://")},
    }
    if os.environ.get("AWS_SESSION_TOKEN"):
        settings["token"] = os.environ["AWS_SESSION_TOKEN"]
    if service:
        settings["endpoint"] = service
    store = S3Store(bucket, **settings)
    return str(obstore.sign(store, "GET", key, datetime.timedelta(seconds=_VALID_S)))
