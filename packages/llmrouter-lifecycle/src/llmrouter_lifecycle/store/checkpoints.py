"""Checkpoints of trained routers, by the digest of their content."""

from __future__ import annotations

import hashlib
import time

from sqlalchemy import Connection, select

from llmrouter.errors import CheckpointError
from llmrouter_lifecycle.errors import ResourceNotFoundError
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import checkpoints


def digest_of(data: bytes) -> str:
    """Return the digest that names a content, ``sha256:…``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def put_checkpoint(database: Database, connection: Connection, org: str, data: bytes) -> str:
    """Keep a checkpoint as part of a transaction; return its digest."""
    digest = digest_of(data)
    row = {"org": org, "digest": digest, "created": time.time(), "data": data}
    database.insert_missing(connection, checkpoints, [row])
    return digest


def has_checkpoint(database: Database, org: str, digest: str) -> bool:
    """Whether an organisation has a checkpoint."""
    query = select(checkpoints.c.digest).where(checkpoints.c.org == org, checkpoints.c.digest == digest)
    with database.read() as connection:
        return connection.scalar(query) is not None


def get_checkpoint(database: Database, org: str, digest: str) -> bytes:
    """Return a checkpoint of an organisation.

    Raises:
        ResourceNotFoundError: It has none of this digest.
        CheckpointError: What is kept is not what was kept.
    """
    query = select(checkpoints.c.data).where(checkpoints.c.org == org, checkpoints.c.digest == digest)
    with database.read() as connection:
        data = connection.scalar(query)
    if data is None:
        raise ResourceNotFoundError(f"checkpoint {digest} does not exist", param="checkpoint")
    if digest_of(bytes(data)) != digest:
        raise CheckpointError(None, f"the checkpoint {digest} is damaged; train the router again")
    return bytes(data)
