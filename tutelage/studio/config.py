"""Settings of the studio; imports no web framework."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """The feedback pages and the dashboard, served from one process."""

    host: str = "127.0.0.1"        # where to listen; an address others can reach needs TLS or behind_proxy
    port: int = 8321               # 0 takes a free one
    tls_cert: str = ""             # file with the certificate chain (PEM)
    tls_key: str = ""              # file with its key (PEM)
    behind_proxy: bool = False     # a proxy on this machine ends TLS and sets X-Forwarded-For and -Proto
    public_url: str = ""           # the address people type, where it is not host and port
    min_view_s: float = 0.8        # seconds a task must have been in view before a decision counts; 0 is off
    break_after_min: int = 45      # minutes of work after which a break is suggested; 0 is off
    max_upload_mb: int = 32        # largest file of prompts that may be sent

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ConfigError(f"studio: port is {self.port}; wanted 0 to 65535.")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError("studio: tls_cert and tls_key go together; one of them is missing.")
        if not 0 <= self.min_view_s <= 60 or self.break_after_min < 0 or not 1 <= self.max_upload_mb <= 1024:
            raise ConfigError("studio: min_view_s must be 0 to 60, break_after_min >= 0, max_upload_mb 1 to 1024.")
