#!/usr/bin/env python3
"""Real servers for tests, benchmarks and local runs: the single place that knows how they are fetched and started.

    python3 tools/servers.py fetch [postgres] [kafka] [registry] [nats] [redis]
    python3 tools/servers.py run postgres kafka registry [--data DIR] [--postgres-option NAME=VALUE]
                                 [--kafka-option NAME=VALUE] [--nats-option NAME=VALUE]
    python3 tools/servers.py kafka-tool CLASS [ARGUMENT...]

`run` prints one line of JSON when every server answers and then obeys the lines of its standard input, each answered
by one line of JSON:

    kill S | stop S | start S | restart S | pause S | resume S     S is the name of a server
    quit

`kill` ends every process of the server at once, `stop` is the clean way, `start` uses the old port and data. The end
of standard input, SIGTERM and SIGINT end every server, so servers never outlive whoever started them.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import server_packages as packages
from server_kinds import KINDS, Kafka, Nats, Postgres, kafka_java
from server_process import Failed, Ports, Server

ACTIONS = ("kill", "stop", "start", "restart", "pause", "resume")
STARTING = ("start", "restart")
# The kinds whose settings can be changed from the command line.
WITH_OPTIONS = (Postgres, Kafka, Nats)
EXIT_FAILED = 1


class AskedToStop(Exception):
    """A signal that ends everything."""


def main() -> int:
    arguments = parse_arguments()
    try:
        return arguments.act(arguments)
    except (Failed, packages.Unavailable) as error:
        packages.say(str(error))
        return EXIT_FAILED
    except AskedToStop:
        return 0
    except BrokenPipeError:
        # Nobody reads our answers any more; the servers are ended already.
        return EXIT_FAILED


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("fetch", help="make sure that servers can be started")
    command.add_argument("names", nargs="*", metavar="SERVER", help="postgres, kafka, registry, nats, redis")
    command.set_defaults(act=fetch, usual=["postgres", "kafka", "registry", "nats"])

    command = commands.add_parser("run", help="start servers and obey standard input")
    command.add_argument("names", nargs="+", metavar="SERVER", help="postgres, kafka, registry, nats, redis")
    command.add_argument("--data", type=Path, metavar="DIR", help="keep the data here (a temporary folder otherwise)")
    for kind in WITH_OPTIONS:
        command.add_argument(f"--{kind.name}-option", action="append", default=[], metavar="NAME=VALUE")
    command.set_defaults(act=run)

    command = commands.add_parser("kafka-tool", help="run one of Kafka's own tools, named by its Java class")
    command.add_argument("tool", metavar="CLASS")
    command.add_argument("arguments", nargs=argparse.REMAINDER)
    command.set_defaults(act=kafka_tool)

    arguments = parser.parse_args()
    for name in getattr(arguments, "names", []):
        if name not in KINDS:
            parser.error(f"unknown server {name!r}; known are {', '.join(KINDS)}")
    for kind in WITH_OPTIONS:
        for option in getattr(arguments, f"{kind.name}_option", []):
            if "=" not in option:
                parser.error(f"--{kind.name}-option {option!r} must be NAME=VALUE")
    return arguments


def fetch(arguments: argparse.Namespace) -> int:
    """Fetches the named servers, or the usual ones."""
    packages.fetch(arguments.names or arguments.usual)
    return 0


def kafka_tool(arguments: argparse.Namespace) -> int:
    """Becomes one of Kafka's own tools."""
    # A tool lives for a second: a quick start is worth more than fast code.
    command = [*kafka_java("256m", "WARN"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    os.execv(command[0], [*command, arguments.tool, *arguments.arguments])


def run(arguments: argparse.Namespace) -> int:
    """Starts the named servers, announces them, obeys standard input, and ends them whatever happens."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask_to_stop)
    keep_data = arguments.data is not None
    with data_folder(arguments.data) as folder:
        servers: dict[str, Server] = {}
        try:
            build(servers, arguments, folder)
            start_all(list(servers.values()))
            answer({name: server.describe() for name, server in servers.items()})
            obey(servers)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            end_all(list(servers.values()), keep_data)
    return 0


def ask_to_stop(number: int, frame) -> None:
    """The signal handler: unwinds to where the servers are ended."""
    raise AskedToStop


@contextlib.contextmanager
def data_folder(wanted: Path | None):
    """The folder for data: the wanted one, which stays, or a temporary one."""
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="holdfast-"))
    try:
        # PostgreSQL runs as another user when we are root.
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build(servers: dict[str, Server], arguments: argparse.Namespace, folder: Path) -> None:
    """Fills `servers` without starting any of them."""
    ports = Ports()
    for name in dict.fromkeys(arguments.names):
        kind, extra = KINDS[name], []
        if kind in WITH_OPTIONS:
            extra = [dict(option.split("=", 1) for option in getattr(arguments, f"{name}_option"))]
        servers[name] = kind(folder, ports, *extra)


def start_all(servers: list[Server]) -> None:
    """Starts all servers side by side and returns when each of them answers."""
    try:
        with concurrent.futures.ThreadPoolExecutor() as threads:
            prepared = {server: threads.submit(server.prepare) for server in servers}
        for server in servers:
            with explained(server):
                prepared[server].result()
                server.launch()
        for server in servers:
            with explained(server):
                server.wait_until_ready()
    except OSError as error:
        raise Failed(f"cannot start the servers: {error}") from error


@contextlib.contextmanager
def explained(server: Server):
    """Shows the end of a server's log when it fails."""
    try:
        yield
    except Failed:
        print(server.log_tail(), file=sys.stderr, flush=True)
        raise


def obey(servers: dict[str, Server]) -> None:
    """Carries out the lines of standard input until it ends or says `quit`."""
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            return
        if words:
            answer(carry_out(servers, words))


def carry_out(servers: dict[str, Server], words: list[str]) -> dict:
    """One line of the protocol, and its answer."""
    if len(words) != 2 or words[0] not in ACTIONS or words[1] not in servers:
        expected = f"{'|'.join(ACTIONS)} {'|'.join(servers)}, or quit"
        return {"ok": False, "error": f"unknown line {' '.join(words)!r}; expected {expected}"}
    action, server = words[0], servers[words[1]]
    try:
        with explained(server) if action in STARTING else contextlib.nullcontext():
            getattr(server, action)()
    except Failed as error:
        return {"ok": False, "error": str(error)}
    running = server.is_running()
    return {"ok": True, "server": server.name, "running": running, "pid": server.process.pid if running else None}


def answer(message: dict) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(message), flush=True)


def end_all(servers: list[Server], keep_data: bool) -> None:
    """Ends every server; one that resists does not save the others."""
    for server in servers:
        try:
            server.end(keep_data)
        except Failed as error:
            packages.say(str(error))


if __name__ == "__main__":
    sys.exit(main())
