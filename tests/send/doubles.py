"""Local doubles of those who sign elsewhere, each speaking its service's own words over real HTTP, so that the real
libraries are used: AWS KMS, Google Cloud KMS, and a signer as web3signer is.

As the real ones, the two key services return signatures in DER with whichever s came out, the higher one as often.
"""

from __future__ import annotations

import base64
import json
import random
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import google.auth.jwt
from coincurve import PrivateKey
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from eth_account import Account
from eth_utils.address import to_checksum_address

from keeper.send.signatures import ORDER
from tests.send.flights_given import KEEPER_KEY, STRANGER

KEY_HEAD = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a034200")
AWS_KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
AWS_ACCESS, AWS_SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEYwordword"
GCP_VERSION = "projects/p/locations/europe-west3/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
GCP_ACCOUNT = "keeper@p.iam.gserviceaccount.com"
TOKEN_HEAD = "eyJ"
"""How every token of Google's begins that says whose it is."""
OTHER_KEY = "0x" + "5a" * 32
Answer = tuple[int, dict[str, Any]]


@dataclass
class Double:
    """A key and what goes wrong with it: "", "denied", "garbage", "slow", "another key", "another curve" or "html"."""

    key: str = KEEPER_KEY
    fault: str = ""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def signature(self, digest: bytes) -> bytes:
        """In DER, its s the higher one in half of the cases."""
        assert len(digest) == 32
        if self.fault == "garbage":
            return b"\x30\x06\x02\x01\x00\x02\x01\x00"
        key = OTHER_KEY if self.fault == "another key" else self.key
        signed = PrivateKey.from_hex(key[2:]).sign_recoverable(digest, hasher=None)
        r, s = int.from_bytes(signed[:32]), int.from_bytes(signed[32:64])
        return der(r, self.chance.choice([s, ORDER - s]))

    def public_key(self) -> bytes:
        if self.fault == "another curve":
            key = ec.generate_private_key(ec.SECP256R1()).public_key()
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return KEY_HEAD + PrivateKey.from_hex(self.key[2:]).public_key.format(compressed=False)


def der(r: int, s: int) -> bytes:
    """A signature as DER writes it: each number as short as it can be, and never negative."""
    parts = b"".join(
        bytes([2, n.bit_length() // 8 + 1]) + n.to_bytes(n.bit_length() // 8 + 1) for n in (r, s)
    )
    return bytes([0x30, len(parts)]) + parts


@contextmanager
def serving(double: Double, answer: Any, context: ssl.SSLContext | None = None) -> Iterator[Double]:
    """Serve `answer(path, headers, body)` on a free port, with the faults that any server may have."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = (
            True  # an answer is two writes, and the second would wait 40 ms for the first
        )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, told = answer(self.path, self.headers, body)
            if double.fault == "slow":
                time.sleep(1.0)
            sent = b"<html>" if double.fault == "html" else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Who hangs up, or shows no certificate, is expected."""

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    double.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield double
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def aws_kms(double: Double) -> Iterator[Double]:
    """AWS KMS: JSON 1.1 with the operation in X-Amz-Target, and requests signed by version 4."""
    scope = rf"AWS4-HMAC-SHA256 Credential={AWS_ACCESS}/\d{{8}}/eu-central-1/kms/aws4_request, .*Signature=\w{{64}}"

    def answer(path: str, headers: Any, body: bytes) -> Answer:
        operation, asked = headers["X-Amz-Target"].removeprefix("TrentService."), json.loads(body)
        double.asked.append(operation)
        if not re.fullmatch(scope, headers["Authorization"]) or double.fault == "denied":
            return 400, {"__type": "AccessDeniedException", "message": f"{AWS_ACCESS} may not, {AWS_SECRET}"}
        if asked["KeyId"] != AWS_KEY:
            return 400, {"__type": "NotFoundException", "message": "no such key"}
        if operation == "GetPublicKey":
            spec = "ECC_NIST_P256" if double.fault == "another curve" else "ECC_SECG_P256K1"
            key = base64.b64encode(double.public_key()).decode()
            return 200, {"KeyId": AWS_KEY, "PublicKey": key, "KeySpec": spec, "KeyUsage": "SIGN_VERIFY"}
        assert operation == "Sign"
        assert (asked["MessageType"], asked["SigningAlgorithm"]) == ("DIGEST", "ECDSA_SHA_256")
        signed = double.signature(base64.b64decode(asked["Message"]))
        return 200, {"KeyId": AWS_KEY, "Signature": base64.b64encode(signed).decode()}

    with serving(double, answer) as served:
        yield served


@contextmanager
def gcp_kms(double: Double, folder: Path) -> Iterator[Double]:
    """Google's key service, which knows a service account by what it signs with its key; that is left in the folder.

    The universe is another than Google's own, so that the library asks nobody there.
    """
    account = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    proof = account.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def answer(path: str, headers: Any, body: bytes) -> Answer:
        double.asked.append(path)
        token = headers["Authorization"].removeprefix("Bearer ")
        claims = google.auth.jwt.decode(token, certs=proof)
        assert (claims["iss"], claims["scope"]) == (
            GCP_ACCOUNT,
            "https://www.googleapis.com/auth/cloudkms",
        )
        if double.fault == "denied":
            return 403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": token}}
        if path == f"/v1/{GCP_VERSION}/publicKey":
            other = double.fault == "another curve"
            name = "EC_SIGN_P256_SHA256" if other else "EC_SIGN_SECP256K1_SHA256"
            text = base64.encodebytes(double.public_key()).decode()
            return 200, {
                "algorithm": name,
                "pem": f"-----BEGIN PUBLIC KEY-----\n{text}-----END PUBLIC KEY-----\n",
            }
        if path != f"/v1/{GCP_VERSION}:asymmetricSign":
            return 404, {"error": {"code": 404, "status": "NOT_FOUND"}}
        digest = base64.b64decode(json.loads(body)["digest"]["sha256"])
        return 200, {"name": GCP_VERSION, "signature": base64.b64encode(double.signature(digest)).decode()}

    with serving(double, answer) as served:
        private = account.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        content = {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "1",
            "private_key": private,
            "client_email": GCP_ACCOUNT,
            "token_uri": f"{served.url}/token",
            "universe_domain": "double.invalid",
        }
        (folder / "account.json").write_text(json.dumps(content))
        yield served


@contextmanager
def web3signer(double: Double, folder: Path) -> Iterator[Double]:
    """A signer as web3signer is, which shows server.pem and asks for client.pem, both of ca.pem; made in the folder."""
    certify(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    def answer(path: str, headers: Any, body: bytes) -> Answer:
        asked = json.loads(body)
        double.asked.append(asked["method"])
        if double.fault == "denied":
            return 200, {
                "jsonrpc": "2.0",
                "id": asked["id"],
                "error": {"code": -32000, "message": double.key},
            }
        (fields,) = asked["params"]
        fields["to"] = to_checksum_address(fields["to"])  # eth_account minds the case
        assert fields.pop("from") == Account.from_key(double.key).address
        if double.fault == "another transaction":
            fields["to"] = STRANGER
        key = OTHER_KEY if double.fault == "another key" else double.key
        signed = Account.sign_transaction({**fields, "type": 2}, key)
        raw = "0x00" if double.fault == "garbage" else "0x" + bytes(signed.raw_transaction).hex()
        result = {"raw": raw, "tx": {}} if double.fault == "as geth does" else raw
        return 200, {"jsonrpc": "2.0", "id": asked["id"], "result": result}

    with serving(double, answer, context) as served:
        yield served


def certify(folder: Path) -> None:
    """An authority, its certificates for a server on this machine and for a client, and one that nobody issued."""
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server", "client", "stranger")}
    now = datetime.now(UTC)
    for name, key in keys.items():
        issuer = name if name in ("ca", "stranger") else "ca"
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer == name, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[issuer].public_key()), critical=False
            )
            .sign(keys[issuer], hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
