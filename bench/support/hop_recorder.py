"""Profile hook of `bench.hops`: record the calls between modules of this project, in every thread of a process.

`bench.hops` has it imported by the site's processes at their start. It imports nothing of the project.
"""

import json
import os
import sys
import threading
import time
from functools import cache, cached_property
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("recognizer", "digitsite", "ml")
# Helpers without a step of their own, the tables and the caller's rights. A call through them counts for their caller.
TRANSPARENT = ("recognizer.services.lib", "recognizer.models", "recognizer.services.identity.actors")
# What a framework calls around every request or behind its interface: the web server, middleware, authenticators,
# permissions, throttles and parsers of REST framework, the file storage; and the settings.
FRAMEWORK = (
    "digitsite",
    "recognizer.middleware",
    "recognizer.proxies",
    "recognizer.storage",
    "recognizer.views.errors",
    "recognizer.views.limits",
    "recognizer.views.accounts.page_account",
    "recognizer.api.authentication",
    "recognizer.api.permissions",
    "recognizer.api.http.parsers",
    "recognizer.api.http.requests",
    "recognizer.api.http.throttles",
)
# An import, and the hook in which REST framework lets a view check a request.
NOT_CALLERS = ("<module>", "initial")
LIBRARIES = ("contextlib.py", "functools.py")
_records = os.open(Path(os.environ["HOPS_FOLDER"]) / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


@cache
def module_of(filename: str) -> str:
    """Return the name of a module of the project; "" for other code; "*" for code that counts for its caller."""
    if filename.endswith(LIBRARIES):
        return "*"
    path = Path(filename)
    if not path.is_relative_to(ROOT):
        return ""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if not name.startswith(PACKAGES) or name.startswith(FRAMEWORK):
        return ""
    return "*" if name.startswith(TRANSPARENT) else name


def module_of_frame(frame: FrameType) -> str:
    """Return the module of a frame as `module_of`; of an inherited method that of the object's class."""
    name = module_of(frame.f_code.co_filename)
    if name in ("", "*"):
        return name
    owner = type(frame.f_locals.get("self")).__module__
    return owner if owner.startswith(PACKAGES) else name


def caller_of(frame: FrameType) -> str:
    """Return the module of the project that called this frame, or "": by no module, or to compute a property."""
    caller = frame.f_back
    while caller is not None and not is_property(caller):
        if module_of_frame(caller) != "*" and not is_decorator_of(caller, frame):
            break
        caller = caller.f_back
    if caller is None or is_property(caller) or caller.f_code.co_name in NOT_CALLERS:
        return ""
    return module_of_frame(caller)


def is_decorator_of(caller: FrameType, frame: FrameType) -> bool:
    """Return whether the caller wraps the function of this frame, which counts as called by the decorator's caller."""
    is_wrapper = ".decorate.<locals>." in caller.f_code.co_qualname
    return is_wrapper and caller.f_code.co_filename != frame.f_code.co_filename


def is_property(frame: FrameType) -> bool:
    """Return whether the frame computes an attribute of a value."""
    owner = type(frame.f_locals.get("self"))
    return isinstance(getattr(owner, frame.f_code.co_name, None), property | cached_property)


def shapes_of(values: Any) -> set[str]:
    """Return the names of the classes of `recognizer` among these values; of a list that of its first item."""
    names: set[str] = set()
    for value in values:
        item = value[0] if isinstance(value, list | tuple) and value else value
        kind = type(item)
        if kind.__module__.startswith("recognizer.") and not kind.__module__.startswith("recognizer.services.lib"):
            names.add(f"{kind.__module__}.{kind.__name__}")
    return names


def hook(frame: FrameType, event: str, argument: Any) -> None:
    """Record a call of another module, or what it returns."""
    if event not in ("call", "return"):
        return
    code = frame.f_code
    target = module_of_frame(frame)
    if target in ("", "*") or code.co_name.startswith("<"):
        return
    source = caller_of(frame)
    if source in ("", target) or (source.startswith("ml.") and target.startswith("ml.")) or is_property(frame):
        return
    values = frame.f_locals if event == "call" else {"": argument}
    record = {
        "time": time.monotonic(),
        "process": os.getpid(),
        "event": event,
        "source": source,
        "target": target,
        "function": code.co_name,
        "shapes": sorted(shapes_of(value for name, value in values.items() if name not in ("self", "cls"))),
    }
    os.write(_records, json.dumps(record).encode() + b"\n")


def start() -> None:
    """Record in this thread and in those that it starts."""
    threading.setprofile(hook)
    sys.setprofile(hook)
