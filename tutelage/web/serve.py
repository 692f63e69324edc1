"""Where the server listens, and when it refuses to."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

from tutelage.errors import UsageError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, has_tls: bool, behind_proxy: bool) -> None:
    """Passwords and people's words do not cross a network in the clear.

    Raises:
        UsageError: if others could reach `host`, and neither TLS nor a proxy is there.
    """
    if not is_loopback(host) and not has_tls and not behind_proxy:
        raise UsageError(
            f"--host {host} can be reached by others, and without TLS they could read passwords on the way. Give "
            "--tls-cert FILE and --tls-key FILE, or --behind-proxy if a proxy with TLS stands in front, or stay with "
            "127.0.0.1 and reach it through an SSH tunnel.")


def hosts_of(host: str, public_url: str, behind_proxy: bool) -> tuple[str, ...]:
    """The names the server answers to. On this machine alone only its own, so that no other name can be pointed at it."""
    if public_url:
        name = urlsplit(public_url).hostname
        if not name:
            raise UsageError(f"--public-url {public_url!r} is no address; wanted one such as https://studio.example.org.")
        return (name, "127.0.0.1", "localhost")
    return ("127.0.0.1", "localhost", "::1", host) if is_loopback(host) and not behind_proxy else ()


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket, so that a taken port is an error before anything else happens. Port 0 takes a free one.

    Raises:
        UsageError: if the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
        opened.listen(256)
    except OSError as error:
        opened.close()
        raise UsageError(f"cannot listen on {host} port {port}: {error.strerror}. Choose another with --port.") from None
    return opened


def serve(app: FastAPI, listening: socket.socket, tls_cert: Path | None, tls_key: Path | None, behind_proxy: bool) -> None:
    """Answer requests until the process is told to stop. One process: the store's writers queue in it."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, date_header=False,
                            proxy_headers=behind_proxy, forwarded_allow_ips="127.0.0.1,::1" if behind_proxy else "",
                            ssl_certfile=tls_cert, ssl_keyfile=tls_key, timeout_graceful_shutdown=5,
                            h11_max_incomplete_event_size=32768, limit_concurrency=1000)
    _Server(config, app).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells the rooms that it stops before it waits for open answers to end."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for stop in self._app.state.stopping:
            stop()
        await super().shutdown(sockets)
