"""Every comparison with a rival, one at a time: two at once would measure each other."""

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    scripts = sorted(path for path in Path(__file__).parent.glob("*.py") if path.name not in ("all.py", "venvs.py"))
    sys.exit(max([subprocess.run([sys.executable, script]).returncode for script in scripts]))
