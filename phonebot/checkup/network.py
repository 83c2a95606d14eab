"""What is wrong with a connection, in a few words; and which connections go through a proxy."""

import os
import socket
import ssl
from urllib.request import getproxies, proxy_bypass

import aiohttp

NETWORK = "Check the network, the firewall and the name."

# What OpenSSL says of a certificate (openssl-verification-options), and what it means to an operator.
_CERTIFICATES = (
    ("has expired", "its certificate has expired"),
    ("not yet valid", "its certificate is not valid yet"),
    ("self-signed", "its certificate is signed by itself"),
    ("self signed", "its certificate is signed by itself"),
    ("unable to get local issuer", "its certificate's chain is not complete, or its authority not known here"),
    ("mismatch", "its certificate is for another name"),
    ("not valid for", "its certificate is for another name"),
)


def reason(error: BaseException) -> str:
    """In a few words, without an address that may hold a secret."""
    certificate = _certificate_error(error)
    if certificate is not None:
        said = certificate.verify_message or ""
        return next(
            (words for part, words in _CERTIFICATES if part in said.lower()), "its certificate is not valid"
        )
    cause = error.__cause__ or error
    if isinstance(cause, socket.gaierror):
        return "its name is not known"
    if isinstance(cause, ssl.SSLError):
        return "it does not speak TLS as it should"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return type(error).__name__


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    return error if isinstance(error, ssl.SSLCertVerificationError) else None


def by_proxy(host: str, secure: bool) -> bool:
    """Whether the environment names a proxy for it."""
    return ("https" if secure else "http") in getproxies() and not proxy_bypass(host)
