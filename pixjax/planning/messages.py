"""The messages between devices in a compiled step, read from its text: only that says what became of a layout.

TPUs' compiler takes a message apart into a start, an end and what is computed meanwhile, all of which name it by its
channel; a sum whose parts stay on their devices it may send round a ring, as a loop of `collective-permute`.
"""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

Mesh = tuple[int, int, int]  # the sizes of (data, fsdp, tensor)

_KINDS = "all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all"
_BYTES = {"token": 0, "pred": 1, "s8": 1, "u8": 1, "f8e4m3fn": 1, "f8e5m2": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
_BYTES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8, "c64": 8}
_ARRAY = re.compile(r"\b([a-z][a-z0-9]*)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(")
_MESSAGE = re.compile(rf" = (.*?) ({_KINDS})(-start)?\(")
_CHANNEL = re.compile(r"channel_id=(\d+)")
_CALLED = re.compile(r"(?:calls|body|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{(.*?)\}")
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_ROUNDS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CONSTANT = re.compile(r"%?([\w.\-]+) = [su]\d+\[\]\S* constant\((\d+)\)")
_REORDERED = r"\[([\d,]+)\](?:T\(([\d,]+)\))?"
_ELEMENT = re.compile(r"get-tuple-element\(.*\), index=(\d+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Message:
    """One in which every device takes part, `times` in a step."""

    kind: str  # all-reduce, all-gather, reduce-scatter, collective-permute or all-to-all
    bytes: int  # of the whole array that is summed, gathered, scattered or exchanged; of what is passed on to one other
    devices: int  # that it is between
    is_over_replicas: bool  # between devices that hold the same parameters: along the mesh's axis `data`
    times: int
    operation: str  # that it is for, as JAX names it

    def sent(self, replicas: float = 1.0) -> float:
        """The bytes that leave a device in a step, by the algorithm that sends fewest.

        Args:
          replicas: by how many times there are more of them than were compiled for.
        """
        if self.kind == "collective-permute":
            return self.times * self.bytes
        devices = self.devices * (replicas if self.is_over_replicas else 1)
        passes = 2 if self.kind == "all-reduce" else 1
        return self.times * passes * self.bytes * (devices - 1) / devices


def read_messages(text: str, mesh: Mesh) -> tuple[Message, ...]:
    """Those of the optimized HLO of a step that was compiled for a mesh.

    A message in one of several branches counts as if that were taken, one in a loop as often as the loop goes round.
    What is computed meanwhile may be a loop by itself: the times are those of its start.

    Raises:
      ValueError, LookupError: it is written in a way that is not known here.
    """
    computations = _computations(text)
    has_names = len(set(_CHANNEL.findall(text))) > 1  # the compiler of CPUs gives all of them one channel
    found: dict[str, Message] = {}
    for name, times in _times(computations).items():
        for line, channel, message in _messages(computations.get(name, []), times, mesh):
            key = channel if has_names else line
            if key not in found or times < found[key].times:
                found[key] = message
    return tuple(found.values())


def bytes_sent(messages: Iterable[Message], replicas: float = 1.0) -> float:
    """Of all of them, from a device in a step."""
    return sum(message.sent(replicas) for message in messages)


def _computations(text: str) -> dict[str, list[str]]:
    """The lines of each; those of the one that is started are under ENTRY."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(" "):
            lines.append(line)
        elif header := _COMPUTATION.match(line):
            lines = found.setdefault("ENTRY" if header[1] else header[2], [])
    return found


def _times(computations: dict[str, list[str]]) -> dict[str, int]:
    """How often each is computed in a step."""

    def rounds(line: str) -> int:
        """Of a loop, whose counter goes from zero up to the number in its condition."""
        if not (condition := _CONDITION.search(line)):
            return 1
        lines, body = computations[condition[1]], computations[_CALLED.findall(line)[0]]
        if limits := _constants(lines).values():
            return -(-max(limits) // _increment(lines, body))
        if known := _ROUNDS.search(line):
            return int(known[1])
        raise ValueError(f"how often a loop goes round is not said: {line.strip()[:80]}")

    def called(line: str) -> list[str]:
        branches = [name.strip(" %") for names in _BRANCHES.findall(line) for name in names.split(",")]
        return _CALLED.findall(line) + branches

    calls = {
        name: [(callee, rounds(line)) for line in lines for callee in called(line)]
        for name, lines in computations.items()
    }
    times: dict[str, int] = defaultdict(int)
    waiting = [("ENTRY", 1)]
    while waiting:
        name, number = waiting.pop()
        times[name] += number
        waiting += [(callee, number * loops) for callee, loops in calls.get(name, [])]
    return times


def _constants(lines: list[str]) -> dict[str, int]:
    return {found[1]: int(found[2]) for line in lines if (found := _CONSTANT.search(line))}


def _increment(condition: list[str], body: list[str]) -> int:
    """What a loop adds to its counter: more than one where the compiler has put several rounds into one."""
    counter = next((found[1] for line in condition if (found := _ELEMENT.search(line))), None)
    following = next((line.split(" tuple(")[1] for line in body if "ROOT" in line and " tuple(" in line), "")
    names = re.findall(r"%([\w.\-]+)", following)
    if counter is None or int(counter) >= len(names):
        return 1
    added = next((line for line in body if f"%{names[int(counter)]} = " in line and " add(" in line), "")
    constants = _constants(body)
    terms = re.findall(r"%([\w.\-]+)", added.partition(" add(")[2])[:2]
    return next((constants[name] for name in terms if constants.get(name)), 1)


def _messages(lines: list[str], times: int, mesh: Mesh) -> Iterator[tuple[str, str, Message]]:
    """Each with its line and its channel."""
    for line in lines:
        if not (found := _MESSAGE.search(line)):
            continue
        types, kind, starts = found.groups()
        group = _group(line, mesh)
        sizes = [
            _BYTES[kind] * math.prod(int(n) for n in shape.split(",") if n) for kind, shape in _ARRAY.findall(types)
        ]
        if starts and kind in ("all-gather", "reduce-scatter"):  # what went in stands before what comes out
            sizes = sizes[len(sizes) // 2 :]
        if kind == "collective-permute":
            sizes = sizes[:1]
        channel, operation = _CHANNEL.search(line), re.search(r'op_name="([^"]*)"', line)
        message = Message(
            kind=kind,
            bytes=sum(sizes) * (len(group) if kind == "reduce-scatter" else 1),
            devices=len(group),
            is_over_replicas=len({device // (mesh[1] * mesh[2]) for device in group}) > 1,
            times=times,
            operation=operation[1] if operation else "",
        )
        yield line, channel[1] if channel else line, message


def _group(line: str, mesh: Mesh) -> list[int]:
    """The devices of one group, in any of the ways in which they are written."""
    if named := re.search(rf"replica_groups=mesh\[(.*?)\](?:, device_ids=\({_REORDERED}\))? \{{(.*?)\}}", line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
        along = re.findall(r"'(\w+)'", named[4])
        total = math.prod(map(int, sizes.values()))
        ids = _reordered(named[2], named[3]) if named[2] else np.arange(total)
        ids = ids.reshape([int(size) for size in sizes.values()])
        last = [list(sizes).index(name) for name in along]
        ids = np.moveaxis(ids, last, range(-len(last), 0))
        return ids.reshape(-1, math.prod(ids.shape[-len(last) :]))[0].tolist()
    if tiled := re.search(rf"replica_groups=\[(\d+),(\d+)\]<={_REORDERED}", line):
        return _reordered(tiled[3], tiled[4]).reshape(int(tiled[1]), int(tiled[2]))[0].tolist()
    if listed := re.search(r"(?:replica_groups|source_target_pairs)=\{\{([\d,]+)\}", line):
        return [int(n) for n in listed[1].split(",")]
    if "replica_groups=" in line and "replica_groups={}" not in line:
        raise ValueError(f"which devices take part is not understood: {line.strip()[:80]}")
    return list(range(math.prod(mesh)))


def _reordered(shape: str, axes: str | None) -> np.ndarray:
    """The devices from 0 on in this shape, its axes exchanged."""
    sizes = [int(n) for n in shape.split(",")]
    ids = np.arange(math.prod(sizes)).reshape(sizes)
    return ids.transpose([int(n) for n in axes.split(",")]) if axes else ids
