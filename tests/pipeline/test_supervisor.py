from __future__ import annotations

import json
import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pipeline.supervisor import LONGEST_LINE, Pauses
from tests.lab import Program, python, runs, started, until

# A supervisor in a process of its own, so that signals and kill -9 are real ones.
SUPERVISOR = """
import asyncio, functools, json, os, sys
from pathlib import Path
from pipeline.supervisor import Child, Pauses, Supervisor

def child(name, code, stop_within=10.0, waits_for=None, command=None, hopeless=None, longest=1e9):
    async def ready():
        return waits_for is None or Path(waits_for).exists()
    command = command or [sys.executable, "-u", "-c", code]
    why = lambda: hopeless
    return Child(name, command, os.environ, ".", stop_within, ready, longest, hopeless=why)

say = functools.partial(print, flush=True)
children = [child(**one) for one in json.loads(sys.argv[1])]
supervisor = Supervisor(children, say, Pauses(*json.loads(sys.argv[2])))
asyncio.run(supervisor.run(lambda: say("all are ready")))
"""
SLEEP = "import time; time.sleep(1000)"
SAY_PID = f"import os; print('pid', os.getpid()); {SLEEP}"
POLITE = """
import signal, sys, time
def end(*_):
    time.sleep(0.1)
    print("bye")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("here")
while True:
    signal.pause()
"""


def supervised(
    *children: dict[str, Any], pauses: tuple[float, ...] = (0.02, 0.1, 60.0)
) -> AbstractContextManager[Program]:
    return started(*python(SUPERVISOR, json.dumps(children), json.dumps(pauses)))


def pid_of(program: Program, name: str) -> int:
    return int(program.lines.until(f"{name} | pid").split()[-1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_children_the_last_one_first(number: signal.Signals) -> None:
    with supervised({"name": "a", "code": POLITE}, {"name": "b", "code": POLITE}) as program:
        for name in ("a | here", "b | here"):
            program.lines.until(name)
        program.signal(number)
        assert program.lines.rest()[-2:] == ["b | bye", "a | bye"]
        assert program.code() == 0


def test_a_child_is_started_once_the_one_before_it_is_ready(tmp_path: Path) -> None:
    done = tmp_path / "done"
    slow = f"import time, pathlib; time.sleep(0.3); pathlib.Path({str(done)!r}).touch(); {SLEEP}"
    look = (
        f"import pathlib; print('first is ready:', pathlib.Path({str(done)!r}).exists()); {SLEEP}"
    )
    first = {"name": "first", "code": slow, "waits_for": str(done)}
    with supervised(first, {"name": "second", "code": look}) as program:
        assert program.lines.until("first is ready:") == "second | first is ready: True"


def test_one_that_never_gets_ready_holds_up_the_others_no_longer_than_it_is_waited_for() -> None:
    never = {"name": "a", "code": "raise SystemExit(1)", "waits_for": "/never", "longest": 0.2}
    with supervised(never, {"name": "b", "code": SAY_PID}) as program:
        program.lines.until("a isn't ready yet; the others don't wait")
        pid_of(program, "b")
        program.lines.until("a ended with code 1; starting it again")


def test_a_death_without_hope_ends_all_and_says_why(tmp_path: Path) -> None:
    here = str(tmp_path / "here")
    polite = POLITE.replace('print("here")', f"open({here!r}, 'w').close()")
    ends = {"name": "a", "code": "raise SystemExit(3)", "hopeless": "nothing is kept"}
    with supervised({"name": "b", "code": polite, "waits_for": here}, ends) as program:
        said = program.lines.rest()
        assert program.code() == 1
    assert "b | bye" in said
    assert said[-1] == "pipeline.supervisor.GivenUp: a ended with code 3: nothing is kept"
    assert not any("starting it again" in line for line in said)


def test_a_signal_while_a_child_is_still_starting_ends_all() -> None:
    never = {"name": "a", "code": SAY_PID, "waits_for": "/never"}
    with supervised(never, {"name": "b", "code": SAY_PID}) as program:
        child = pid_of(program, "a")
        program.signal(signal.SIGINT)
        assert program.code() == 0
        assert not runs(child)
        assert not any("all are ready" in line for line in program.lines.rest())


def test_a_child_that_ignores_sigterm_is_killed_at_its_deadline() -> None:
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SAY_PID}"
    with supervised({"name": "deaf", "code": deaf, "stop_within": 0.2}) as program:
        child = pid_of(program, "deaf")
        program.signal(signal.SIGINT)
        program.lines.until("deaf didn't end in 0.2 s: killed")
        assert program.code() == 0
        assert not runs(child)


def test_a_crashing_child_is_started_again_with_growing_pauses() -> None:
    with supervised(
        {"name": "a", "code": "raise SystemExit(3)"}, pauses=(0.02, 0.1, 60)
    ) as program:
        said = [program.lines.until("starting it again").split("again in ")[1] for _ in range(5)]
        assert said == ["0.02 s", "0.04 s", "0.08 s", "0.1 s", "0.1 s"]
        assert "a ended with code 3" in program.lines.seen[-1]


@pytest.mark.parametrize(
    ("last", "lived", "pause"),
    [
        (0, 0, 0.5),  # its first death
        (0.5, 0, 1.0),
        (16, 59, 30.0),
        (30, 59, 30.0),
        (30, 60, 0.5),  # it was well for a minute
    ],
)
def test_a_pause_doubles_to_half_a_minute_until_a_child_was_well_for_a_minute(
    last: float, lived: float, pause: float
) -> None:
    assert Pauses().after(last, lived) == pause


def test_a_killed_child_is_started_again() -> None:
    with supervised({"name": "a", "code": SAY_PID}) as program:
        first = pid_of(program, "a")
        os.kill(first, signal.SIGKILL)
        program.lines.until("a was ended by SIGKILL")
        assert pid_of(program, "a") != first


def test_a_command_that_can_not_be_started_is_tried_again() -> None:
    with supervised({"name": "a", "code": "", "command": ["/no/such/program"]}) as program:
        for _ in range(2):
            assert "starting it again" in program.lines.until("a can't be started")


def test_no_child_outlives_a_supervisor_that_was_killed() -> None:
    with supervised({"name": "a", "code": SAY_PID}, {"name": "b", "code": SAY_PID}) as program:
        pids = [pid_of(program, "a"), pid_of(program, "b")]
        assert all(runs(pid) for pid in pids)
        program.signal(signal.SIGKILL)
        until(lambda: not any(runs(pid) for pid in pids), "children gone")


def test_a_child_whose_parent_died_before_it_was_tied_ends_itself() -> None:
    late = """
import os, signal, sys
from pipeline.supervisor import tied_to_this_process
tie = tied_to_this_process()
middle = os.fork()
if middle == 0:
    orphan = os.fork()
    if orphan == 0:
        tie()
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(orphan, 0)[1]) == -signal.SIGKILL)
print("killed itself:", os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1]))
"""
    with started(*python(late)) as program:
        assert program.lines.until("killed itself") == "killed itself: 1"


def test_a_terminals_ctrl_c_reaches_the_supervisor_alone() -> None:
    with supervised({"name": "a", "code": SAY_PID}) as program:
        assert os.getpgid(pid_of(program, "a")) != os.getpgid(program.pid)


def test_a_line_without_end_is_left_out_and_the_next_one_is_passed_on() -> None:
    flood = f"print('x' * {4 * LONGEST_LINE}); print('next'); {SLEEP}"
    with supervised({"name": "a", "code": flood}) as program:
        program.lines.until("without a line's end left out")
        assert program.lines.until("next") == "a | next"
        assert max(map(len, program.lines.seen)) <= 2 * LONGEST_LINE


def test_a_line_for_machines_is_passed_on_as_it_is() -> None:
    with supervised({"name": "a", "code": f'print(\'{{"level": "info"}}\'); {SLEEP}'}) as program:
        assert program.lines.until("level") == '{"level": "info"}'


def test_what_a_child_leaves_behind_does_not_hold_up_its_restart_and_is_ended() -> None:
    leaves = f"""
import subprocess, sys
print("pid", subprocess.Popen([sys.executable, "-c", {SLEEP!r}]).pid)
"""
    with supervised({"name": "a", "code": leaves}) as program:
        left = pid_of(program, "a")
        program.lines.until("a ended with code 0; starting it again")
        until(lambda: not runs(left), "what it left is gone")
        program.signal(signal.SIGTERM)  # a kill would leave what the next one has left behind
        assert program.code() == 0
