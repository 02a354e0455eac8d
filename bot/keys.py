"""Keys: what the bot's device, the phone and the chat server derive, seal and prove with them.

- Identity: Ed25519. It signs logins, published keys, and all that its owner sends. Its fingerprint
  is the first 16 hex digits of the SHA-256 of the public key.
- Keys that move forward: X25519, numbered from 1. Key k+1 is random, never derived from key k: who
  holds an older copy of the session can't compute it.
- A sealed box: a fresh X25519 key against the receiver's; HKDF-SHA256 binds both public keys and
  the purpose; ChaCha20-Poly1305 with that one-time key and a zero nonce.

It owns no state and does no I/O. Every failure is a `BadKeyError`; no message of it holds a secret.
"""

import base64
import binascii
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = bytes(12)  # each sealing key is used once
_KEY_BYTES = 32


class BadKeyError(Exception):
    """A key, seal, signature or proof that does not hold."""


def b64(data: bytes) -> str:
    """Return the data as base64url text without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64(text: str) -> bytes:
    """Return the bytes of a base64url text.

    Raises: BadKeyError.
    """
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise BadKeyError("not base64url") from None


def fingerprint(sign_public: bytes) -> str:
    """Return the short name of an identity key, safe to show."""
    return hashlib.sha256(b"stillhere identity" + sign_public).hexdigest()[:16]


def derived_id(*parts: str) -> str:
    """Return the id that follows from others: the same parts always give the same id."""
    return hashlib.sha256("\0".join(("stillhere id", *parts)).encode()).hexdigest()[:32]


def transcript(purpose: str, *parts: str | int) -> bytes:
    """Return what is signed: the purpose and the parts, each with its length, so unmistakable."""
    fields = [str(part).encode() for part in ("stillhere", purpose, *parts)]
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


class Identity:
    """An Ed25519 key pair: who someone is."""

    def __init__(self, private: bytes | None = None) -> None:
        if private is None:
            self._key = Ed25519PrivateKey.generate()
        else:
            if len(private) != _KEY_BYTES:
                raise BadKeyError("an identity key has 32 bytes")
            self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.private = self._key.private_bytes_raw()
        self.public = self._key.public_key().public_bytes_raw()
        self.fingerprint = fingerprint(self.public)

    def sign(self, data: bytes) -> str:
        """Return the signature as text."""
        return b64(self._key.sign(data))


def verify(sign_public: bytes, signature: str, data: bytes) -> None:
    """Check a signature.

    Raises: BadKeyError.
    """
    try:
        Ed25519PublicKey.from_public_bytes(sign_public).verify(unb64(signature), data)
    except (InvalidSignature, ValueError):
        raise BadKeyError("the signature does not hold") from None


class BoxKey:
    """An X25519 key pair: what is sealed to its public half, its holder can open."""

    def __init__(self, private: bytes | None = None) -> None:
        if private is None:
            self._key = X25519PrivateKey.generate()
        else:
            if len(private) != _KEY_BYTES:
                raise BadKeyError("a box key has 32 bytes")
            self._key = X25519PrivateKey.from_private_bytes(private)
        self.private = self._key.private_bytes_raw()
        self.public = self._key.public_key().public_bytes_raw()

    def shared(self, other_public: bytes, purpose: str) -> bytes:
        """Return 32 bytes that only the two holders can compute, for this purpose only.

        Raises: BadKeyError.
        """
        try:
            secret = self._key.exchange(X25519PublicKey.from_public_bytes(other_public))
        except ValueError:
            raise BadKeyError("not a usable public key") from None
        both = b"".join(sorted((self.public, other_public)))
        info = transcript("shared", purpose)
        return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=both, info=info).derive(secret)

    def open(self, sealed: dict[str, str], aad: bytes) -> bytes:
        """Open a sealed box.

        Raises: BadKeyError.
        """
        key = self.shared(unb64(sealed["eph"]), "seal")
        try:
            return ChaCha20Poly1305(key).decrypt(_NONCE, unb64(sealed["box"]), aad)
        except InvalidTag:
            raise BadKeyError("this key does not open it") from None


def seal(receiver_public: bytes, plain: bytes, aad: bytes) -> dict[str, str]:
    """Seal bytes so that only the holder of the receiver's key opens them.

    Raises: BadKeyError.
    """
    once = BoxKey()
    box = ChaCha20Poly1305(once.shared(receiver_public, "seal")).encrypt(_NONCE, plain, aad)
    return {"eph": b64(once.public), "box": b64(box)}


def published(identity: Identity, key_id: int, public: bytes) -> dict[str, str | int]:
    """Return a device's key as it is published: numbered and signed by its identity."""
    signature = identity.sign(transcript("published key", key_id, b64(public)))
    return {"id": key_id, "pub": b64(public), "sig": signature}


def check_published(sign_public: bytes, key_id: int, public: str, signature: str) -> bytes:
    """Return the public key, if the device's identity signed it.

    Raises: BadKeyError.
    """
    verify(sign_public, signature, transcript("published key", key_id, public))
    return unb64(public)


def proof_of(shared: bytes, *parts: str | int) -> str:
    """Return the proof of holding a shared key (or secret), bound to the parts."""
    return b64(hmac.new(shared, transcript("proof", *parts), hashlib.sha256).digest())


def check_proof(shared: bytes, proof: str, *parts: str | int) -> None:
    """Check such a proof.

    Raises: BadKeyError.
    """
    if not hmac.compare_digest(proof_of(shared, *parts).encode(), proof.encode("utf-8", "replace")):
        raise BadKeyError("the proof does not hold")


def token(size_bytes: int = 16) -> str:
    """Return fresh randomness as text."""
    return secrets.token_urlsafe(size_bytes)
