"""Finding and stopping what belongs to one home."""

import os
import subprocess
import sys
import threading
from dataclasses import replace

from webapp.embedded import processes
from webapp.embedded.environment import Stack
from webapp.embedded.programs import MARK

STUBBORN = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print(flush=True); time.sleep(60)"


def marked(stack: Stack, code: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, MARK: str(stack.home)}
    process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    threading.Thread(target=process.wait, daemon=True).start()  # as init would: what nobody waits for has not ended
    return process


def test_only_the_processes_of_this_home_are_stopped(stack: Stack) -> None:
    other = replace(stack, home=stack.home / "other")
    mine, theirs = (marked(each, "import time; print(flush=True); time.sleep(60)") for each in (stack, other))
    assert processes.of_stack(stack) == [mine.pid]
    assert processes.sweep(stack) == [mine.pid]
    assert mine.wait(5) != 0
    assert theirs.poll() is None
    processes.sweep(other)
    theirs.wait(5)


def test_one_that_ignores_signals_is_killed(stack: Stack) -> None:
    stubborn = marked(stack, STUBBORN)
    processes.sweep(stack, patience_s=0.6)
    assert stubborn.wait(5) == -9


def test_with_nothing_to_stop_it_says_so(stack: Stack) -> None:
    assert processes.sweep(stack) == []
