"""What processes have used, read from outside."""

import os
import subprocess
import sys

from phonebot.bench.processes import cpu_s, family, resident_mb

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
child.communicate()
"""


def test_a_family_is_a_process_with_its_children_and_theirs() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert family(parent.pid) == (parent.pid, child)
        assert set(family(parent.pid)) < set(family(os.getpid()))
        assert resident_mb(child) > 1
        parent.communicate()

    assert family(parent.pid) == ()
    assert (cpu_s(parent.pid), resident_mb(parent.pid)) == (0.0, 0.0)


def test_cpu_time_is_what_the_system_says_the_process_used() -> None:
    before_s = cpu_s(os.getpid())
    times = os.times()
    while os.times().user - times.user < 0.1:
        pass

    assert cpu_s(os.getpid()) - before_s >= 0.08  # counted in ticks of 10 ms
