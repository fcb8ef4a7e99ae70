"""A key in AWS's key management service, which never leaves it.

boto3 finds the credentials, as it does everywhere, signs each request and asks again when it should. What the keeper's
role needs is `kms:GetPublicKey` and `kms:Sign` on one key.

Source: the service's API reference, GetPublicKey and Sign with MessageType DIGEST.
"""

from __future__ import annotations

import re
from typing import Any, Final

from keeper.domain.errors import Misconfigured
from keeper.send.signatures import DigestSigner

_SPEC: Final = "ECC_SECG_P256K1"
_ALGORITHM: Final = "ECDSA_SHA_256"
_CONNECT_SECONDS, _READ_SECONDS, _TRIES = 2, 4, 2
_REGION: Final = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):")


def aws_kms_signer(key: str) -> DigestSigner:
    """The signer of a key by its ARN, id or alias; `Misconfigured` when it cannot be had or is no key for Ethereum."""
    where = "AWS KMS"
    client = _client(key)
    if isinstance(client, str):
        raise Misconfigured(f"send: {where} cannot be reached: {client}")
    told = _asked(client.get_public_key, KeyId=key)
    if isinstance(told, str) or "PublicKey" not in told:
        why = told if isinstance(told, str) else "what it answered cannot be read"
        raise Misconfigured(f"send: {where} does not show the key: {why}")
    if (told.get("KeySpec"), told.get("KeyUsage")) != (_SPEC, "SIGN_VERIFY"):
        raise Misconfigured(
            f"send: {where} holds a key of {told.get('KeySpec')} for {told.get('KeyUsage')}, and one of {_SPEC} for "
            "SIGN_VERIFY is needed"
        )

    def sign_digest(digest: bytes) -> bytes | str:
        signed = _asked(
            client.sign, KeyId=key, Message=digest, MessageType="DIGEST", SigningAlgorithm=_ALGORITHM
        )
        return signed if isinstance(signed, str) else bytes(signed.get("Signature", b""))

    return DigestSigner(where, bytes(told["PublicKey"]), sign_digest)


def _client(key: str) -> Any:
    """A client for the key's region, or why there is none."""
    try:
        from boto3.session import Session  # noqa: PLC0415 - only who has such a key has it installed
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        return "boto3 is not installed; pip install threshold-keeper[aws]"
    found = _REGION.match(key)
    retries = {"mode": "standard", "total_max_attempts": _TRIES}
    bounds = Config(connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, retries=retries)
    try:
        # The module's own session would keep, for the whole process, the first credentials that were ever found.
        return Session().client("kms", region_name=found[1] if found else None, config=bounds)
    except Exception as error:  # noqa: BLE001 - a profile, a region, a file of credentials: any may be wrong
        return _said(error)


def _asked(question: Any, **fields: Any) -> Any:
    """What was answered, or why nothing was: an exception would carry frames that hold credentials."""
    try:
        return question(**fields)
    except Exception as error:  # noqa: BLE001
        return _said(error)


def _said(error: Exception) -> str:
    """The service's own word for it, without the texts in which requests may be quoted."""
    answer = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return str(code or type(error).__name__)
