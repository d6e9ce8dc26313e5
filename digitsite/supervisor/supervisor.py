"""The supervisor: starts the processes in order, announces the site, restarts failed processes, stops all of them."""

import contextlib
import math
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

# Time for processes to end after SIGTERM, before SIGKILL. Both together stay below the five seconds that Ctrl-C may
# take. The messages of a worker that is killed are delivered again.
STOP_SECONDS, STOP_REDIS_SECONDS = 3.2, 1.0
POLL_SECONDS = 0.05
# The default worker starts once the site answers, or after this time.
BACKGROUND_DELAY_SECONDS = 5.0
# How often a slow start is explained in the log.
EXPLAIN_SECONDS = 15.0
# A process that ends this many times with the same exit status before the site answers stops the start.
MAX_EQUAL_FAILURES = 3
# With fewer open files, a few thousand idle connections block all other clients.
MIN_OPEN_FILES = 4096
ADDRESS_FILE = "address"


class StoppedError(Exception):
    """The supervisor has received a signal to stop."""


class Supervisor:
    """Runs the processes of one site.

    Args:
        options: Validated options.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._processes: list[ManagedProcess] = []
        self._selector = selectors.DefaultSelector()
        self._stop_signals: list[int] = []
        self._queues = commands.queues(options)
        # Queue -> time at which it was first reported as stalled.
        self._stalled: dict[str, float] = {}
        self._awake = AwakeClock()
        self._redis_file_is_damaged = False
        self._is_starting = True
        # Whether this start has prepared the database and static files. Until then, only Redis must be able to start.
        self._has_prepared = False

    def run(self) -> int:
        """Run until a signal to stop arrives.

        Returns:
            The exit status, 0.

        Raises:
            StartError: The site cannot start; all processes have been stopped.
        """
        lock = Lock(self._options.data_dir)
        self._install_signal_handlers()
        self._guard = Guard(lock)
        try:
            self._start()
            self._wait(self._kill_stalled, every=commands.POLL_INTERVAL)
        except StoppedError:
            self._log("site", "stopping")
        finally:
            self._stop_all()
            self._guard.dismiss()
        self._log("site", "stopped")
        return 0

    # --- Starting -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        options = self._options
        self._environment = commands.environment(options)
        self._log("site", f"starting; data folder {options.data_dir}")
        self._log_warnings()
        redis = self._add("redis", commands.valkey(options)) if options.with_redis else None
        is_current = startup_cache.is_current(options)
        if not is_current:
            self._prepare()
        if redis:
            self._wait(lambda: readiness.redis_answers(options.socket), every=POLL_SECONDS)
        self._add("web", commands.web(options))
        self._add("predictions", commands.worker(*self._queues["predictions"]))
        probe = self._probe = readiness.Probe(options)
        is_ready = self._wait(probe, every=POLL_SECONDS, seconds=BACKGROUND_DELAY_SECONDS)
        self._add("default", commands.worker(*self._queues["default"]))
        if is_current and not is_ready:  # the cache may be wrong
            self._prepare()
            is_current = False
            for process in self._processes:
                process.equal_failures = 0
        while not (is_ready or self._wait(probe, every=POLL_SECONDS, seconds=EXPLAIN_SECONDS)):
            self._log("site", f"not answering yet: {probe.missing}")
        self._is_starting = False
        self._announce()
        if is_current:
            self._prepare()
        # Last, because it loads all pages to build the link, which is of no use before the site answers.
        self._add("operator", commands.operator((options.network_urls or [options.url])[0]), oneshot=True)

    def _log_warnings(self) -> None:
        for warning in env.deprecation_warnings():
            self._log("site", warning)
        if os.geteuid() == 0:
            self._log("site", "running as root; an ordinary account is safer")
        for address in self._options.public_addresses:
            self._log("site", f"{address} is open to the internet, where passwords would travel unencrypted: set HTTPS")
        open_files = raise_open_files()
        if open_files < MIN_OPEN_FILES:
            self._log("site", f"only {open_files} files may be open; raise the limit (ulimit -n) for many connections")

    def _prepare(self) -> None:
        startup_cache.forget(self._options)
        process = self._add("prepare", commands.prepare(), oneshot=True)
        self._wait(lambda: not process.is_running)
        self._processes.remove(process)
        if process.exit_status:
            raise StartError("The site could not be prepared; the lines above say why.")
        startup_cache.remember(self._options)
        self._has_prepared = True

    def _add(self, name: str, command: list[str], *, oneshot: bool = False) -> ManagedProcess:
        process = ManagedProcess(name, command, self._handle_line, self._guard, oneshot=oneshot)
        self._processes.append(process)
        self._start_process(process)
        return process

    def _start_process(self, process: ManagedProcess) -> None:
        process.start(self._environment)
        self._selector.register(process.output, selectors.EVENT_READ, process)

    def _announce(self) -> None:
        options = self._options
        (options.data_dir / ADDRESS_FILE).write_text(options.url)
        network_urls = " and ".join(options.network_urls)
        suffix = f" (from a phone: {network_urls})" if network_urls else ""
        print(f"The site answers at {options.url}{suffix}", flush=True)

    # --- Event loop -----------------------------------------------------------------------------------------------

    def _wait(self, is_done: Callable[[], bool], *, every: float = 0.0, seconds: float = math.inf) -> bool:
        """Handle events until `is_done()` returns True.

        Args:
            is_done: The condition.
            every: Check the condition in this interval, in seconds; 0: after each event.
            seconds: Stop waiting after this time.

        Returns:
            Whether the condition is met; False after `seconds`.

        Raises:
            StoppedError: A signal to stop has arrived.
        """
        check_at = time.monotonic()
        deadline = check_at + seconds
        while True:
            if self._stop_signals:
                raise StoppedError
            if check_at <= time.monotonic():
                if is_done():
                    return True
                check_at = time.monotonic() + every
            if time.monotonic() >= deadline:
                return False
            restarts = [process.restart_at for process in self._processes]
            self._handle_events(min(deadline, check_at if every else math.inf, *restarts))

    def _kill_stalled(self) -> bool:
        """Kill workers whose queue has been stalled for too long; they are restarted. Returns False, to be repeated."""
        stalled, now = self._probe.stalled_queues(), self._awake.now(max_gap=2 * commands.POLL_INTERVAL)
        self._stalled = {queue: self._stalled.get(queue, now) for queue in stalled}
        for process in self._processes:
            queues = self._queues.get(process.name, ())
            is_stalled = any(now - self._stalled.get(queue, now) > commands.stall_timeout(queue) for queue in queues)
            if process.is_running and is_stalled:
                process.kill("takes no work, and some waits")
                for queue in queues:
                    self._stalled.pop(queue, None)  # the restarted worker gets the full time
        return False

    def _handle_events(self, until: float) -> None:
        """Wait for events until the time `until` (monotonic clock), and return after the first batch of events."""
        timeout = None if until == math.inf else max(until - time.monotonic(), 0)
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fd, 4096)  # signal numbers, which the handlers have processed already
            else:
                key.data.read()
        for process in self._processes:
            if process.is_running and process.reap():
                self._selector.unregister(process.output)
                process.close()
                if process.name == "redis" and self._redis_file_is_damaged:
                    self._redis_file_is_damaged = False
                    aside = commands.set_redis_file_aside(self._options)
                    self._log("site", f"Redis could not read its file, which is now {aside}; it starts empty")
                elif self._cannot_start(process):
                    raise StartError(process.failure_message)
            elif process.restart_at <= time.monotonic():
                self._start_process(process)

    def _cannot_start(self, process: ManagedProcess) -> bool:
        is_required = self._is_starting and (self._has_prepared or process.name == "redis")
        return is_required and process.equal_failures >= MAX_EQUAL_FAILURES

    # --- Stopping -------------------------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        """Stop all processes; Redis last, because workers deregister there."""
        (self._options.data_dir / ADDRESS_FILE).unlink(missing_ok=True)
        self._stop([process for process in self._processes if process.name != "redis"], STOP_SECONDS)
        self._stop(self._processes, STOP_REDIS_SECONDS)

    def _stop(self, processes: list[ManagedProcess], seconds: float) -> None:
        """Stop processes, and kill them after this time or at once after a second Ctrl-C.

        A second SIGTERM has no effect: a signal to the process group arrives twice, because make passes it on.
        """
        for process in processes:
            process.stop()
        deadline = time.monotonic() + seconds
        while any(process.is_running for process in processes):
            if time.monotonic() >= deadline or self._stop_signals.count(signal.SIGINT) > 1:
                for process in processes:
                    if process.is_running:
                        self._log("site", f"{process.name} does not end by itself; ending it")
                        process.signal_group(signal.SIGKILL)
                deadline = time.monotonic() + seconds
            self._handle_events(deadline)

    # --- Signals and output ---------------------------------------------------------------------------------------

    def _install_signal_handlers(self) -> None:
        """Have signals, including SIGCHLD, wake the event loop through a socket."""
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        self._sockets = (reader, writer)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._stop_signals.append(number))
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _handle_line(self, name: str, line: str) -> None:
        if name == "operator" and line.startswith("http"):
            print(f"Sign in as its operator, once, with {line}", flush=True)
        elif line.strip():
            self._log(name, line)
            if name == "redis" and commands.DAMAGED_WORDS in line:
                self._redis_file_is_damaged = True

    def _log(self, name: str, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the reader of the log has ended; the site continues
            print(f"{name:11} | {line}", file=sys.stderr, flush=True)
