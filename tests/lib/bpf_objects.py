# SPDX-License-Identifier: Apache-2.0
"""Reads what `bpftool -j prog show` and `bpftool -j map show` print, and prints otelprof's objects without a holder.

bpf_objects.py TOKEN
A holder is a process with a descriptor of the object, or a program that uses the map. (Debian's bpftool is built
without the part that names holders.) A name that a process of somebody else holds just now (a service on this machine
that profiles itself, another run of the tests) is left out: it comes and goes with that process.
"""

import glob
import json
import re
import sys


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def holders():
    """(kind, id) -> set of process ids, from the descriptors of all processes."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/fdinfo/*"):
        for kind, number in re.findall(rb"^(map|prog)_id:\s*(\d+)$", read(path), re.M):
            found.setdefault((kind.decode(), int(number)), set()).add(path.split("/")[2])
    return found


def objects():
    for line in sys.stdin:
        try:
            items = json.loads(line)
        except ValueError:
            continue
        for item in items if isinstance(items, list) else []:
            if item.get("name", "").startswith(("otp_", "otelprof")):
                yield ("prog" if "tag" in item else "map"), item


def main(token):
    items, held = list(objects()), holders()
    for kind, item in items:
        for number in item.get("map_ids", []):
            held.setdefault(("map", number), set()).update(held.get((kind, item["id"]), set()))
    foreign = {
        item["name"] for kind, item in items
        if any(token.encode() not in read(f"/proc/{pid}/environ") for pid in held.get((kind, item["id"]), ()))
    }
    for kind, item in items:
        if not held.get((kind, item["id"])) and item["name"] not in foreign:
            print("BPF", kind, item["id"], item["name"])


if __name__ == "__main__":
    main(sys.argv[1])
