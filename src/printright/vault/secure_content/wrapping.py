"""Content keys wrapped for a consumer's RSA key: RSAES-OAEP (RFC 8017) as XML Encryption names it.

We write SHA-256 for digest and mask, which every consumer must read (3MF Secure Content 1.0.3, 2.2.2.1). We read SHA-1
to SHA-512; OAEP does not rest on collisions, so SHA-1 is no weakness here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from printright.errors import BadValue, ModelRefused, WrongKey
from printright.vault.secure_content.keystore import AccessRight

KEY_SIZE = 32
MIN_BITS, MAX_BITS = 2048, 8192
_MGF1P = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
_OAEP = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
_MASKS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "http://www.w3.org/2009/xmlenc11#mgf1sha1": hashes.SHA1,
    "http://www.w3.org/2009/xmlenc11#mgf1sha224": hashes.SHA224,
    "http://www.w3.org/2009/xmlenc11#mgf1sha256": hashes.SHA256,
    "http://www.w3.org/2009/xmlenc11#mgf1sha384": hashes.SHA384,
    "http://www.w3.org/2009/xmlenc11#mgf1sha512": hashes.SHA512,
}
_DIGESTS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "http://www.w3.org/2000/09/xmldsig#sha1": hashes.SHA1,
    "http://www.w3.org/2001/04/xmldsig-more#sha224": hashes.SHA224,
    "http://www.w3.org/2001/04/xmlenc#sha256": hashes.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashes.SHA384,
    # Not in the standard's list, but what lib3mf writes.
    "http://www.w3.org/2001/04/xmlenc#sha384": hashes.SHA384,
    "http://www.w3.org/2001/04/xmlenc#sha512": hashes.SHA512,
}
_SHA256_MASK, _SHA256 = "http://www.w3.org/2009/xmlenc11#mgf1sha256", "http://www.w3.org/2001/04/xmlenc#sha256"


def wrap(key: bytes, public: RSAPublicKey, consumer_index: int) -> AccessRight:
    """A content key (32 bytes) for the consumer at this index."""
    wrapped = public.encrypt(key, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    return AccessRight(consumer_index, _OAEP, _SHA256_MASK, _SHA256, wrapped)


def unwrap(right: AccessRight, private: RSAPrivateKey) -> bytes:
    """The content key. Raises WrongKey where this key does not open it, ModelRefused for an unknown algorithm."""
    scheme = _scheme(right)
    try:
        key = private.decrypt(right.wrapped, scheme)
    except ValueError:
        raise WrongKey("this RSA key does not open the content key", hint="it was wrapped for another key") from None
    if len(key) != KEY_SIZE:
        raise ModelRefused(f"the wrapped content key has {len(key)} bytes, not {KEY_SIZE}")
    return key


def load_public(path: Path) -> RSAPublicKey:
    """A consumer's public key, PEM. Raises BadValue."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise BadValue(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadValue(f"{path} is no public key in PEM form", hint="-----BEGIN PUBLIC KEY-----") from None
    if not isinstance(key, RSAPublicKey):
        raise BadValue(f"{path} is no RSA key", hint="3MF Secure Content wraps keys by RSA-OAEP")
    return checked_public(key, str(path))


def checked_public(key: RSAPublicKey, what: str) -> RSAPublicKey:
    """The same key. Raises BadValue where it is too short, or so long that using it would be an attack."""
    if not MIN_BITS <= key.key_size <= MAX_BITS:
        raise BadValue(f"{what} has {key.key_size} bits", hint=f"an RSA key has {MIN_BITS} to {MAX_BITS} bits")
    return key


def load_private(path: Path, password: Callable[[], str]) -> RSAPrivateKey:
    """A private key, PEM, asking for its password only where it has one. Raises BadValue, WrongKey."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadValue(f"cannot read {path}: {error.strerror}") from None
    try:
        key = serialization.load_pem_private_key(data, None)
    except TypeError:
        try:
            key = serialization.load_pem_private_key(data, password().encode())
        except ValueError:
            raise WrongKey(f"the password does not open {path}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadValue(f"{path} is no private key in PEM form", hint="-----BEGIN PRIVATE KEY-----") from None
    if not isinstance(key, RSAPrivateKey):
        raise BadValue(f"{path} is no RSA key", hint="3MF Secure Content wraps keys by RSA-OAEP")
    checked_public(key.public_key(), str(path))
    return key


def public_pem(key: RSAPublicKey) -> str:
    """The form of a key store's <keyvalue> (RFC 7468)."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode("ascii")


def _scheme(right: AccessRight) -> padding.OAEP:
    mask = _MASKS.get(right.mgf) if right.mgf else hashes.SHA1
    digest = _DIGESTS.get(right.digest) if right.digest else hashes.SHA1
    # The older name fixes the mask to SHA-1 (XML Encryption 1.1, 5.5.2).
    fixed = right.wrapping == _MGF1P and right.mgf not in ("", "http://www.w3.org/2009/xmlenc11#mgf1sha1")
    if right.wrapping not in (_MGF1P, _OAEP) or mask is None or digest is None or fixed:
        raise ModelRefused("the content key is wrapped by an algorithm that we do not know", hint="RSA-OAEP is")
    return padding.OAEP(padding.MGF1(mask()), digest(), None)
