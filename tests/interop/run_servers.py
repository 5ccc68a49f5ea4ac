# SPDX-License-Identifier: Apache-2.0
"""Servers under `otelprof run`, which send their profiles to a Collector: run_servers.py COLLECTOR PLACE [NAME]

PLACE: a folder that all users can reach, with otelprof installed in PLACE/otelprof.
"""

import collections
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

import collector

STARTS = 100
RATE = "499"


class Failed(Exception):
    """What is not as it must be."""


def expect(condition, text):
    if not condition:
        raise Failed(text)


def output_of(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **more)
    expect(done.returncode == 0, f"{command}: status {done.returncode}: {done.stdout[-500:]} {done.stderr[-500:]}")
    return done.stdout


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"waited for {what} in vain")
        time.sleep(0.02)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Process:
    """A process as the Collector's file shows it."""

    def __init__(self, resource):
        self.attributes = resource
        self.samples = 0
        self.functions = collections.Counter()  # by the leaf


def processes_of(messages):
    """By service.instance.id."""
    processes = {}
    for message in messages:
        strings = message.dictionary.string_table
        for resource in message.resource_profiles:
            attributes = {}
            collector.resolve(resource.resource.attributes, strings)
            for attribute in resource.resource.attributes:
                kind = attribute.value.WhichOneof("value")
                attributes[attribute.key] = getattr(attribute.value, kind) if kind else None
            process = processes.setdefault(attributes["service.instance.id"], Process(attributes))
            for profile in (profile for scope in resource.scope_profiles for profile in scope.profiles):
                for sample in profile.samples:
                    count = len(sample.timestamps_unix_nano)
                    process.samples += count
                    for name in functions_of(message.dictionary, sample):
                        process.functions[name] += count
    return list(processes.values())


def functions_of(dictionary, sample):
    """The names on a stack, each once; without a name, the file."""
    names = set()
    for index in dictionary.stack_table[sample.stack_index].location_indices:
        location = dictionary.location_table[index]
        if location.lines:
            function = dictionary.function_table[location.lines[0].function_index]
            names.add(dictionary.string_table[function.name_strindex])
        else:
            mapping = dictionary.mapping_table[location.mapping_index]
            names.add("[" + os.path.basename(dictionary.string_table[mapping.filename_strindex]) + "]")
    return names


class Server:
    """Starts under `otelprof run`, works, stops; then what the Collector got is judged."""

    name = "?"
    expected = ()  # a function of each group must be among those on many stacks
    least_processes = 1
    user = None

    def __init__(self, place, peer):
        self.place, self.peer = place, peer
        self.folder = place / self.name
        self.folder.mkdir()
        os.chmod(self.folder, 0o755)
        if self.user:
            shutil.chown(self.folder, self.user, self.user)

    def under_run(self, *command, extra=()):
        return [
            str(self.place / "otelprof/bin/otelprof"), "run", "--endpoint", self.peer.url("run", "grpc"), "--service",
            self.name, "--rate", RATE, "--window", "1000", "--profiles", "cpu", *extra, "--", *map(str, command),
        ]  # fmt: skip

    def judge(self, processes):
        expect(len(processes) >= self.least_processes, f"{len(processes)} processes, not {self.least_processes}")
        for key in ("service.instance.id", "process.pid"):
            values = {process.attributes[key] for process in processes}
            expect(len(values) == len(processes), f"{key} is not each process's own")
        expect(all(process.attributes["service.name"] == self.name for process in processes), "service.name")
        busiest = max(processes, key=lambda process: process.samples)
        total = sum(process.samples for process in processes)
        functions = sum((process.functions for process in processes), collections.Counter())
        print(f"{self.name}: {len(processes)} processes, {total} samples, the busiest {busiest.samples}; on most stacks:")
        for function, count in functions.most_common(12):
            print(f"    {100 * count / total:5.1f} %  {function}")
        for group in self.expected:
            share = max(functions[name] for name in group) / total
            expect(share > 0.02, f"none of {group} is in the profile")


@contextlib.contextmanager
def running(command, **more):
    """Ends it by SIGTERM if it still runs."""
    process = subprocess.Popen(command, **more)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


class Redis(Server):
    name = "redis"
    expected = (("call", "processCommand"), ("aeProcessEvents", "aeMain"))

    def command(self):
        return ["redis-server", "--port", "0", "--unixsocket", self.folder / "s", "--save", "", "--dir", self.folder]

    def cli(self, *words):
        return output_of("redis-cli", "-s", self.folder / "s", *words).strip()

    def await_up(self):
        wait_for(lambda: (self.folder / "s").exists(), "redis")

    def work(self):
        with running(self.under_run(*self.command()), stdout=subprocess.DEVNULL) as process:
            self.await_up()
            output_of("redis-benchmark", "-s", self.folder / "s", "-t", "set,get,lpush,sadd,zadd", "-n", "200000", "-q")
            expect(self.cli("set", "key", "value") == "OK" and self.cli("get", "key") == "value", "redis forgets")
            for number in range(1, 21):
                expect(self.cli("incr", "counter") == str(number), "redis cannot count")
            self.cli("shutdown", "nosave")
            expect(process.wait(20) == 0, "exit status of redis")

    def start_and_stop(self):
        with running(self.under_run(*self.command()), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            self.await_up()
            expect(self.cli("ping") == "PONG", "no PONG")
            process.terminate()
            expect(process.wait(20) == 0 and not process.stderr.read(), "redis ended otherwise than by itself")


class RedisByWrapper(Redis):
    """A script that becomes the server: the process stays, and so does the profile."""

    name = "redis-by-wrapper"

    def command(self):
        return ["sh", "-c", 'exec env A=1 "$0" "$@"', *super().command()]


class Nginx(Server):
    """In the background, with two workers that give up root. The process that was started and the master do nothing that
    would be sampled."""

    name = "nginx"
    expected = (("ngx_process_events_and_timers", "ngx_epoll_process_events", "[nginx]"),)
    least_processes = 2
    config = """
worker_processes 2; pid {folder}/pid; error_log {folder}/error.log; user www-data;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; gzip on; gzip_types *; gzip_min_length 100;
server {{ listen 127.0.0.1:{port}; root {folder}/html; }} }}
"""

    def __init__(self, place, peer):
        super().__init__(place, peer)
        self.port = free_port()
        (self.folder / "html").mkdir()
        self.text = "".join(f"line {number} of the page\n" for number in range(2000))
        (self.folder / "html/index.html").write_text(self.text)
        (self.folder / "nginx.conf").write_text(self.config.format(folder=self.folder, port=self.port))
        self.url = f"http://127.0.0.1:{self.port}/"

    def command(self):
        return ["/usr/sbin/nginx", "-c", self.folder / "nginx.conf"]

    def start(self):
        """Returns the master's process id once it answers."""
        done = subprocess.run(self.under_run(*self.command()), capture_output=True, text=True, timeout=30, check=False)
        expect(done.returncode == 0 and not done.stderr, f"nginx: {done.returncode} {done.stderr}")
        wait_for(lambda: (self.folder / "pid").exists() and (self.folder / "pid").read_text().strip(), "nginx")
        return int((self.folder / "pid").read_text())

    def stop(self, master):
        os.kill(master, signal.SIGQUIT)
        wait_for(lambda: not os.path.exists(f"/proc/{master}") or zombie(master), "the end of nginx")

    def work(self):
        master = self.start()
        try:
            output_of("wrk", "-t1", "-c8", "-d4s", "-H", "Accept-Encoding: gzip", self.url)
            expect(output_of("curl", "-s", self.url) == self.text, "nginx serves another page")
            expect(output_of("curl", "-s", "--compressed", self.url) == self.text, "nginx compresses wrongly")
            time.sleep(1.2)  # a window of each worker
        finally:
            self.stop(master)

    def judge(self, processes):
        super().judge(processes)
        expect(sum(process.samples > 100 for process in processes) >= 2, "both workers have samples")

    def start_and_stop(self):
        master = self.start()
        expect(output_of("curl", "-s", self.url) == self.text, "nginx serves another page")
        self.stop(master)


def zombie(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


class Postgres(Server):
    """A process a connection, none of them as root: each starts its profile with capabilities that it inherited."""

    name = "postgres"
    user = "postgres"
    expected = (("PostgresMain", "exec_simple_query", "ExecutorRun", "standard_ExecutorRun"),)
    least_processes = 4

    def as_user(self, *command, capabilities=False):
        rights = ["--inh-caps", "+bpf,+perfmon", "--ambient-caps", "+bpf,+perfmon"] if capabilities else []
        return ["setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups", *rights, *map(str, command)]

    def tool(self, name):
        return next(path for path in sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))

    def query(self, text):
        return output_of(*self.as_user(self.tool("psql"), "-h", self.folder, "-At", "-c", text, "postgres")).strip()

    def work(self):
        output_of(*self.as_user(self.tool("initdb"), "-D", self.folder / "data", "-A", "trust", "--no-sync"))
        server = [self.tool("postgres"), "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=", "-c",
                  "fsync=off"]  # fmt: skip
        command = self.as_user(*self.under_run(*server), capabilities=True)
        with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            wait_for(lambda: any(self.folder.glob(".s.PGSQL.*[0-9]")), "PostgreSQL")
            pgbench = self.as_user(self.tool("pgbench"), "-h", self.folder)
            output_of(*pgbench, "-i", "-s", "1", "-q", "postgres")
            said = output_of(*pgbench, "-c", "4", "-T", "5", "postgres")
            expect("number of failed transactions: 0 " in said, said)
            done = int(said.split("number of transactions actually processed: ")[1].split()[0].split("/")[0])
            count = self.query("select count(*) from pgbench_history")
            sums = self.query("select (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from "
                              "pgbench_branches), (select sum(delta) from pgbench_history)")  # fmt: skip
            expect(int(count) == done and len(set(sums.split("|"))) == 1, f"{done} transactions, {count}, {sums}")
            process.send_signal(signal.SIGINT)
            expect(process.wait(30) == 0, "exit status of PostgreSQL")


class Python(Server):
    name = "python"
    expected = (("_PyEval_EvalFrameDefault",),)
    script = """
import hashlib, json, sys
words = [str(n * n % 7919) for n in range(200000)]
table = {}
for turn in range(12):
    for word in words:
        table[word] = table.get(word, 0) + len(word)
print(hashlib.sha256(json.dumps(sorted(table.items())).encode()).hexdigest(), file=sys.stdout)
print("said on stderr", file=sys.stderr)
sys.exit(3)
"""

    def work(self):
        script = self.folder / "script.py"
        script.write_text(self.script)
        command = ["/usr/bin/python3", script]
        plain, ours = (
            subprocess.run(each, capture_output=True, timeout=60, check=False)
            for each in (command, self.under_run(*command))
        )
        expect((plain.stdout, plain.stderr, plain.returncode) == (ours.stdout, ours.stderr, ours.returncode), f"{ours}")


class Rust(Server):
    """ripgrep: linked dynamically, with threads of its own."""

    name = "ripgrep"
    expected = (("[rg]",),)

    def work(self):
        command = ["rg", "--no-config", "--sort", "path", "-c", "-e", "(a|e)[b-d]+[^f]*tion", "/usr/share", "/usr/include"]
        plain, ours = (
            subprocess.run(each, capture_output=True, timeout=120, check=False)
            for each in (command, self.under_run(*command))
        )
        expect((plain.stdout, plain.returncode) == (ours.stdout, ours.returncode), f"ripgrep: {ours.stderr[-500:]}")


class Go(Server):
    """Go's programs are linked statically unless they use C: refused, with the reason."""

    name = "go"

    def work(self):
        command = self.under_run(self.peer.process.args[0], "--version")
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        expect(done.returncode == 2 and "statically linked" in done.stderr, f"{done}")
        print(f"go: {done.stderr.strip()}")

    def judge(self, processes):
        expect(not processes, "a profile of a program that was refused")


SERVERS = (Redis, RedisByWrapper, Nginx, Postgres, Python, Rust, Go)


def start_often(kind, place, peer):
    """Started and stopped, over and over, while the Collector takes what there is."""
    server = kind(place, peer)
    begin = time.monotonic()
    for _ in range(STARTS):
        server.start_and_stop()
        for leftover in ("s", "pid"):
            (server.folder / leftover).unlink(missing_ok=True)
    print(f"{server.name}: started and stopped {STARTS} times, {(time.monotonic() - begin) / STARTS:.2f} s each")


def run(kind, binary, place):
    peer = collector.Collector(binary, place / f"collector-{kind.name}", {"run": {"grpc": {}}})
    try:
        server = kind(place, peer)
        server.work()
        time.sleep(0.5)
    finally:
        peer.stop()
    server.judge(processes_of(peer.received()))
    shutil.rmtree(server.folder)
    if kind in (Redis, Nginx):
        peer = collector.Collector(binary, place / f"collector-{kind.name}-often", {"run": {"grpc": {}}})
        try:
            start_often(kind, place, peer)
        finally:
            peer.stop()
        shutil.rmtree(server.folder)


def main(binary, place, pattern=""):
    failures = count = 0
    for kind in SERVERS:
        if pattern not in kind.name or (kind.user and not known(kind.user)):
            continue
        count += 1
        try:
            run(kind, binary, pathlib.Path(place))
        except (Failed, OSError, subprocess.SubprocessError) as error:
            print(f"FAILED: {kind.name}: {error}")
            failures += 1
    print(f"{count} programs, {failures} findings")
    return 1 if failures or not count else 0


def known(user):
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
