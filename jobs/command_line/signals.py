"""SIGTERM ends a run as Ctrl-C does: with what is finished written.

asyncio turns SIGINT into the cancellation of its main task and knows nothing of SIGTERM. So SIGTERM is passed on as
SIGINT, and what tells the two apart is remembered for the exit status.
"""

import signal
import threading
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

_received: list[int] = []


def treat_sigterm_as_interrupt() -> None:
    """Install the handler. Importing Ray replaces it, so call this once more after that.

    In any other thread than the main one, which alone hears of signals, nothing is done.

    The driver of a Ray job is born with SIGINT blocked: it is let in here, or else it would never arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, _pass_on)


def interrupted_status() -> int:
    """The exit status after a KeyboardInterrupt: 143 if a SIGTERM was behind it, else 130."""
    return TERMINATED if signal.SIGTERM in _received else INTERRUPTED


def _pass_on(signum: int, _frame: FrameType | None) -> None:
    _received.append(signum)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell script
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
