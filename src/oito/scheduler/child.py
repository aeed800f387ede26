"""The process that one scheduled run happens in: it waits for the word to go, runs released code, and ends. Who starts it is children.py."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import time

from oito.clock import moment

PATIENCE_S = 5.0  # how long a clock that was set back a little is waited for


def main() -> int:
    """Carry out the one run that a line on standard input tells of, and return 0, or 1 when a step failed.

    Without that line, which comes once the process is written down, nothing happens: who started it has died.
    """
    faulthandler.enable()  # where native code crashed is told, and kept with the tick
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for each in (signal.SIGINT, signal.SIGTERM):  # a parent in the background may have handed down "ignore"
        signal.signal(each, signal.default_int_handler)
    line = sys.stdin.readline()
    if not line:
        return 0
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    told = json.loads(line)

    from oito.errors import OitoError
    from oito.flow.releases import released
    from oito.workspace import Workspace

    workspace = Workspace(told["root"], **told["settings"])
    try:
        until, waited = moment(told["due"]), 0.0
        while workspace.clock.now() < until and waited < PATIENCE_S:
            time.sleep(0.05)
            waited += 0.05
        site = workspace.site
        targets = [name for name in told["targets"] if name in site.project.assets]
        if not targets:
            sys.stderr.write("the release that stands has none of these assets\n")
            return 2
        outcome = released.run(site, targets, reason=told["reason"])
    except OitoError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        workspace.close()
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
