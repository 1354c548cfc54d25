"""Arrays and archives as bytes, for tests that damage them."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping

import numpy as np

from convdepth.models.archive import DIGESTS


def npy(array: object) -> bytes:
    """Return what numpy writes of an array, which may hold pickles."""
    content = io.BytesIO()
    np.save(content, np.asarray(array), allow_pickle=True)
    return content.getvalue()


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Return an archive of these members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def members_of(archive: bytes) -> dict[str, bytes]:
    """Return the members of an archive by name."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def digests_of(members: Mapping[str, bytes]) -> dict[str, str]:
    """Return the digests that a model with these members holds of them."""
    contents = {name: content for name, content in members.items() if name != DIGESTS}
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def with_digests(members: Mapping[str, bytes]) -> bytes:
    """Return a model of these members with digests that fit."""
    return zipped({**members, DIGESTS: json.dumps(digests_of(members), sort_keys=True).encode()})
