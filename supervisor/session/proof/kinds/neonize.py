"""whatsmeow's store: one SQLite file of any name, as neonize and Go bots have it.

Read in neonize 0.5.2, which has whatsmeow inside, and made with it: a row of `whatsmeow_device`
is a linked device, with its private keys; a store without a row is of nobody. whatsmeow deletes
the row at a logout, and makes a new store of an empty file without a word.
"""

from pathlib import Path

from supervisor.session.proof.databases import columns, databases_in, mentions, rows
from supervisor.session.proof.kinds.generic import EXCLUDES, MAY_BE_EMPTY, REREAD
from supervisor.session.proof.kinds.model import Profile, fingerprint

_TABLE = "whatsmeow_device"
_KEY_BYTES = 32


def is_neonize(folder: Path) -> bool:
    """Return whether a database right in `folder` is whatsmeow's, linked or not."""
    wanted = {"jid", "noise_key", "identity_key"}
    return any(
        mentions(path, _TABLE) and columns(path, _TABLE) >= wanted for path in databases_in(folder)
    )


def neonize_identity(folder: Path) -> str | None:
    """Return `<jid>:<fingerprint of the identity's key>` of the device linked first, or None.

    Only the private key is stored: the fingerprint is a hash from which nobody gets it.
    """
    for path in databases_in(folder):
        for jid, key in rows(path, _TABLE, ("jid", "identity_key")):
            if isinstance(jid, str) and jid and isinstance(key, bytes) and len(key) == _KEY_BYTES:
                return f"{jid}:{fingerprint('whatsmeow', key)}"
    return None


NEONIZE = Profile(
    name="neonize",
    fits=is_neonize,
    excludes=EXCLUDES,
    reread=REREAD,
    may_be_empty=MAY_BE_EMPTY,
    identity=neonize_identity,
    in_any_database=True,
)
