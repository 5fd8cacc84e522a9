"""Logins of a session, and the ACL of the nodes that it creates.

Without a login nodes are open to everyone who reaches the server. With one, all nodes are the creator's only:
also those of leases, which hold the passwords of sessions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from kazoo import exceptions as kazoo
from kazoo.protocol.serialization import SASL, Auth, ReplyHeader, int_int_struct, int_struct
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, Id

from stackl_flow import exceptions as exc

#: The number of a request that adds a login.
_AUTH_XID: Final = -4
#: The domain that servers use with DIGEST-MD5, whatever their name is.
_DIGEST_DOMAIN: Final = "zk-sasl-md5"


class Login(NamedTuple):
    """How a session logs in.

    Attributes:
        auth: schemes with their credentials, as ``("digest", "user:password")``.
        sasl: arguments of pure-sasl's client; None without SASL.
        acl: the ACL of the nodes that the session creates.
    """

    auth: tuple[tuple[str, str], ...] = ()
    sasl: Mapping[str, Any] | None = None
    acl: tuple[ACL, ...] = tuple(OPEN_ACL_UNSAFE)

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of kazoo's client."""
        options: dict[str, Any] = {"auth_data": list(self.auth)} if self.auth else {}
        return options if self.sasl is None else {**options, "sasl_options": dict(self.sasl)}

    def log_in(self, host: str, send: Callable[[bytes], Any], read: Callable[[], bytes]) -> None:
        """Log in on a new connection.

        Args:
            host: the server.
            send: sends bytes.
            read: returns the next message.

        Raises:
            AuthFailedError: kazoo's; the server refused it.
        """
        if self.sasl is not None:
            self._log_in_by_sasl(host, send, read)
        for scheme, credentials in self.auth:
            _request(send, read, _AUTH_XID, Auth(0, scheme, credentials))

    def _log_in_by_sasl(self, host: str, send: Callable[[bytes], Any], read: Callable[[], bytes]) -> None:
        import puresasl  # noqa: PLC0415  an extra
        from puresasl.client import SASLClient  # noqa: PLC0415

        options = {"service": "zookeeper", **(self.sasl or {})}
        domain = _DIGEST_DOMAIN if options.get("mechanism") == "DIGEST-MD5" else host
        client = SASLClient(host=domain, **options)
        challenge: bytes | None = None
        xid = 0
        while not client.complete:
            try:
                response = client.process(challenge=challenge)
            except (puresasl.SASLError, puresasl.SASLProtocolException) as error:
                raise kazoo.AuthFailedError(f"SASL: {error}") from error
            if client.complete and not response:
                break
            xid += 1
            body = _request(send, read, xid, SASL(response or b""))
            challenge, _ = SASL.deserialize(body, 0)
        client.dispose()


def _request(send: Callable[[bytes], Any], read: Callable[[], bytes], xid: int, request: Any) -> bytes:
    body = int_int_struct.pack(xid, request.type) + bytes(request.serialize())
    send(int_struct.pack(len(body)) + body)
    try:
        message = read()
    except EOFError as error:  # a server drops the connection of a login that it refuses
        raise kazoo.AuthFailedError("the server closed the connection") from error
    header, offset = ReplyHeader.deserialize(message, 0)
    if header.err:
        raise kazoo.AuthFailedError(f"error {header.err}")
    return message[offset:]


class AuthData(tuple[tuple[str, str], ...]):
    """An option type: pairs of a scheme and its credentials, or their JSON text, as for kazoo's client."""

    __slots__ = ()

    def __new__(cls, value: Any) -> Self:
        pairs = json.loads(value) if isinstance(value, str) else value
        return super().__new__(cls, [(str(scheme), str(credentials)) for scheme, credentials in pairs])


class ACLs(tuple[ACL, ...]):
    """An option type: kazoo's ACLs, the same as lists ``[permissions, [scheme, id]]``, or their JSON text."""

    __slots__ = ()

    def __new__(cls, value: Any) -> Self:
        entries = json.loads(value) if isinstance(value, str) else value
        return super().__new__(
            cls, [ACL(int(bits), Id(str(scheme), str(name))) for bits, (scheme, name) in entries]
        )


#: Options of the URL that concern logins.
OPTIONS: Final[Mapping[str, type[Any]]] = {
    "username": str,
    "password": str,
    "auth": str,
    "sasl_mechanism": str,
    "auth_data": AuthData,
    "default_acl": ACLs,
}
_SCHEMES: Final = ("digest", "sasl")


def read_login(name: str, given: tuple[str, str], options: Mapping[str, Any]) -> Login:
    """Read user, password and the options of a URL.

    Args:
        name: the URL, for messages.
        given: user and password of the URL; empty for none.
        options: the options, converted.

    Raises:
        InvalidFormat: they contradict each other.
        NotFound: SASL is not installed.
    """
    user, password = (
        one or options.get(key, "") for one, key in zip(given, ("username", "password"), strict=True)
    )
    kind = options.get("auth", "sasl" if "sasl_mechanism" in options else "digest")
    if kind not in _SCHEMES:
        raise exc.InvalidFormat(f"option 'auth' of '{name}' must be 'digest' or 'sasl', not {kind!r}")
    auth: Sequence[tuple[str, str]] = options.get("auth_data", ())
    sasl = None
    if kind == "sasl":
        sasl = _sasl_options(name, user, password, options.get("sasl_mechanism", "DIGEST-MD5"))
    elif user:
        auth = (*auth, ("digest", f"{user}:{password}"))
    default = CREATOR_ALL_ACL if auth or sasl else OPEN_ACL_UNSAFE
    return Login(tuple(auth), sasl, tuple(options.get("default_acl") or default))


def _sasl_options(name: str, user: str, password: str, mechanism: str) -> dict[str, Any]:
    try:
        import puresasl  # noqa: F401, PLC0415  an extra
    except ImportError as error:
        raise exc.NotFound(
            f"'{name}' logs in by SASL, which needs the package pure-sasl: pip install "
            f"'stackl-flow[zookeeper-sasl]'",
            cause=error,
        ) from error
    if mechanism == "DIGEST-MD5" and not user:
        raise exc.InvalidFormat(
            f"'{name}' logs in by SASL without a user: use zookeeper://user:password@host"
        )
    login = {"username": user, "password": password} if user else {}
    return {"mechanism": mechanism, **login}
