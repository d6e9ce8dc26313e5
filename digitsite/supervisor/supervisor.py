"""The supervisor's own loop: starts the parts in order, says when the site answers, restarts what dies, ends all."""

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable

from digitsite import env
from digitsite.open_files import raise_open_files
from recognizer.services.lib.clocks import AwakeClock

from . import commands, readiness, startup_cache
from .guard import Guard, Lock
from .options import Options, StartError
from .process import ManagedProcess

# Together under the five seconds that Ctrl-C may take.
# Workers end softly: what they are at may take so long, then they are killed, and its message comes again.
STOP_SECONDS, STOP_REDIS_SECONDS = 3.2, 1.0
POLL_SECONDS = 0.05
# The default worker and the trainer give way to web and prediction worker at the start, but not for ever.
OTHERS_AFTER_SECONDS = 5.0
SAY_WHY_AFTER_SECONDS = 15.0
# A part that ends so many times the same way before the site answers will not run the next time either.
MAX_EQUAL_DEATHS = 3
# Fewer open files than this, and a few thousand idle connections keep everybody else out.
MIN_OPEN_FILES = 4096
ADDRESS_FILE = "address"


class StoppedError(Exception):
    """Somebody asked the site to stop."""


class Supervisor:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._parts: list[ManagedProcess] = []
        self._selector = selectors.DefaultSelector()
        self._stop_signals = 0
        # Since when each queue that is said to be stuck has been.
        self._stuck: dict[str, float] = {}
        self._awake = AwakeClock()
        self._redis_file_is_damaged = False
        # Until the database and the static files are prepared, parts other than Redis may fail for lack of them.
        self._is_starting, self._is_prepared = True, False

    def run(self) -> int:
        """Run until a signal says stop.

        Returns:
            The exit status: 0 when the site was asked to stop.

        Raises:
            StartError: the site cannot start; everything that was started has been ended.
        """
        lock = Lock(self._options.data_dir)
        self._listen_to_signals()
        self._guard = Guard(lock)
        try:
            self._start()
            self._wait(self._look_for_stuck, every=commands.POLL_INTERVAL)
        except StoppedError:
            self._say("site", "stopping")
        finally:
            self._end_all()
            self._guard.dismiss()
        self._say("site", "stopped")
        return 0

    # --- Starting -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        options = self._options
        self._environment = commands.environment(options)
        self._say("site", f"starting; data folder {options.data_dir}")
        for warning in env.deprecation_warnings():
            self._say("site", warning)
        if os.geteuid() == 0:
            self._say("site", "running as root; an ordinary account is safer")
        for address in options.public_addresses:
            self._say("site", f"{address} is open to the internet, where passwords would travel unencrypted: set HTTPS")
        open_files = raise_open_files()
        if open_files < MIN_OPEN_FILES:
            self._say("site", f"only {open_files} files may be open; raise the limit (ulimit -n) for many connections")
        redis = self._add("redis", commands.valkey(options)) if options.with_redis else None
        quickly = startup_cache.is_current(options)
        if not quickly:
            self._prepare()
        self._is_prepared = not quickly
        if redis:
            self._wait(lambda: readiness.redis_answers(options.socket), every=POLL_SECONDS)
        self._add("web", commands.web(options))
        self._add("predictions", commands.worker("predictions"))
        answers = self._probe = readiness.Probe(options)
        in_time = self._wait(answers, every=POLL_SECONDS, seconds=OTHERS_AFTER_SECONDS)
        self._add("default", commands.worker("default"))
        if options.with_trainer:
            self._add("trainer", commands.trainer())
        if quickly and not in_time:  # perhaps there was something to prepare after all
            self._prepare()
            quickly = False
            for part in self._parts:
                part.forget_deaths()
            self._is_prepared = True
        while not in_time:
            in_time = self._wait(answers, every=POLL_SECONDS, seconds=SAY_WHY_AFTER_SECONDS)
            if not in_time:
                self._say("site", f"not answering yet: {answers.missing}")
        self._is_starting = False
        self._announce()
        if quickly:
            self._prepare()
        # Only now: it loads all pages to know the link's address, and nobody can open the link any sooner.
        self._add("operator", commands.operator((options.network_urls or [options.url])[0]), once=True)

    def _prepare(self) -> None:
        startup_cache.forget(self._options)
        part = self._add("prepare", commands.prepare(), once=True)
        self._wait(lambda: not part.is_running)
        self._parts.remove(part)
        if part.exit_status:
            raise StartError("The site could not be prepared; the lines above say why.")
        startup_cache.remember(self._options)

    def _add(self, name: str, command: list[str], *, once: bool = False) -> ManagedProcess:
        part = ManagedProcess(name, command, self._hear, self._guard, once=once)
        self._parts.append(part)
        self._start_part(part)
        return part

    def _start_part(self, part: ManagedProcess) -> None:
        part.start(self._environment)
        self._selector.register(part.output, selectors.EVENT_READ, part)

    def _announce(self) -> None:
        options = self._options
        (options.data_dir / ADDRESS_FILE).write_text(options.url)
        others = " and ".join(options.network_urls)
        print(f"The site answers at {options.url}" + (f" (from a phone: {others})" if others else ""), flush=True)

    # --- The loop -------------------------------------------------------------------------------------------------

    def _wait(self, done: Callable[[], bool], *, every: float | None = None, seconds: float | None = None) -> bool:
        """Serve the parts until `done()`; it is asked every so many seconds, or after each event.

        Returns:
            False when `seconds` passed first.

        Raises:
            StoppedError: a signal says stop.
        """
        now = time.monotonic()
        deadline = None if seconds is None else now + seconds
        ask_at = now if every else None
        while True:
            if self._stop_signals:
                raise StoppedError
            now = time.monotonic()
            if ask_at is None or ask_at <= now:
                if done():
                    return True
                now = time.monotonic()
                ask_at = now + every if every else None
            if deadline is not None and now >= deadline:
                return False
            moments = [deadline, ask_at, *(part.restart_at for part in self._parts)]
            self._serve(min((moment for moment in moments if moment is not None), default=None))

    def _look_for_stuck(self) -> bool:
        """Kill the workers that have taken nothing for long while work waits; they come back as after any death."""
        stuck, now = self._probe.stuck(), self._awake.now(max_gap=2 * commands.POLL_INTERVAL)
        self._stuck = {name: self._stuck.get(name, now) for name in stuck}
        for part in self._parts:
            since = self._stuck.get(commands.QUEUES.get(part.name, ""))
            if part.is_running and since is not None and now - since > commands.stall_timeout(part.name):
                part.kill("takes no work, and some waits")
                del self._stuck[commands.QUEUES[part.name]]  # the next one gets its time
        return False

    def _serve(self, until: float | None) -> None:
        """Handle what happens up to the moment `until`, but return after the first batch of events."""
        timeout = None if until is None else max(until - time.monotonic(), 0)
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fd, 4096)  # the signals' numbers; their handlers ran already
            else:
                key.data.read()
        for part in self._parts:
            if part.is_running and part.has_ended():
                self._selector.unregister(part.output)
                part.close()
                if part.name == "redis" and self._redis_file_is_damaged:
                    self._redis_file_is_damaged = False
                    aside = commands.set_redis_file_aside(self._options)
                    self._say("site", f"Redis could not read its file, which is now {aside}; it begins anew")
                elif self._cannot_start(part):
                    raise StartError(part.why())
            elif part.restart_at is not None and part.restart_at <= time.monotonic():
                self._start_part(part)

    def _cannot_start(self, part: ManagedProcess) -> bool:
        is_needed = self._is_starting and (self._is_prepared or part.name == "redis")
        return is_needed and part.equal_deaths >= MAX_EQUAL_DEATHS

    # --- Ending ---------------------------------------------------------------------------------------------------

    def _end_all(self) -> None:
        """End every part; Redis last, for the others say good-bye to it."""
        (self._options.data_dir / ADDRESS_FILE).unlink(missing_ok=True)
        self._end([part for part in self._parts if part.name != "redis"], STOP_SECONDS)
        self._end(self._parts, STOP_REDIS_SECONDS)

    def _end(self, ending: list[ManagedProcess], seconds: float) -> None:
        impatience = self._stop_signals + 1  # a second Ctrl-C means: at once
        for part in ending:
            part.stop()
        deadline = time.monotonic() + seconds
        while any(part.is_running for part in ending):
            if time.monotonic() >= deadline or self._stop_signals > impatience:
                for part in ending:
                    if part.is_running:
                        self._say("site", f"{part.name} does not end by itself; ending it")
                        part.signal_group(signal.SIGKILL)
                deadline = time.monotonic() + seconds
            self._serve(deadline)

    # --- Signals and words ----------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        """Signals wake the loop through a socket; an ended child does too."""
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        self._sockets = (wake, woken)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        self._selector.register(wake, selectors.EVENT_READ, None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _asked_to_stop(self, *_: object) -> None:
        self._stop_signals += 1

    def _hear(self, name: str, line: str) -> None:
        if name == "operator" and line.startswith("http"):
            print(f"Sign in as its operator, once, with {line}", flush=True)
        elif line.strip():
            self._say(name, line)
            if name == "redis" and commands.DAMAGED_WORDS in line:
                self._redis_file_is_damaged = True

    def _say(self, name: str, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # whoever read the log has gone; the site goes on
            print(f"{name:11} | {line}", file=sys.stderr, flush=True)
