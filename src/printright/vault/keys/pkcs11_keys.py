"""A member's or unit's keys in a token: they sign and unseal inside of it and never leave it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error, PrivateKey, Session
from pkcs11.exceptions import AttributeTypeInvalid
from pkcs11.mechanisms import KDF

from printright.domain.ids import Address
from printright.domain.words import checksum, keccak
from printright.errors import BadSettings, BadValue, TokenUnavailable, WrongKey
from printright.vault.dhkem import open_sealed
from printright.vault.keys.ledger_key import LedgerKey
from printright.vault.keys.pkcs11_token import Token, open_token
from printright.vault.keys.pkcs11_uri import TokenUri
from printright.vault.keys.unsealing_key import UnsealingKey
from printright.vault.sealing import public_key

LEDGER_CURVE, UNSEALING_CURVE = "secp256k1", "P-256"
# CKA_EC_PARAMS: the curves' object identifiers in DER (SEC 2, RFC 5480).
_PARAMETERS = {
    LEDGER_CURVE: bytes.fromhex("06052b8104000a"),
    UNSEALING_CURVE: bytes.fromhex("06082a8648ce3d030107"),
}
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALVES = "a private and a public key with one id do not belong together"
_CHECK = keccak(b"Printright asks a token whether it has the key")


class _TokenKey:
    """The one private key that a URI names, with its public half. Found again when the session is another one."""

    def __init__(self, token: Token, uri: TokenUri, curve: str | None = None) -> None:
        self.token = token
        self._wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        self._wanted |= {Attribute.LABEL: uri.object} if uri.object is not None else {}
        self._wanted |= {Attribute.ID: uri.id} if uri.id is not None else {}
        self._found: tuple[Session, Any] | None = None
        self.curve, self.point, self.facts = token.run("show its keys", self._read)
        if curve not in (None, self.curve):
            raise BadSettings(f"the key is of the curve {self.curve}, where {curve} is needed")

    def handle(self, session: Session) -> Any:
        """The key in `session`. Raises WrongKey where another key is in its place."""
        if self._found is None or self._found[0] is not session:
            if self._read(session)[1] != self.point:
                raise WrongKey(f"another key has the place of this one in token {self.token.identity.token!r}")
            self._found = session, self._one(session)
        return self._found[1]

    def _one(self, session: Session) -> PrivateKey:
        found = list(session.get_objects(self._wanted))
        if len(found) != 1:
            raise BadSettings(
                f"{len(found)} private keys of the token match the URI, not 1", hint="name the one: object or id"
            )
        key = found[0]
        assert isinstance(key, PrivateKey)
        return key

    def _read(self, session: Session) -> tuple[str, bytes, KeyFacts]:
        """Curve, public half (65 bytes) and what keeps the key in. Refuses a key that can leave the token."""
        key = self._one(session)
        if key.key_type != KeyType.EC:
            raise BadSettings("the key is not one of an elliptic curve")
        curve = _curve(key)
        facts = KeyFacts(
            label=str(key.label or ""),
            id=bytes(key.id or b""),
            never_extractable=_flag(key, Attribute.NEVER_EXTRACTABLE) is True,
            made_in_token=_flag(key, Attribute.LOCAL) is True,
        )
        if _flag(key, Attribute.SENSITIVE) is not True or _flag(key, Attribute.EXTRACTABLE) is not False:
            raise BadSettings(
                "the key may leave its token: it is not sensitive, or extractable",
                hint="make one with `printright key create`",
            )
        if _flag(key, Attribute.ALWAYS_AUTHENTICATE) is True:
            raise BadSettings("the key wants the PIN for each use, which an agent cannot give")
        return curve, _public_half(session, key, curve), facts


@dataclass(frozen=True)
class KeyFacts:
    """What a token says of a key. `made_in_token` and `never_extractable`: nobody can have had it outside."""

    label: str
    id: bytes
    never_extractable: bool
    made_in_token: bool


class TokenLedgerKey(LedgerKey):
    """A secp256k1 key in a token (CKM_ECDSA)."""

    def __init__(self, key: _TokenKey) -> None:
        """Raises WrongKey where the token's signature is not that of the public half beside the key."""
        self._key = key
        self._address = checksum(keccak(key.point[1:])[12:])
        self.sign_digest(_CHECK)

    @property
    def address(self) -> Address:
        return self._address

    def sign_digest(self, digest: bytes) -> bytes:
        """See `LedgerKey`. Blocks. Raises TokenUnavailable, WrongKey, BadSettings too."""
        if len(digest) != 32:
            raise BadValue(f"a digest has 32 bytes, not {len(digest)}")
        key = self._key
        signature = key.token.run("sign", lambda at: bytes(key.handle(at).sign(digest, mechanism=Mechanism.ECDSA)))
        if len(signature) != 64:
            raise TokenUnavailable(f"the token answered with a signature of {len(signature)} bytes, not 64")
        s = int.from_bytes(signature[32:], "big")
        # EIP-2: of the two values of s that are a signature, the low one.
        low = signature[:32] + min(s, _ORDER - s).to_bytes(32, "big") if 0 < s < _ORDER else signature
        for recovery in (0, 1):
            # libsecp256k1 raises bare Exception and ValueError for what is no signature.
            with suppress(Exception):
                found = PublicKey.from_signature_and_message(low + bytes([recovery]), digest, hasher=None)
                if found.format(compressed=False) == key.point:
                    return low + bytes([27 + recovery])
        raise WrongKey("the token's signature is not that of its public key", hint=_HALVES)

    def __reduce__(self) -> str:
        raise TypeError("a key is not copied or pickled")


class TokenUnsealingKey(UnsealingKey):
    """A P-256 key in a token (CKM_ECDH1_DERIVE); the token gives one coordinate, the rest is done here."""

    def __init__(self, key: _TokenKey) -> None:
        """Raises WrongKey where the token's answer does not fit the public half beside the key."""
        self._key = key
        probe = ec.generate_private_key(ec.SECP256R1())
        point = probe.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        if self._exchange(point) != probe.exchange(ec.ECDH(), public_key(key.point)):
            raise WrongKey("the token's key is not that of its public key", hint=_HALVES)

    @property
    def public_key(self) -> bytes:
        return self._key.point

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """See `UnsealingKey`. Blocks. Raises TokenUnavailable, BadSettings too."""
        return open_sealed(sealed, info, self._key.point, self._exchange)

    def _exchange(self, point: bytes) -> bytes:
        return self._key.token.run("derive", lambda session: self._derive(session, point))

    def _derive(self, session: Session, point: bytes) -> bytes:
        made = self._key.handle(session).derive_key(
            KeyType.GENERIC_SECRET,
            256,
            mechanism=Mechanism.ECDH1_DERIVE,
            mechanism_param=(KDF.NULL, None, point),
            template={Attribute.TOKEN: False, Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
        )
        try:
            return bytes(made[Attribute.VALUE])
        finally:
            with suppress(PKCS11Error):
                made.destroy()

    def __reduce__(self) -> str:
        raise TypeError("a key is not copied or pickled")


def open_token_ledger_key(uri: TokenUri, prompt: Callable[[], str]) -> TokenLedgerKey:
    """The secp256k1 key that `uri` names. Blocks. Raises BadSettings, WrongKey, TokenUnavailable."""
    return TokenLedgerKey(_TokenKey(open_token(uri, prompt), uri, LEDGER_CURVE))


def open_token_unsealing_key(uri: TokenUri, prompt: Callable[[], str]) -> TokenUnsealingKey:
    """The P-256 key that `uri` names. Blocks. Raises BadSettings, WrongKey, TokenUnavailable."""
    return TokenUnsealingKey(_TokenKey(open_token(uri, prompt), uri, UNSEALING_CURVE))


def open_token_key(uri: TokenUri, prompt: Callable[[], str]) -> tuple[TokenLedgerKey | TokenUnsealingKey, KeyFacts]:
    """The key that `uri` names, of whichever kind it is, and what the token says of it."""
    key = _TokenKey(open_token(uri, prompt), uri)
    return TokenLedgerKey(key) if key.curve == LEDGER_CURVE else TokenUnsealingKey(key), key.facts


def create_token_keys(uri: TokenUri, name: str, prompt: Callable[[], str]) -> tuple[TokenUri, TokenUri]:
    """Make `name-ledger` and `name-unsealing` in the token that `uri` names; returns the URIs that open them.

    Both or none. Raises BadSettings where such keys are there already or the token cannot make them, WrongKey,
    TokenUnavailable.
    """
    if uri.object is not None or uri.id is not None:
        raise BadSettings("the URI is to name a token, not a key in it", hint="leave out object and id")
    token = open_token(uri, prompt)
    made: list[Any] = []
    uris = []
    with token.writing() as session:
        plan = (("ledger", LEDGER_CURVE, MechanismFlag.SIGN), ("unsealing", UNSEALING_CURVE, MechanismFlag.DERIVE))
        labels = [f"{name}-{purpose}" for purpose, _, _ in plan]
        if any(list(session.get_objects({Attribute.LABEL: label})) for label in labels):
            raise BadSettings(f"the token has keys called {' or '.join(labels)} already", hint="choose another --name")
        try:
            for label, (_, curve, capability) in zip(labels, plan, strict=True):
                id_ = os.urandom(16)
                made += _generate(session, label, id_, curve, capability)
                uris.append(replace(token.uri(uri), object=label))
        except BaseException:
            for each in made:
                with suppress(PKCS11Error):
                    each.destroy()
            raise
    ledger, unsealing = uris
    return ledger, unsealing


def _generate(session: Session, label: str, id_: bytes, curve: str, capability: MechanismFlag) -> tuple[Any, Any]:
    parameters = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: _PARAMETERS[curve]}, local=True)
    return parameters.generate_keypair(
        id=id_,
        label=label,
        store=True,
        capabilities=capability,
        private_template={Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
    )


def _flag(key: PrivateKey, attribute: Attribute) -> object:
    """An attribute, None where the token does not know it."""
    try:
        return key[attribute]
    except AttributeTypeInvalid:
        return None


def _curve(key: PrivateKey) -> str:
    parameters = bytes(key[Attribute.EC_PARAMS])
    for curve, known in _PARAMETERS.items():
        if parameters == known:
            return curve
    raise BadSettings("the key is of another curve than secp256k1 (ledger) and P-256 (unsealing)")


def _public_half(session: Session, key: PrivateKey, curve: str) -> bytes:
    """The 65 bytes of the one public key with the private key's id and curve."""
    if not key.id:
        raise BadSettings("the key has no id, so that its public half cannot be found")
    wanted = {
        Attribute.CLASS: ObjectClass.PUBLIC_KEY,
        Attribute.ID: key.id,
        Attribute.EC_PARAMS: _PARAMETERS[curve],
    }
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        raise BadSettings(f"{len(found)} public keys of the token have the key's id, not 1")
    raw = bytes(found[0][Attribute.EC_POINT])
    # A DER octet string by the standard; some tokens give the point itself.
    point = raw[2:] if raw[:2] == b"\x04\x41" and len(raw) == 67 else raw
    if len(point) != 65 or point[0] != 4:
        raise BadSettings("the token's public key is not an uncompressed point of 65 bytes")
    return point
