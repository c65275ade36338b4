"""The certificate of the report endpoint and the authority that signs it: made here, kept in a Secret, renewed in time.

`due` and `renew` are pure; `Certificates` does the I/O. The Secret's keys are those of a `kubernetes.io/tls` Secret plus
`ca.crt`, what pods trust, and `ca.key`.

An authority takes over in two steps, so that no pod ever meets a certificate that it does not trust: a new one goes
into `ca.crt` half a year before the old one ends, but signs only once the old one can no longer outlive a certificate.
"""

import asyncio
import base64
import hmac
import ipaddress
import logging
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from kubernetes.aio.client.exceptions import ConflictException

from finetune_api.base import JsonObject
from finetune_operator.job.names import MANAGER
from finetune_operator.kube import server_time
from finetune_operator.kube.client import SECRETS, Kube
from finetune_operator.kube.errors import API_FAILURES, brief, shared_cause

AUTHORITY_LIFETIME = timedelta(days=3650)
AUTHORITY_RENEWAL = timedelta(days=180)
SERVER_LIFETIME = timedelta(days=90)
SERVER_RENEWAL = timedelta(days=30)
CLOCK_SKEW = timedelta(hours=1)

_CHECK_SECONDS = 3600.0
_RETRY_SECONDS = 30.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def ends(self) -> datetime:
        return self.certificate.not_valid_after_utc


@dataclass(frozen=True)
class Keys:
    """What the Secret holds: the authorities, oldest first, and the server's certificate."""

    authorities: tuple[KeyPair, ...]
    server: KeyPair

    @cached_property
    def bundle(self) -> str:
        """The certificates that pods trust, in PEM, newest first."""
        return "".join(_pem(authority.certificate).decode() for authority in reversed(self.authorities))


def due(keys: Keys | None, hosts: Sequence[str], now: datetime) -> str | None:
    """Why the keys must be renewed at `now`; None if they are good.

    `hosts` are the DNS names and IP addresses that pods reach the server by.
    """
    if keys is None:
        return "there are none"
    if any(authority.ends <= now for authority in keys.authorities):
        return "an authority has ended"
    if not keys.authorities or keys.authorities[-1].ends - now < AUTHORITY_RENEWAL:
        return "the newest authority ends soon"
    if keys.server.ends - now < SERVER_RENEWAL:
        return "the server's certificate ends soon"
    if _names(keys.server.certificate) != {_general_name(host) for host in hosts}:
        return "the server's names have changed"
    if not any(_signed_by(keys.server, authority) for authority in keys.authorities):
        return "the server's certificate is of no known authority"
    return None


def renew(keys: Keys | None, hosts: Sequence[str], now: datetime) -> Keys:
    """Good keys for `hosts` at `now`: keeps the authorities that still hold, and signs a new certificate."""
    authorities = [authority for authority in (keys.authorities if keys else ()) if authority.ends > now]
    if not authorities or authorities[-1].ends - now < AUTHORITY_RENEWAL:
        authorities.append(_new_authority(now))
    # The oldest that outlives the certificate: pods that began long ago may know only that one.
    signer = next(authority for authority in authorities if authority.ends > now + SERVER_LIFETIME)
    return Keys(tuple(authorities), _new_server(signer, hosts, now))


def _new_authority(now: datetime) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two authorities of one bundle need different names, or a verifier may pick the wrong one.
    name = _name(f"finetune-operator reports {now:%Y-%m-%d}")
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(name, name, key, now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate, key)


def _new_server(signer: KeyPair, hosts: Sequence[str], now: datetime) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    signer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    certificate = (
        _builder(_name("finetune-operator"), signer.certificate.subject, key, now, SERVER_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(signer_key, critical=False)
        .sign(signer.key, hashes.SHA256())
    )
    return KeyPair(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _names(certificate: x509.Certificate) -> set[x509.GeneralName]:
    try:
        return set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return set()


def _signed_by(server: KeyPair, authority: KeyPair) -> bool:
    try:
        server.certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def to_secret_data(keys: Keys) -> dict[str, str]:
    """The Secret's `data`: PEM in base64."""
    files = {
        "ca.crt": keys.bundle.encode(),
        "ca.key": b"".join(_key_pem(authority.key) for authority in reversed(keys.authorities)),
        "tls.crt": _pem(keys.server.certificate),
        "tls.key": _key_pem(keys.server.key),
    }
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


def from_secret_data(data: Mapping[str, str | bytes] | None) -> Keys | None:
    """The keys in a Secret's `data`; None if they are missing, broken or do not fit together."""
    try:
        files = {name: base64.b64decode(content) for name, content in (data or {}).items()}
        certificates = x509.load_pem_x509_certificates(files["ca.crt"])
        keys = [_load_key(part) for part in _split_keys(files["ca.key"])]
        authorities = [_pair(certificate, key) for certificate, key in zip(certificates, keys, strict=True)]
        server = _pair(x509.load_pem_x509_certificate(files["tls.crt"]), _load_key(files["tls.key"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return Keys(tuple(reversed(authorities)), server)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    if certificate.public_key() != key.public_key():
        raise ValueError("the key is not that of the certificate")
    return KeyPair(certificate, key)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


_KEY_END = b"-----END PRIVATE KEY-----\n"


def _split_keys(content: bytes) -> list[bytes]:
    return [part + _KEY_END for part in content.split(_KEY_END) if part.strip()]


def _load_key(content: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(content, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")
    return key


def _proof_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key that says nothing of the one that it is made of."""
    return hmac.digest(_key_pem(key), b"finetune.dev/profile", "sha256")


class Certificates:
    """The keys in use. `context` is the server's; a renewal changes it in place, and connections from then on use it."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        secret: str,
        hosts: Sequence[str],
        clock: Callable[[], datetime] = server_time.now,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._secret = secret
        self._hosts = tuple(hosts)
        self._clock = clock
        self._keys: Keys | None = None
        self._proof_keys: tuple[bytes, ...] = ()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    @property
    def bundle(self) -> str:
        """What a pod must trust, in PEM. Call `refresh` once before."""
        if self._keys is None:
            raise RuntimeError("the certificates were not read yet")
        return self._keys.bundle

    @property
    def proof_keys(self) -> tuple[bytes, ...]:
        """Keys by which the operator knows later what it wrote itself, newest first: as secret as the authorities', and as old."""
        return self._proof_keys

    async def refresh(self) -> bool:
        """Reads the Secret, renews what is due, and takes it into use. True if `bundle` has changed.

        Raises one of `finetune_operator.kube.errors.API_FAILURES` if the API server refuses or cannot be reached.
        """
        keys = await self._stored_or_renewed()
        changed = self._keys is None or keys.bundle != self._keys.bundle
        if self._keys is None or keys.server.certificate != self._keys.server.certificate:
            _load(self.context, keys.server)
        self._keys = keys
        self._proof_keys = tuple(_proof_key(authority.key) for authority in reversed(keys.authorities))
        return changed

    async def keep_fresh(self, on_new_bundle: Callable[[], None]) -> None:
        """Refreshes every hour until it is cancelled; an outage of the API server is waited for."""
        while True:
            pause = _CHECK_SECONDS
            try:
                if await self.refresh():
                    on_new_bundle()
            except API_FAILURES as error:
                extra = {"cause": shared_cause(error)}
                logger.warning("cannot check the certificate now: %s", brief(error), extra=extra)
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)

    async def _stored_or_renewed(self) -> Keys:
        while True:
            secret = await self._kube.get(SECRETS, self._namespace, self._secret)
            keys = from_secret_data(secret.get("data")) if secret else None
            now = self._clock()
            reason = due(keys, self._hosts, now)
            if keys and reason is None:
                return keys
            renewed = renew(keys, self._hosts, now)
            try:
                await self._write(secret, renewed)
            except ConflictException:
                # Another one was first, with a create or a replace; what it wrote is as good as ours.
                continue
            logger.info("made new keys for the report endpoint: %s", reason)
            return renewed

    async def _write(self, old: JsonObject | None, keys: Keys) -> None:
        data = to_secret_data(keys)
        if old is None:
            labels = {"app.kubernetes.io/managed-by": MANAGER}
            metadata = {"namespace": self._namespace, "name": self._secret, "labels": labels}
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls"}
            await self._kube.create(SECRETS, {**secret, "data": data})
        else:
            # With its resourceVersion, so that a newer Secret is never overwritten; type is immutable and stays.
            await self._kube.replace(SECRETS, {**old, "data": data})


def _load(context: ssl.SSLContext, server: KeyPair) -> None:
    # OpenSSL takes files only; this one is readable by us alone and gone at once.
    with tempfile.NamedTemporaryFile() as file:
        file.write(_pem(server.certificate) + _key_pem(server.key))
        file.flush()
        context.load_cert_chain(file.name)
