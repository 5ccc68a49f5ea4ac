# SPDX-License-Identifier: Apache-2.0
"""The heap profile beside what programs know of their own memory: heap_programs.py OTELPROF FOLDER [NAME]

The estimate of B bytes live, made of blocks that are small against the interval R, has a standard error of sqrt(B R).
"""

import collections
import math
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "decoder"))
import decode  # noqa: E402

INTERVAL = 65536
Z_MAX = 4.5
MB = 1e6


class Failed(Exception):
    """What is not as it must be."""


def expect(condition, text):
    print(("ok   " if condition else "FAIL ") + text)
    if not condition:
        raise Failed(text)


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"waited for {what} in vain")
        time.sleep(0.05)


class Program:
    """A program under `otelprof run`, and its windows so far."""

    def __init__(self, otelprof, folder, command, **more):
        self.out = folder / "profiles"
        environment = {**os.environ, "OTELPROF_HEAP_INTERVAL": str(INTERVAL), "OTELPROF_HEAP_LIVE_MAX": "65536",
                       **more.pop("environment", {})}  # fmt: skip
        self.process = subprocess.Popen(
            [str(otelprof), "run", "--profiles", "heap", "--window", "500", "--out", str(self.out), "--", *command],
            env=environment, cwd=folder, **more,
        )  # fmt: skip

    def files(self):
        return sorted(self.out.glob("*.otlp"))

    def next_window(self):
        """Waits until a window that began after now has been written; gives its live samples, of all processes."""
        began = time.time_ns()

        def windows():
            return [path for path in self.files() if self.starts(path) > began]

        wait_for(windows, "a window")
        return self.live(windows()[0])

    @staticmethod
    def starts(path):
        try:
            ((_, _, request),) = decode.load([path])
        except Exception:  # noqa: BLE001 - it is being written
            return 0
        return min((profile.time_unix_nano for _, _, profile in decode.profiles(request)), default=0)

    @staticmethod
    def live(path):
        return [sample for _, _, request in decode.load([path]) for sample in decode.samples(request)
                if sample.type == "inuse_space"]  # fmt: skip

    def end(self):
        self.process.terminate()
        self.process.wait(20)


def total(samples):
    return sum(sum(sample.values) for sample in samples)


def compare(what, measured, exact, spread):
    print(f"     {what}: {measured / MB:.2f} MB by the profile, {exact / MB:.2f} MB by itself, "
          f"standard error {spread / MB:.2f}, z {(measured - exact) / spread:+.2f}")  # fmt: skip
    expect(abs(measured - exact) <= Z_MAX * spread, f"{what}: within the estimator's limits")


def complete(samples):
    reached = sum("otelprof.stack.stop" not in sample.attributes for sample in samples)
    expect(samples and reached >= 0.99 * len(samples), f"stacks reach the root: {reached} of {len(samples)}")


# ------------------------------------------------------------------------------------------------ redis


def redis(otelprof, folder):
    """Debian's redis allocates by jemalloc, which says how much it has given out: after rounding up to its size classes."""
    socket_path = str(folder / "redis.sock")
    program = Program(otelprof, folder, ["redis-server", "--port", "0", "--unixsocket", socket_path, "--save", "",
                                         "--dir", str(folder)], stdout=open(folder / "redis.out", "w"))  # fmt: skip

    def call(*words):
        return subprocess.run(["redis-cli", "-s", socket_path, *words], capture_output=True, text=True, check=False).stdout

    def allocated():
        return int(next(line for line in call("info", "memory").split() if line.startswith("allocator_allocated:"))[20:])

    wait_for(lambda: "PONG" in call("ping"), "redis")
    program.next_window()
    profile_before, itself_before = total(program.next_window()), allocated()
    # A value of 1,018 bytes is a block of 1,024 with head and end, which is a size class; a block for the object (16)
    # is one too; the entry (24) becomes 32, the key's text (11) 16: 13 bytes a key are jemalloc's own.
    keys = 60000
    script = f"for i = 1, {keys} do redis.call('set', string.format('k%08d', i), string.rep('x', 1018)) end"
    call("eval", script, "0")
    expect(call("dbsize").strip() == str(keys), "redis has all keys")
    samples = program.next_window()
    rounded_up = keys * 13
    exact = allocated() - itself_before - rounded_up
    compare("redis", total(samples) - profile_before, exact, math.sqrt(exact * INTERVAL))
    complete(samples)
    leaf = collections.Counter()
    for sample in samples:
        leaf[next(frame.function for frame in sample.stack if "alloc" not in frame.function)] += sum(sample.values)
    print("     held by", leaf.most_common(5))
    call("flushall")
    time.sleep(0.5)
    call("info")
    left = total(program.next_window()) - profile_before
    gone = exact - (allocated() - itself_before)
    compare("redis, after FLUSHALL", exact - left, gone, math.sqrt(exact * INTERVAL))
    program.end()


# ----------------------------------------------------------------------------------------------- Python

PYTHON = """
import sys, time, tracemalloc, _tracemalloc
tracemalloc.start(1)
def wait(word):
    # What is traced, and tracemalloc's own: its tables, and a block of 16 bytes for each trace that it does not count.
    itself = tracemalloc.get_traced_memory()[0] + tracemalloc.get_tracemalloc_memory()
    itself += 16 * len(_tracemalloc._get_traces())
    print(word, itself, flush=True)
    sys.stdin.readline()
wait("before")
held = [{"number": i, "text": "x" * (i % 500), "list": list(range(i % 50))} for i in range(60000)]
wait("after")
del held
wait("end")
"""

def python(otelprof, folder):
    """With PYTHONMALLOC=malloc each object is a block of malloc(); otherwise Python maps arenas, which no malloc() sees."""
    (folder / "program.py").write_text(PYTHON)
    program = Program(otelprof, folder, ["/usr/bin/python3", "program.py"], stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE, text=True, environment={"PYTHONMALLOC": "malloc"})  # fmt: skip

    def step():
        word, traced = program.process.stdout.readline().split()
        samples = program.next_window()
        program.process.stdin.write("\n")
        program.process.stdin.flush()
        return word, int(traced), samples

    _, traced_before, samples_before = step()
    _, traced_after, samples_after = step()
    _, traced_end, samples_end = step()
    before, after = total(samples_before), total(samples_after)
    exact = traced_after - traced_before
    compare("python", after - before, exact, math.sqrt(2 * exact * INTERVAL))
    complete(samples_after)
    gone = traced_after - traced_end
    compare("python, freed", after - total(samples_end), gone, math.sqrt(2 * exact * INTERVAL))
    program.process.stdin.close()
    expect(program.process.wait(20) == 0, "python ended well")


# ------------------------------------------------------------------------------------------------ nginx

NGINX = """
user root; daemon off; master_process on; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port} reuseport; location / {{ root {folder}/www; }} }}
}}
"""


def nginx(otelprof, folder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (folder / "www").mkdir()
    page = bytes(range(256)) * 100
    (folder / "www" / "page").write_bytes(page)
    os.chmod(folder, 0o755)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    program = Program(otelprof, folder, [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-c",
                                         str(folder / "nginx.conf")])  # fmt: skip
    url = f"http://127.0.0.1:{port}/page"

    def fetch():
        return subprocess.run(["curl", "-s", url], capture_output=True, check=False).stdout

    wait_for(lambda: fetch() == page, "nginx")
    load = subprocess.run(["wrk", "-t1", "-c20", "-d4s", url], capture_output=True, text=True, check=True).stdout
    expect("Non-2xx" not in load and "Socket errors" not in load, "nginx answered: " + load.split("Requests/sec:")[1].strip()[:12])
    expect(fetch() == page, "nginx answers are right")
    time.sleep(1.5)
    program.end()
    functions, processes, allocated = collections.Counter(), set(), 0
    for _, _, request in decode.load(program.files()):
        for sample in decode.samples(request):
            if sample.type == "alloc_space":
                allocated += sum(sample.values)
                processes.add(sample.resource["service.instance.id"])
                functions.update({frame.function for frame in sample.stack})
    expect(len(processes) >= 3, f"master and workers: {len(processes)} processes")
    print(f"     {allocated / MB:.1f} MB allocated; on stacks:", functions.most_common(8))
    expect(functions["ngx_create_pool"] or functions["ngx_memalign"] or functions["ngx_alloc"], "nginx's own functions")


# -------------------------------------------------------------------------------------------------- C++


def cpp(otelprof, folder):
    """clang-format: a C++ program that allocates through operator new of the shared libstdc++, and much by itself."""
    root = pathlib.Path(__file__).parents[2]
    sources = sorted(map(str, (root / "src").glob("*/*.c")))[:60]
    command = ["clang-format-14", "--style=LLVM", *sources]
    plain = subprocess.run(command, capture_output=True, check=True).stdout
    program = Program(otelprof, folder, command, stdout=open(folder / "formatted", "wb"))
    expect(program.process.wait(120) == 0, "clang-format ended well")
    expect((folder / "formatted").read_bytes() == plain, "its output is as without us")
    samples = [sample for _, _, request in decode.load(program.files()) for sample in decode.samples(request)
               if sample.type == "alloc_space"]  # fmt: skip
    complete(samples)
    by_operator = sum(sum(s.values) for s in samples if any("operator new" in f.function or f.system_name == "_Znwm" for f in s.stack))
    print(f"     {total(samples) / MB:.1f} MB allocated, {by_operator / MB:.1f} MB of it by operator new")
    expect(by_operator > 0.1 * total(samples), "operator new is on many stacks")


PROGRAMS = {"redis": redis, "python": python, "nginx": nginx, "cpp": cpp}


def main(otelprof, folder, only=None):
    failures = 0
    for name, run in PROGRAMS.items():
        if only not in (None, name):
            continue
        print("--", name)
        place = pathlib.Path(folder).resolve() / name
        place.mkdir()
        try:
            run(pathlib.Path(otelprof).resolve(), place)
        except Failed as failure:
            print("FAILED:", failure)
            failures += 1
    return failures != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
