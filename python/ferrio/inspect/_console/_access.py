"""Who may see the console: the token of the address that was printed, then a cookie; and which hosts and origins.

The token is in the fragment of the address, which browsers send to nobody. The page posts it once and gets a cookie
that scripts cannot read and other sites cannot send. The name of the host is checked because a page of another site
can make its own name resolve to this address, the origin because it can send requests here.
"""

import hmac
import ipaddress
import secrets
from email.message import Message
from http.cookies import CookieError, SimpleCookie

# On every answer. The styles that scripts set one by one need no permission.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Access:
    """The secrets of one console."""

    def __init__(self, port: int, *, loopback: bool) -> None:
        self.token = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(24)
        # Browsers send a cookie to all ports of a host: consoles on several ports must not take each other's place.
        self._cookie = f"ferrio_console_{port}"
        self._loopback = loopback

    def knows_host(self, host: str | None) -> bool:
        """Whether a request names this machine in a way that no other site can: as localhost, or by an address."""
        name = _host_name(host or "")
        if name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._loopback

    def knows_origin(self, headers: Message) -> bool:
        """Whether a request comes from this page, from an address that the user typed, or from no browser at all."""
        if str(headers.get("Sec-Fetch-Site", "none")) not in ("none", "same-origin"):
            return False
        origin = headers.get("Origin")
        return origin is None or origin == f"http://{headers.get('Host')}"

    def is_token(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self.token.encode())

    def cookie(self) -> str:
        """The header that lets the page in until the browser is closed."""
        return f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/"

    def is_let_in(self, cookies: str | None) -> bool:
        try:
            found = SimpleCookie(cookies or "").get(self._cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._session.encode())


def _host_name(host: str) -> str:
    """The name in `name:port` or `[address]:port`; empty if it is neither."""
    if host.startswith("["):
        name, bracket, rest = host[1:].partition("]")
    else:
        name, colon, number = host.partition(":")
        bracket, rest = "]", colon + number
    port = rest[1:]
    return name.lower() if bracket and (not rest or (rest[0] == ":" and port.isascii() and port.isdecimal())) else ""
