"""A key in Google Cloud's key management service, which never leaves it.

google-auth finds the credentials and renews them; the two questions asked are plain JSON over its session. Google's own
client for the service would ask the same through gRPC, and bring that and protobuf into a process that may sign. What
the keeper's account needs is `cloudkms.cryptoKeyVersions.viewPublicKey` and `.useToSign` on one key version.

Source: the service's REST reference, cryptoKeyVersions getPublicKey and asymmetricSign. Its checksums are left aside: a
signature that took harm on its way does not recover to the key.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from keeper.domain.errors import Misconfigured
from keeper.send.signatures import DigestSigner

ENDPOINT: Final = "https://cloudkms.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/cloudkms"
_ALGORITHM: Final = "EC_SIGN_SECP256K1_SHA256"
_SECONDS: Final = 5.0


def gcp_kms_signer(version: str, endpoint: str = ENDPOINT) -> DigestSigner:
    """The signer of a key version by its resource name; `Misconfigured` when there is none, or not for Ethereum."""
    where = "Google Cloud KMS"
    session = _session()
    if isinstance(session, str):
        raise Misconfigured(f"send: {where} cannot be reached: {session}")
    told = _asked(session, "GET", f"{endpoint}/v1/{version}/publicKey", None)
    if isinstance(told, str):
        raise Misconfigured(f"send: {where} does not show the key: {told}")
    if told.get("algorithm") != _ALGORITHM:
        raise Misconfigured(
            f"send: {where} holds a key for {told.get('algorithm')}, and one for {_ALGORITHM} is needed"
        )

    def sign_digest(digest: bytes) -> bytes | str:
        body = {"digest": {"sha256": base64.b64encode(digest).decode()}}
        signed = _asked(session, "POST", f"{endpoint}/v1/{version}:asymmetricSign", body)
        return signed if isinstance(signed, str) else _bytes(signed.get("signature"))

    return DigestSigner(where, _key(told.get("pem")), sign_digest)


def _session() -> Any:
    """A session that carries the credentials found on this machine, or why there is none."""
    try:
        import google.auth  # noqa: PLC0415 - only who has such a key has it installed
        from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415
    except ImportError:
        return "google-auth is not installed; pip install threshold-keeper[gcp]"
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        session: Any = AuthorizedSession
        return session(credentials)
    except Exception as error:  # noqa: BLE001 - its text may quote a file of credentials
        return type(error).__name__


def _asked(session: Any, method: str, url: str, body: Any) -> Any:
    """What was answered, or why nothing was: an exception would carry frames that hold a token."""
    try:
        answer = session.request(method, url, json=body, timeout=_SECONDS)
        told = answer.json()
    except Exception as error:  # noqa: BLE001
        return type(error).__name__
    if not isinstance(told, dict):
        return "what it answered cannot be read"
    if answer.status_code != 200:
        why = told.get("error")
        return str(why.get("status")) if isinstance(why, dict) else f"HTTP {answer.status_code}"
    return told


def _key(pem: Any) -> bytes:
    lines = str(pem).strip().splitlines()
    return _bytes("".join(line for line in lines if not line.startswith("-----")))


def _bytes(text: Any) -> bytes:
    """What stands there in base 64; nothing where it is none, which is then no key and no signature."""
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error:
        return b""
