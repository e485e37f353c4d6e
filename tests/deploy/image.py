"""A Dockerfile in; out the image that it makes, and programs run in it, without a container engine.

It stands on this machine's own root, with this Python in /usr/local as in Docker's image of it. All
is in one mount namespace: a stage is an overlay in which its RUN steps run, a container the last
one's user, without any right, on that root, read-only. Networks and processes aren't kept apart.
It must be root for that.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from tests.deploy.ignored import Ignore
from tests.lab import Program, started

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# what tells pip and apt the way to packages here, as --build-arg does it in Docker
WAYS = re.compile("(pip_|https?_proxy$|no_proxy$|ssl_cert)", re.IGNORECASE)

HASTY = "/tmp/cc"  # noqa: S108 - a C compiler that takes a fifth of the time, for a slower core
PATIENCE = 900.0  # seconds


def instructions(text: str) -> list[tuple[str, str]]:
    kept = "\n".join(line for line in text.splitlines() if not re.match(r"\s*(#|$)", line))
    lines = kept.replace("\\\n", "").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


@dataclass
class Stage:
    """What the instructions since a FROM come to."""

    root: str
    environment: dict[str, str] = field(
        # the second as Docker's image has it by ldconfig: another Python's library may be here too
        default_factory=lambda: {"PATH": PATH, "LD_LIBRARY_PATH": "/usr/local/lib"}
    )
    folder: str = "/"
    user: str = "0:0"


class Builder:
    """An instruction is a method of its name; one that isn't known here ends the build."""

    def __init__(self, namespace: int, scratch: Path) -> None:
        self._namespace = namespace
        self._scratch = scratch
        self._ignore = Ignore(Path(f"{DOCKERFILE}.dockerignore").read_text())
        self.stage = Stage("")
        self.command: list[str] = []
        self.check: list[str] = []

    def build(self) -> None:
        for instruction, rest in instructions(DOCKERFILE.read_text()):
            getattr(self, f"do_{instruction.lower()}")(rest)

    def do_arg(self, rest: str) -> None:
        assert rest.startswith("BASE=python:3.11-")

    def do_from(self, rest: str) -> None:
        base, *name = rest.split(" AS ")
        assert base == "${BASE}"
        root = f"{self._scratch}/{name[0] if name else 'image'}"
        layers = f"lowerdir=/,upperdir={root}.upper,workdir={root}.work"
        self.stage = Stage(root)
        self._do(f"mkdir {root} {root}.upper {root}.work")
        self._do(f"mount -t overlay overlay -o {layers} {root}")
        self._do(f"mount --rbind /proc {root}/proc && mount --rbind /dev {root}/dev")
        self._do(f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp")  # noqa: S108
        self._do(f"cat >{root}{HASTY} && chmod +x {root}{HASTY}", '#!/bin/sh\nexec cc "$@" -O0\n')
        if sys.base_prefix != "/usr":
            self._do(f"mount --bind {sys.base_prefix} {root}/usr/local")

    def do_env(self, rest: str) -> None:
        environment = self.stage.environment
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            environment[name] = Template(value).substitute(environment)

    def do_workdir(self, rest: str) -> None:
        self.stage.folder = rest
        self._do(f"mkdir -p {self.stage.root}{rest}")

    def do_copy(self, rest: str) -> None:
        *sources, target = rest.split()
        into = self.stage.root + os.path.join(self.stage.folder, target)
        self._do(f"mkdir -p {into}")
        if (stage := sources[0].removeprefix("--from=")) != sources[0]:
            self._do(f"cp -a {self._scratch}/{stage}{sources[1]}/. {into}")
            return
        for source in sources:
            files = self._ignore.kept(ROOT, source)
            assert files, f"COPY {source}: nothing of it goes to the builder"
            base = ROOT / source if (ROOT / source).is_dir() else (ROOT / source).parent
            names = "\0".join(str(file.relative_to(base)) for file in files)
            pack = f"tar -C {shlex.quote(str(base))} --null -T - -c"
            self._do(f"{pack} | tar -C {into} --no-same-owner -x", names)

    def do_run(self, rest: str) -> None:
        ways = {name: value for name, value in os.environ.items() if WAYS.match(name)}
        more = {"HOME": "/root", "CC": HASTY, **ways}
        self._do(shlex.join(self._inside(["sh", "-c", rest], more)))

    def do_label(self, rest: str) -> None:
        assert all("=" in word for word in shlex.split(rest))

    def do_user(self, rest: str) -> None:
        self.stage.user = rest

    def do_expose(self, rest: str) -> None:
        assert rest.isdigit()

    def do_healthcheck(self, rest: str) -> None:
        self.check = json.loads(rest.partition("CMD ")[2])

    def do_cmd(self, rest: str) -> None:
        self.command = json.loads(rest)

    def _inside(self, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The command in the stage's root, user, folder and environment."""
        user, _, group = self.stage.user.partition(":")
        rights = ["--reuid", user, "--regid", group, "--clear-groups"]
        if user != "0":
            rights += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        variables = {**self.stage.environment, **environment}
        return [
            *("chroot", self.stage.root, "/usr/bin/setpriv", *rights, "--"),
            *("/usr/bin/env", "-i", "-C", self.stage.folder),
            *(f"{name}={value}" for name, value in variables.items()),
            *command,
        ]

    def _enter(self) -> tuple[str, ...]:
        return ("nsenter", f"--mount=/proc/{self._namespace}/ns/mnt")

    def _do(self, script: str, text: str = "") -> None:
        with subprocess.Popen(
            [*self._enter(), "bash", "-o", "pipefail", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as step:
            try:
                said, _ = step.communicate(text, timeout=PATIENCE)
            except BaseException:
                os.killpg(step.pid, signal.SIGKILL)  # with all that it has started
                raise
        assert step.returncode == 0, f"{script}:\n{said}"

    def run(
        self,
        *command: str,
        volumes: Mapping[str, Path] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[Program]:
        """A container, with folders of ours where they are to be; the image's own command, or
        another one."""
        root = self.stage.root
        mounts = [
            f"mount --bind {shlex.quote(str(there))} {root}{here}"
            for here, there in (volumes or {}).items()
        ]
        mounts += [f"mount -o remount,bind,ro {root}"]
        inside = self._inside(command or self.command, environment or {})
        script = " && ".join([*mounts, f"exec {shlex.join(inside)}"])
        return started(*self._enter(), "unshare", "--mount", "bash", "-c", script)


@contextmanager
def built(scratch: Path) -> Iterator[Builder]:
    """`scratch` becomes a tmpfs in the namespace: no layer may lie below another."""
    scratch.mkdir(parents=True)
    mount = f"mount -t tmpfs tmpfs {scratch} && echo ready && exec sleep infinity"
    with started("unshare", "--mount", "--propagation", "private", "sh", "-c", mount) as holder:
        holder.lines.until("ready")
        builder = Builder(holder.pid, scratch)
        builder.build()
        yield builder
