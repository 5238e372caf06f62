"""lib3mf, the 3MF Consortium's own implementation, as the other side of Secure Content. In tests only.

lib3mf leaves the cryptography to callbacks. Here they are written with `cryptography` and nothing of ours. Its Python
binding declares them with 5 arguments while the C functions have 8, so that they are cast from a type of our own.
After a part that does not authenticate lib3mf keeps a readable model: on any error it is thrown away.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lib3mf
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from lib3mf import Lib3MF

_CALLBACK = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_uint64,
    ctypes.POINTER(ctypes.c_uint8),
    ctypes.c_uint64,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(ctypes.c_uint8),
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
)
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {"SHA1": hashes.SHA1, "SHA256": hashes.SHA256}
Mesh = tuple[list[tuple[float, float, float]], list[tuple[int, int, int]]]

TETRAHEDRON: Mesh = (
    [(0.0, 0.0, 0.0), (10.0, 0.0, 0.0), (0.0, 10.0, 0.0), (0.0, 0.0, 10.0)],
    [(0, 2, 1), (0, 1, 3), (1, 2, 3), (2, 0, 3)],
)


class OracleRefused(Exception):
    """lib3mf did not read the file, or read it and said that it does not authenticate."""


@dataclass
class Loaded:
    """What lib3mf found: the meshes, and how many build items there are."""

    meshes: list[Mesh]
    items: int
    warnings: list[str]


def wrapper() -> Any:
    return lib3mf.get_wrapper()


def read(
    data: bytes, consumer_id: str | None = None, private: RSAPrivateKey | None = None, *, strict: bool = False
) -> Loaded:
    """Read a 3MF, decrypting with the consumer's key where one is given. Raises OracleRefused."""
    model = wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(strict)
    crypto = _Crypto(model)
    if consumer_id is not None and private is not None:
        reader.AddKeyWrappingCallback(
            consumer_id, crypto.keep(Lib3MF.KeyWrappingCallback, crypto.unwrapping(private)), None
        )
        reader.SetContentEncryptionCallback(
            crypto.keep(Lib3MF.ContentEncryptionCallback, crypto.content(encrypt=False)), None
        )
    try:
        reader.ReadFromBuffer(data)
    except Lib3MF.ELib3MFException as error:
        raise OracleRefused(str(error)) from None
    if crypto.failed:
        raise OracleRefused("; ".join(crypto.failed))
    return _loaded(model, reader)


def write(
    mesh: Mesh,
    consumers: dict[str, RSAPublicKey],
    *,
    compressed: bool,
    parts: int = 1,
    aad: bytes = b"made by lib3mf",
    digest: str = "SHA256",
) -> bytes:
    """A Secure Content 3MF of `parts` meshes, each in an encrypted part of its own."""
    model = wrapper().CreateModel()
    store = model.GetKeyStore()
    group = store.AddResourceDataGroup()
    mgf = getattr(Lib3MF.MgfAlgorithm, f"MGF1_{digest}")
    for consumer_id in consumers:
        consumer = store.AddConsumer(consumer_id, "", "")
        group.AddAccessRight(consumer, Lib3MF.WrappingAlgorithm.RSA_OAEP, mgf, getattr(Lib3MF.DigestMethod, digest))
    for n in range(parts):
        added = _add_mesh(model, mesh)
        part = model.FindOrCreatePackagePart(f"/3D/mesh{n}.model")
        added.SetPackagePart(part)
        compression = Lib3MF.Compression.Deflate if compressed else Lib3MF.Compression.NoCompression
        store.AddResourceData(group, part, Lib3MF.EncryptionAlgorithm.AES256_GCM, compression, list(aad))
    return _written(model, consumers)


def write_plain(mesh: Mesh) -> bytes:
    """A plain 3MF."""
    model = wrapper().CreateModel()
    _add_mesh(model, mesh)
    return _written(model, {})


def read_stl(data: bytes) -> Mesh:
    """The mesh of an STL."""
    model = wrapper().CreateModel()
    reader = model.QueryReader("stl")
    reader.ReadFromBuffer(data)
    (mesh,) = _loaded(model, reader).meshes
    return mesh


def _written(model: Any, consumers: dict[str, RSAPublicKey]) -> bytes:
    crypto = _Crypto(model)
    writer = model.QueryWriter("3mf")
    for consumer_id, public in consumers.items():
        writer.AddKeyWrappingCallback(
            consumer_id, crypto.keep(Lib3MF.KeyWrappingCallback, crypto.wrapping(public)), None
        )
    if consumers:
        writer.SetContentEncryptionCallback(
            crypto.keep(Lib3MF.ContentEncryptionCallback, crypto.content(encrypt=True)), None
        )
    data = bytes(writer.WriteToBuffer())
    assert not crypto.failed, crypto.failed
    return data


def _add_mesh(model: Any, mesh: Mesh) -> Any:
    added = model.AddMeshObject()
    positions, triangles = [], []
    for point in mesh[0]:
        position = Lib3MF.Position()
        position.Coordinates[:] = point
        positions.append(position)
    for corners in mesh[1]:
        triangle = Lib3MF.Triangle()
        triangle.Indices[:] = corners
        triangles.append(triangle)
    added.SetGeometry(positions, triangles)
    model.AddBuildItem(added, wrapper().GetIdentityTransform())
    return added


def _loaded(model: Any, reader: Any) -> Loaded:
    meshes: list[Mesh] = []
    found = model.GetMeshObjects()
    while found.MoveNext():
        mesh = found.GetCurrentMeshObject()
        points = [tuple(position.Coordinates) for position in mesh.GetVertices()]
        meshes.append((points, [tuple(triangle.Indices) for triangle in mesh.GetTriangleIndices()]))  # type: ignore[arg-type]
    warnings = [str(reader.GetWarning(n)) for n in range(reader.GetWarningCount())]
    return Loaded(meshes, model.GetBuildItems().Count(), warnings)


class _Crypto:
    """The callbacks of one reading or writing, and what went wrong in them."""

    def __init__(self, model: Any) -> None:
        self._wrapper = model._wrapper
        self._kept: list[Any] = []
        self._engines: dict[int, Any] = {}
        self.failed: list[str] = []

    def keep(self, kind: Any, function: Callable[..., int]) -> Any:
        def call(
            handle: Any, in_size: int, data: Any, out_size: int, needed: Any, out: Any, _: Any, status: Any
        ) -> None:
            try:
                status[0] = function(handle, in_size, data, out_size, needed, out)
            except Exception as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                status[0] = 0

        made = _CALLBACK(call)
        self._kept.append(made)
        return ctypes.cast(made, kind)

    def unwrapping(self, private: RSAPrivateKey) -> Callable[..., int]:
        def unwrap(handle: Any, in_size: int, data: Any, out_size: int, needed: Any, out: Any) -> int:
            if not out or not out_size:
                needed[0] = 32
                return 32
            key = private.decrypt(ctypes.string_at(data, in_size), self._scheme(handle))
            ctypes.memmove(out, key, len(key))
            return len(key)

        return unwrap

    def wrapping(self, public: RSAPublicKey) -> Callable[..., int]:
        def wrap(handle: Any, in_size: int, data: Any, out_size: int, needed: Any, out: Any) -> int:
            if not out or not out_size:
                needed[0] = public.key_size // 8
                return public.key_size // 8
            wrapped = public.encrypt(ctypes.string_at(data, in_size), self._scheme(handle))
            ctypes.memmove(out, wrapped, len(wrapped))
            return len(wrapped)

        return wrap

    def content(self, *, encrypt: bool) -> Callable[..., int]:
        def crypt(handle: Any, in_size: int, data: Any, out_size: int, needed: Any, out: Any) -> int:
            params = self._acquired(Lib3MF.ContentEncryptionParams, handle)
            place = params.GetDescriptor()
            if place not in self._engines:
                cipher = Cipher(
                    algorithms.AES(bytes(params.GetKey())), modes.GCM(bytes(params.GetInitializationVector()))
                )
                self._engines[place] = cipher.encryptor() if encrypt else cipher.decryptor()
                self._engines[place].authenticate_additional_data(bytes(params.GetAdditionalAuthenticationData()))
            engine = self._engines[place]
            if not in_size or not data:
                del self._engines[place]
                if encrypt:
                    engine.finalize()
                    params.SetAuthenticationTag(list(engine.tag))
                else:
                    try:
                        engine.finalize_with_tag(bytes(params.GetAuthenticationTag()))
                    except InvalidTag:
                        self.failed.append("a part does not authenticate")
                        return 0
                return 16
            piece = engine.update(ctypes.string_at(data, in_size))
            ctypes.memmove(out, piece, len(piece))
            return len(piece)

        return crypt

    def _scheme(self, handle: Any) -> padding.OAEP:
        right = self._acquired(Lib3MF.AccessRight, handle)
        digest = _HASHES[Lib3MF.DigestMethod(right.GetDigestMethod()).name]
        mask = _HASHES[Lib3MF.MgfAlgorithm(right.GetMgfAlgorithm()).name.removeprefix("MGF1_")]
        return padding.OAEP(padding.MGF1(mask()), digest(), None)

    def _acquired(self, kind: Any, handle: Any) -> Any:
        # The handle is lib3mf's; the Python object releases one reference when it goes.
        made = kind(handle, self._wrapper)
        self._wrapper.Acquire(made)
        return made
