"""What holds for every test: no connection leaves this machine, no setting of the caller's shell gets in, one thread per fit."""

import os
import sys
from typing import Any

LOOPBACK = ("127.", "::1", "localhost")


def _refuse_outside(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to connect beyond this machine: nothing of ours phones home, and no library does unasked."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
        if not host.startswith(LOOPBACK):
            raise ConnectionRefusedError(f"tests do not connect to {host}")
    if event == "socket.getaddrinfo" and str(arguments[0] or "localhost") not in {"localhost", "127.0.0.1", "::1"}:
        raise ConnectionRefusedError(f"tests do not look up {arguments[0]}")


sys.addaudithook(_refuse_outside)

# Several workers share few cores, and threads that spin while they wait make small fits ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

for _name in [name for name in os.environ if name.startswith("OITO_")]:
    del os.environ[_name]
