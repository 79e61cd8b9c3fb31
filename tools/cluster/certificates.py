"""The cluster's own certificate authority, made with openssl; its keys never leave the state folder."""

from __future__ import annotations

from pathlib import Path

from tools.cluster import NAME
from tools.cluster.network import Addresses
from tools.common import run

_DAYS = "3650"
# Client certificates: file name -> subject; Kubernetes reads user (CN) and group (O) out of it.
CLIENTS = {
    "admin": "/O=system:masters/CN=mlflow-dev-admin",
    "apiserver-kubelet-client": "/O=system:masters/CN=kube-apiserver-kubelet-client",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
}


def make_certificates(folder: Path, addresses: Addresses) -> None:
    """Write CA, server, client and service-account keys into ``folder`` (0700, files 0600)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # an empty configuration: the system's own one adds extensions that differ from machine to machine
    (folder / "openssl.cnf").write_text("[req]\ndistinguished_name = dn\n[dn]\n")
    _certificate(folder, "ca", "/CN=mlflow-dev-ca", ["basicConstraints=critical,CA:TRUE"], signed=False)
    for name, subject in CLIENTS.items():
        _certificate(folder, name, subject, ["extendedKeyUsage=clientAuth"])
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    names += ["kubernetes.default.svc.cluster.local"]
    served = [f"DNS:{n}" for n in names]
    served += [f"IP:{ip}" for ip in (addresses.node, addresses.api_service, "127.0.0.1")]
    server = ["extendedKeyUsage=serverAuth", f"subjectAltName={','.join(served)}"]
    _certificate(folder, "apiserver", "/CN=kube-apiserver", server)
    both = ["extendedKeyUsage=serverAuth,clientAuth", f"subjectAltName=DNS:{NAME},IP:{addresses.node}"]
    _certificate(folder, "kubelet", f"/O=system:nodes/CN=system:node:{NAME}", both)
    run(["openssl", "genpkey", *_EC, "-out", folder / "service-accounts.key"])
    public = ["openssl", "pkey", "-pubout", "-in", folder / "service-accounts.key"]
    run([*public, "-out", folder / "service-accounts.pub"])
    for path in folder.iterdir():
        path.chmod(0o600)


_EC = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]


def _certificate(
    folder: Path, name: str, subject: str, extensions: list[str], *, signed: bool = True
) -> None:
    run(["openssl", "genpkey", *_EC, "-out", folder / f"{name}.key"])
    command: list[str | Path] = ["openssl", "req", "-new", "-x509", "-days", _DAYS, "-subj", subject]
    command += ["-config", folder / "openssl.cnf", "-key", folder / f"{name}.key"]
    command += ["-out", folder / f"{name}.crt"]
    for extension in extensions:
        command += ["-addext", extension]
    if signed:
        command += ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"]
    run(command)
