"""URIs of tokens: what RFC 7512 has and we know is read and written again; all else is refused, and no value shown."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from printright.errors import BadSettings
from printright.vault.keys.pkcs11_uri import TokenUri


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("pkcs11:", TokenUri()),
        ("PKCS11:token=a", TokenUri(token="a")),
        ("pkcs11:token=The%20Software%20PKCS%2311%20Softtoken", TokenUri(token="The Software PKCS#11 Softtoken")),
        ("pkcs11:manufacturer=Snake%20Oil,%20Inc.;model=1.0", TokenUri(manufacturer="Snake Oil, Inc.", model="1.0")),
        ("pkcs11:slot-id=327;serial=ab", TokenUri(slot=327, serial="ab")),
        ("pkcs11:object=%CE%B1&b;type=private;id=%00%FFa", TokenUri(object="α&b", id=b"\0\xffa")),
        ("pkcs11:?module-name=softhsm2", TokenUri(module_name="softhsm2")),
        (
            "pkcs11:token=a?pin-source=file:/etc/pin&module-path=/usr/lib/a.so",
            TokenUri(token="a", pin_source="file:/etc/pin", module_path="/usr/lib/a.so"),
        ),
        ("pkcs11:token=a?pin-source=env:PIN", TokenUri(token="a", pin_source="env:PIN")),
    ],
)
def test_uris_are_read(uri: str, expected: TokenUri) -> None:
    assert TokenUri.parse(uri) == expected
    assert TokenUri.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("pkcs11", "not a pkcs11: URI"),
        ("file:/keys", "not a pkcs11: URI"),
        ("pkcs11:" + "a" * 2000, "not a pkcs11: URI"),
        ("pkcs11:token", "not known"),
        ("pkcs11:token=", "is empty"),
        ("pkcs11:token=a;", "not known"),
        (";pkcs11:token=a", "not a pkcs11: URI"),
        ("pkcs11:;token=a", "not known"),
        ("pkcs11:token=a;token=a", "given twice"),
        ("pkcs11:token=a?pin-source=env:A&pin-source=env:B", "given twice"),
        ("pkcs11:token=a?", "not known"),
        ("pkcs11:token=a b", "%XX"),
        ("pkcs11:token=a/b", "%XX"),
        ("pkcs11:token=a%2", "%XX"),
        ("pkcs11:token=a%zz", "%XX"),
        ("pkcs11:token=ä", "%XX"),
        ("pkcs11:token=a#frag", "%XX"),
        ("pkcs11:token=a\n", "%XX"),
        ("pkcs11:token=%FF", "not UTF-8"),
        ("pkcs11:token=a%00", "a zero in it"),
        ("pkcs11:Token=a", "not known"),
        ("pkcs11:library-version=3", "not known"),
        ("pkcs11:x-vendor=3", "not known"),
        ("pkcs11:module-name=softhsm2", "not known"),
        ("pkcs11:?token=a", "not known"),
        ("pkcs11:type=cert", "type `private`"),
        ("pkcs11:type=public", "type `private`"),
        ("pkcs11:slot-id=-1", "not a number"),
        ("pkcs11:slot-id=0x1", "not a number"),
        ("pkcs11:slot-id=%D9%A3", "not a number"),
        ("pkcs11:?module-path=lib.so", "absolute"),
        ("pkcs11:?module-name=../x", "characters"),
        ("pkcs11:?module-name=a*", "characters"),
        ("pkcs11:?module-name=a&module-path=/a", "both"),
    ],
)
def test_uris_are_refused(uri: str, reason: str) -> None:
    with pytest.raises(BadSettings, match=reason):
        TokenUri.parse(uri)


@pytest.mark.parametrize("uri", ["pkcs11:token=a?pin-value=49371", "pkcs11:pin-value=49371", "pkcs11:token=49371 b"])
def test_a_pin_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(BadSettings) as caught:
        TokenUri.parse(uri)
    assert "49371" not in str(caught.value)


texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@given(texts, texts, texts, texts, st.none() | st.binary(min_size=1, max_size=20), texts)
def test_what_is_written_is_read(
    token: str | None, serial: str | None, model: str | None, name: str | None, id_: bytes | None, pin: str | None
) -> None:
    uri = TokenUri(token=token, serial=serial, model=model, object=name, id=id_, pin_source=pin)
    assert TokenUri.parse(str(uri)) == uri


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for uri in (text, "pkcs11:" + text):
        with suppress(BadSettings):
            TokenUri.parse(uri)
