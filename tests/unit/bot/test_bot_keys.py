"""Keys: only the right one opens, signs and proves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import keys
from bot.keys import BadKeyError, BoxKey, Identity


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_only_the_receiver_opens_a_box(plain: bytes, aad: bytes) -> None:
    """The right key and the right context open it; any other key or context does not."""
    receiver, other = BoxKey(), BoxKey()
    sealed = keys.seal(receiver.public, plain, aad)
    assert receiver.open(sealed, aad) == plain
    with pytest.raises(BadKeyError):
        other.open(sealed, aad)
    with pytest.raises(BadKeyError):
        receiver.open(sealed, aad + b"x")


def test_signatures_and_published_keys() -> None:
    """A published key holds for its device and its number only."""
    device, stranger = Identity(), Identity()
    key = keys.published(device, 7, BoxKey().public)
    number, public, signature = 7, str(key["pub"]), str(key["sig"])
    assert keys.check_published(device.public, number, public, signature) == keys.unb64(public)
    for sign, key_id in ((stranger.public, 7), (device.public, 8)):
        with pytest.raises(BadKeyError):
            keys.check_published(sign, key_id, public, signature)


def test_proofs_are_bound_to_secret_and_parts() -> None:
    """Another secret or another part makes another proof."""
    proof = keys.proof_of(b"secret", "a", 1)
    keys.check_proof(b"secret", proof, "a", 1)
    for secret, parts in ((b"other", ("a", 1)), (b"secret", ("a", 2)), (b"secret", ("a1", ""))):
        with pytest.raises(BadKeyError):
            keys.check_proof(secret, proof, *parts)


def test_both_ends_share_a_secret_for_one_purpose() -> None:
    """Two holders compute the same; for another purpose another one."""
    one, two = BoxKey(), BoxKey()
    assert one.shared(two.public, "advance") == two.shared(one.public, "advance")
    assert one.shared(two.public, "advance") != one.shared(two.public, "seal")


@pytest.mark.parametrize("public", [b"", b"short", bytes(32)])
def test_unusable_public_keys_are_refused(public: bytes) -> None:
    """Wrong lengths and the all-zero point are no keys."""
    with pytest.raises(BadKeyError):
        keys.seal(public, b"x", b"")


def test_a_private_key_survives_its_bytes() -> None:
    """Keys can be stored and loaded; a wrong length is refused."""
    assert BoxKey(BoxKey().private).public
    identity = Identity()
    assert Identity(identity.private).fingerprint == identity.fingerprint
    for make in (Identity, BoxKey):
        with pytest.raises(BadKeyError):
            make(b"short")


def test_derived_ids_are_stable_and_distinct() -> None:
    """The reply's id follows from the message's, so a repeated reply is the same reply."""
    assert keys.derived_id("reply", "m1") == keys.derived_id("reply", "m1")
    ids = {
        keys.derived_id(*parts) for parts in (("reply", "m1"), ("reply", "m2"), ("reminder", "m1"))
    }
    assert len(ids) == 3


@given(st.text(max_size=50))
def test_text_that_is_no_base64_is_refused_or_read(text: str) -> None:
    """Any text is either base64url or a BadKeyError."""
    try:
        keys.unb64(text)
    except BadKeyError:
        return
