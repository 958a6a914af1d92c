"""The emulator's own process: runs ministack and ends when its parent does.

The parent holds the other end of standard input and never writes to it. Its end, even by SIGKILL, closes the pipe; the
end of file is the signal. This works alike on Linux and macOS, unlike prctl.
"""

from __future__ import annotations

import os
import sys
import threading


def _end_with_the_parent() -> None:
    while os.read(0, 1024):
        pass
    # Nothing is worth saving: each run starts from an empty emulator.
    os._exit(0)


def main() -> None:
    """Serve until SIGTERM or until the parent is gone."""
    threading.Thread(target=_end_with_the_parent, name="parent-watch", daemon=True).start()
    sys.argv = ["ministack"]
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
