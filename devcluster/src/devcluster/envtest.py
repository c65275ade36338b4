"""A real Kubernetes control plane from a folder of binaries, with the dev cluster's node to run its pods.

The folder is envtest's (KUBEBUILDER_ASSETS): etcd, kube-apiserver and kube-controller-manager. Scheduler and
kubelet are the dev cluster's node; authorization is RBAC, and the kubeconfig's user is in system:masters.
"""

import asyncio
import contextlib
import ctypes
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from devcluster.cluster import Cluster, Options, in_thread, run_own_node
from devcluster.kubeconfig import write_kubeconfig
from devcluster.ports import free_ports

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_START_SECONDS = 300
"""On a machine that has much else to do; an idle one takes 5."""
_STOP_SECONDS = 60


@contextlib.contextmanager
def start(assets: Path, state_dir: Path, options: Options | None = None) -> Iterator[Cluster]:
    """Run a control plane in processes of its own, and a node in a thread of this one, until the context ends."""
    with in_thread(lambda: running(assets, state_dir, options or Options())) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def running(assets: Path, state_dir: Path, options: Options) -> AsyncIterator[Cluster]:
    """Run as `start`, in the current event loop.

    Raises RuntimeError with the end of the log if a program does not start.
    """
    files = await asyncio.to_thread(_write_files, state_dir)
    ports = _Ports(*free_ports(5))
    url = f"https://127.0.0.1:{ports.api}"
    kubeconfig = write_kubeconfig(state_dir / "kubeconfig", url=url, ca=files.ca_pem, token=files.token)
    async with contextlib.AsyncExitStack() as stack:
        for program, arguments in _programs(files, ports, kubeconfig, options):
            log = state_dir / f"{program}.log"
            process = await stack.enter_async_context(_process(assets / program, arguments, log))
            if program == "kube-apiserver":
                await _wait_ready(process, url, log)
        node = asyncio.create_task(run_own_node(kubeconfig, state_dir, options))
        try:
            yield Cluster(kubeconfig, url, state_dir)
        finally:
            node.cancel()
            await asyncio.wait([node])


@dataclass(frozen=True)
class _Files:
    folder: Path
    certificate: Path
    private_key: Path
    ca: Path
    ca_pem: bytes
    account_key: Path
    account_public_key: Path
    tokens: Path
    token: str


@dataclass(frozen=True)
class _Ports:
    api: int
    etcd: int
    etcd_peer: int
    etcd_metrics: int
    controllers: int


def _write_files(folder: Path) -> _Files:
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc", key_type=trustme.KeyType.ECDSA)
    token = secrets.token_urlsafe(32)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    files = _Files(
        folder=folder,
        certificate=folder / "tls.crt",
        private_key=folder / "tls.key",
        ca=folder / "ca.crt",
        ca_pem=authority.cert_pem.bytes(),
        account_key=folder / "sa.key",
        account_public_key=folder / "sa.pub",
        tokens=folder / "tokens.csv",
        token=token,
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path, content in (
        (files.certificate, b"".join(blob.bytes() for blob in issued.cert_chain_pems)),
        (files.private_key, issued.private_key_pem.bytes()),
        (files.ca, files.ca_pem),
        (files.account_key, private),
        (files.account_public_key, public),
        (files.tokens, f'{token},admin,admin,"system:masters"\n'.encode()),
    ):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return files


def _programs(files: _Files, ports: _Ports, kubeconfig: Path, options: Options) -> list[tuple[str, list[str]]]:
    etcd = f"http://127.0.0.1:{ports.etcd}"
    peer = f"http://127.0.0.1:{ports.etcd_peer}"
    return [
        (
            "etcd",
            [
                f"--data-dir={files.folder / 'etcd'}",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                f"--listen-metrics-urls=http://127.0.0.1:{ports.etcd_metrics}",
                "--unsafe-no-fsync",
            ],
        ),
        (
            "kube-apiserver",
            [
                f"--etcd-servers={etcd}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={ports.api}",
                f"--cert-dir={files.folder / 'apiserver'}",
                f"--tls-cert-file={files.certificate}",
                f"--tls-private-key-file={files.private_key}",
                f"--token-auth-file={files.tokens}",
                "--authorization-mode=Node,RBAC",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={files.account_public_key}",
                f"--service-account-signing-key-file={files.account_key}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--kubelet-preferred-address-types=InternalIP",
                "--endpoint-reconciler-type=none",
            ],
        ),
        (
            "kube-controller-manager",
            [
                f"--kubeconfig={kubeconfig}",
                f"--authentication-kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}",
                f"--service-account-private-key-file={files.account_key}",
                f"--root-ca-file={files.ca}",
                f"--secure-port={ports.controllers}",
                f"--cert-dir={files.folder / 'controllers'}",
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                f"--kube-api-qps={options.controller_qps}",
                f"--kube-api-burst={options.controller_qps * 3 // 2}",
                # It learns of a new kind within half a minute, and counts its objects at the next of these.
                "--resource-quota-sync-period=5s",
            ],
        ),
    ]


@contextlib.asynccontextmanager
async def _process(program: Path, arguments: list[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program that writes to `log`; when the context ends it is terminated, or killed if it does not end.

    On Linux it is killed too when this process is, or when the thread that runs its event loop ends.
    """
    with await asyncio.to_thread(log.open, "wb") as output:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _end_with_parent() -> None:
    """Make the kernel kill this process when the one that started it ends, were it by SIGKILL."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def _wait_ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    timeout = aiohttp.ClientTimeout(total=2)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession(timeout=timeout) as session:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{url}/readyz", ssl=False) as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.1)
    text = await asyncio.to_thread(log.read_text, errors="replace")
    end = "\n".join(text.splitlines()[-20:])
    raise RuntimeError(f"kube-apiserver did not become ready; the end of {log}:\n{end}")
