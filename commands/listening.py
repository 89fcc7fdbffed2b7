"""Where a verb listens: the address in words, and whether it is free, which is said before anything begins."""

import socket

from anabranch.errors import ConfigError


def address_of(host: str, port: int) -> str:
    """As it stands in a URL.

    >>> address_of("::1", 8080)
    '[::1]:8080'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def refuse_unusable(host: str, port: int, *, of: str) -> None:
    """See that a server could listen there; uvicorn tells of it only when it has begun, and in its own words.

    Args:
        of: whose address it is: the verb's, which is a section of the configuration too.

    Raises:
        ConfigError: the port is taken, or the host is none of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        where = address_of(host, port)
        # socket adds the address in words of its own to what the system says.
        fault = (error.strerror or str(error)).partition(" (while")[0]
        raise ConfigError(
            f"{of}: cannot listen on {where}: {fault}; give another --port or --host, or set {of}.port"
        ) from error
