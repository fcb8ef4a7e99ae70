"""A signer on another machine, asked by `eth_signTransaction` as web3signer answers it, over mutual TLS.

Each side shows a certificate, so that nobody else may ask and nobody else may answer. The standard library carries it.

Source: the execution APIs' eth_signTransaction; web3signer and geth differ in whether the bytes stand alone.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from keeper.domain.errors import Misconfigured
from keeper.domain.units import Address
from keeper.send.signatures import assembled
from keeper.send.signers import Signed, Transaction

_SECONDS: Final = 5.0
_MOST_BYTES: Final = 2**20
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Papers:
    """What this side shows, a certificate and its key, and whose certificates it takes; PEM files.

    Without an `authority` those of this machine are taken.
    """

    certificate: Path | None = None
    private_key: Path | None = None
    authority: Path | None = None


class RemoteSigner:
    """Asks the signer at `url` for `address`; `Misconfigured` when the papers cannot be used."""

    def __init__(self, url: str, address: Address, papers: Papers) -> None:
        self._url = urlsplit(url)
        self._address = address
        self._where = f"the signer at {self._url.hostname}"
        self._context = None if _is_open(self._url) else _context(papers)

    @property
    def address(self) -> Address:
        """The account it is asked to sign for."""
        return self._address

    def sign(self, transaction: Transaction) -> Signed:
        """Have it signed; `Misconfigured` when it is not, or something else is."""
        told = self._asked(json.dumps(_request(transaction, self._address)).encode())
        if isinstance(told, str):
            raise Misconfigured(f"send: {self._where} did not sign: {told}")
        return assembled(transaction, *told, self._address, self._where)

    def _asked(self, body: bytes) -> tuple[int, int] | str:
        """r and s, or why there are none."""
        host, path = self._url.hostname or "", self._url.path or "/"
        connection = (
            HTTPConnection(host, self._url.port or 80, timeout=_SECONDS)
            if self._context is None
            else HTTPSConnection(host, self._url.port or 443, timeout=_SECONDS, context=self._context)
        )
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                return f"HTTP {answer.status}"
            told = json.loads(answer.read(_MOST_BYTES))
        except ssl.SSLError as error:
            return f"{error.reason or type(error).__name__}"
        except (OSError, HTTPException, ValueError) as error:
            return type(error).__name__
        finally:
            connection.close()
        return _signature(told)

    def __repr__(self) -> str:
        return f"RemoteSigner({self._url.hostname}, {self._address})"


def _is_open(url: SplitResult) -> bool:
    """Whether it is asked without TLS, which is for one's own machine alone."""
    if url.scheme == "https" and url.hostname:
        return False
    if url.scheme == "http" and url.hostname in _LOOPBACK:
        return True
    raise Misconfigured("send: key.remote.url must be https://…; plain http:// is for this machine alone")


def _context(papers: Papers) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=papers.authority)
        if papers.certificate is not None:
            # An encrypted key would ask for its password on the terminal.
            context.load_cert_chain(papers.certificate, papers.private_key, password="")
    except OSError as error:  # which an ssl.SSLError is
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise Misconfigured(f"send: the certificates of key.remote cannot be used ({why})") from None
    return context


def _request(transaction: Transaction, address: Address) -> dict[str, Any]:
    fields = {
        "from": address,
        "to": transaction.call.to,
        "gas": hex(transaction.gas),
        "maxFeePerGas": hex(transaction.fees.max_fee),
        "maxPriorityFeePerGas": hex(transaction.fees.tip),
        "nonce": hex(transaction.nonce),
        "value": hex(transaction.value),
        "data": "0x" + transaction.call.data.hex(),
        "chainId": hex(transaction.chain_id),
    }
    return {"jsonrpc": "2.0", "id": 1, "method": "eth_signTransaction", "params": [fields]}


def _signature(told: Any) -> tuple[int, int] | str:
    if not isinstance(told, dict):
        return "what it answered cannot be read"
    if "error" in told:
        error = told["error"]
        return f"error {error.get('code')}" if isinstance(error, dict) else "an error"
    result = told.get("result")
    raw = result.get("raw") if isinstance(result, dict) else result
    try:
        _, r, s = TypedTransaction.from_bytes(HexBytes(str(raw))).vrs()
    except Exception:  # noqa: BLE001 - it may have returned anything
        return "what it answered is no signed transaction of type 2"
    return r, s
