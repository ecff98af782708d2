"""Certificates for the TLS tests, made by the `openssl` command once a run, and contexts that use them."""

import atexit
import functools
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@functools.cache
def directory() -> pathlib.Path:
    """Has authority.pem, and server and client each as .pem and .key; those of the parent if a test has started us."""
    if made := os.environ.get("FERRIO_TEST_CERTIFICATES"):
        return pathlib.Path(made)
    path = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, path)
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout")
    signing = ("-x509", "-days", 2, "-subj", "/CN=authority", "-addext", "keyUsage=keyCertSign,cRLSign")
    openssl(*new, path / "authority.key", *signing, "-out", path / "authority.pem")
    for name, subject in (("server", "localhost"), ("client", "client")):
        request = path / f"{name}.csr"
        openssl(*new, path / f"{name}.key", "-subj", f"/CN={subject}", "-out", request)
        extensions = path / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName=DNS:{subject}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        authority = ("-CA", path / "authority.pem", "-CAkey", path / "authority.key", "-CAcreateserial")
        signed = ("-out", path / f"{name}.pem", "-days", 2, "-extfile", extensions)
        openssl("x509", "-req", "-in", request, *authority, *signed)
    return path


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory() / "server.pem", directory() / "server.key")
    return context


def client_context() -> ssl.SSLContext:
    """Trusts the authority."""
    return ssl.create_default_context(cafile=str(directory() / "authority.pem"))
