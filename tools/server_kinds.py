"""The kinds of servers: how each is configured, initialised, and asked whether it serves."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import urllib.request
import uuid
from pathlib import Path

import server_packages as packages
from server_process import Failed, Ports, Server, accepts_connections, launcher

SOCKET_PATH_LIMIT_BYTES = 107


class Postgres(Server):
    """PostgreSQL without passwords, reached over loopback and over a Unix socket."""

    name = "postgres"
    # The "fast" shutdown: sessions are ended, everything is written.
    stop_signal = signal.SIGINT
    # The "immediate" shutdown. A kill would leave shared memory and sessions behind.
    discard_signal = signal.SIGQUIT
    orphan_signal = "QUIT"

    SETTINGS = {
        "listen_addresses": "127.0.0.1",
        "max_connections": "200",
        "shared_buffers": "256MB",
        "max_wal_size": "2GB",
        "fsync": "on",
        "synchronous_commit": "on",
        "log_line_prefix": "%m [%p] %d ",
    }

    def __init__(self, folder: Path, ports: Ports, options: dict[str, str]):
        super().__init__(folder, ports)
        self.programs = packages.postgres_programs()
        self.options = options
        self.data = self.folder / "data"
        self.sockets = self.folder / "sockets"
        if len(f"{self.sockets}/.s.PGSQL.{self.port}.lock") > SOCKET_PATH_LIMIT_BYTES:
            raise Failed(f"the path {folder} is too long for a Unix socket below it; choose a shorter one with --data")

    def user(self) -> str | None:
        """PostgreSQL refuses to run as root."""
        return "postgres" if os.geteuid() == 0 else None

    def prepare(self) -> None:
        super().prepare()
        self.sockets.mkdir(exist_ok=True)
        if self.user() is not None:
            self._hand_over()
        if not (self.data / "PG_VERSION").exists():
            self._initialise()

    def command(self) -> list[str]:
        settings = {**self.SETTINGS, "unix_socket_directories": str(self.sockets), **self.options}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *arguments]

    def answers(self) -> bool:
        command = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "2"]
        return subprocess.run(command, stdin=subprocess.DEVNULL).returncode == 0

    def describe(self) -> dict:
        return {
            **super().describe(),
            "url": f"postgres://postgres@127.0.0.1:{self.port}/postgres",
            "socket_directory": str(self.sockets),
            "programs": str(self.programs),
        }

    def _hand_over(self) -> None:
        """Gives the folders to the user postgres, who must also be able to reach them."""
        owner = pwd.getpwnam(self.user())
        for folder in (self.folder, self.sockets):
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        reachable = subprocess.run(launcher(self.user(), self.orphan_signal) + ["test", "-w", str(self.folder)])
        if reachable.returncode != 0:
            raise Failed(f"the user {self.user()} cannot reach {self.folder}; choose another folder with --data")

    def _initialise(self) -> None:
        """Makes the database cluster. Not every system has the locale C.UTF-8."""
        for locale in ("C.UTF-8", "C"):
            shutil.rmtree(self.data, ignore_errors=True)
            command = [str(self.programs / "initdb"), "-D", str(self.data), "-A", "trust", "-U", "postgres"]
            command += ["--encoding=UTF8", f"--locale={locale}"]
            if self.run_once(command):
                return
        raise Failed("postgres: initdb failed")


class Kafka(Server):
    """One Apache Kafka node in KRaft mode, broker and controller in one process."""

    name = "kafka"

    SETTINGS = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "auto.create.topics.enable": "false",
        # One node holds every internal topic, and one partition of each is made quicker than fifty.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A killed broker may come back only after its old session ended; the default of 9 s makes that 13 s. A run
        # that loads the machine and kills no broker wants the default: one that misses its time is fenced.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        # Records carry the times of past years: they must neither expire nor start a segment for every week.
        "log.retention.ms": "-1",
        "log.roll.hours": "876000",
        # The default takes a third of the small heap.
        "log.cleaner.dedupe.buffer.size": "8388608",
    }

    def __init__(self, folder: Path, ports: Ports, options: dict[str, str]):
        super().__init__(folder, ports)
        self.options = options
        self.class_path = packages.kafka_class_path()
        self.controller_port = ports.take()
        self.data = self.folder / "data"
        self.settings_file = self.folder / "server.properties"

    def prepare(self) -> None:
        super().prepare()
        addresses = {
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "log.dirs": str(self.data),
        }
        lines = [f"{key}={value}\n" for key, value in {**self.SETTINGS, **self.options, **addresses}.items()]
        self.settings_file.write_text("".join(lines))
        if not (self.data / "meta.properties").exists():
            self._format()

    def command(self) -> list[str]:
        return [*kafka_java("384m", "INFO"), "kafka.Kafka", str(self.settings_file)]

    def answers(self) -> bool:
        """The log line is the last step of a start, and says that it is this broker that holds the port."""
        return self.logged("Kafka Server started") and accepts_connections(self.port)

    def describe(self) -> dict:
        return {**super().describe(), "bootstrap": f"127.0.0.1:{self.port}", "libs": str(packages.KAFKA_JARS)}

    def _format(self) -> None:
        command = [*kafka_java("256m", "WARN"), "kafka.tools.StorageTool", "format"]
        command += ["-t", str(uuid.uuid4()), "-c", str(self.settings_file)]
        if not self.run_once(command):
            raise Failed("kafka: the storage could not be formatted")


class Registry(Server):
    """Apicurio Registry with its schemas in memory: they are gone after a stop."""

    name = "registry"

    def __init__(self, folder: Path, ports: Ports):
        super().__init__(folder, ports)
        self.jar = packages.registry_jar()
        self.url = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def command(self) -> list[str]:
        address = [f"-Dquarkus.http.port={self.port}", "-Dquarkus.http.host=127.0.0.1"]
        return [packages.java(), "-Xmx256m", *address, "-jar", str(self.jar)]

    def answers(self) -> bool:
        # Proxies of the environment are for other hosts.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/subjects", timeout=2) as response:
                return response.status == 200
        except OSError:
            return False

    def describe(self) -> dict:
        return {**super().describe(), "url": self.url}


class Nats(Server):
    """One NATS server with JetStream. Anybody may connect unless the options name a user and password or a token."""

    name = "nats"

    # What is acknowledged is written, though not synced: a killed server loses none of it, only a power failure would.
    SETTINGS = {"max_file_store": "4GB"}

    def __init__(self, folder: Path, ports: Ports, options: dict[str, str]):
        super().__init__(folder, ports)
        self.program = packages.nats_program()
        self.monitor_port = ports.take()
        self.settings_file = self.folder / "server.conf"
        self.access = {name: options.pop(name) for name in ("user", "password", "token") if name in options}
        self.options = options

    def prepare(self) -> None:
        super().prepare()
        jetstream = {**self.SETTINGS, **self.options, "store_dir": json.dumps(str(self.folder / "store"))}
        lines = [f"listen: 127.0.0.1:{self.port}", f"http: 127.0.0.1:{self.monitor_port}"]
        lines += ["jetstream {", *(f"  {name}: {value}" for name, value in jetstream.items()), "}"]
        if self.access:
            access = (f"  {name}: {json.dumps(value)}" for name, value in self.access.items())
            lines += ["authorization {", *access, "}"]
        self.settings_file.write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [self.program, "-c", str(self.settings_file)]

    def answers(self) -> bool:
        """Whether the server says itself that JetStream is ready, and takes connections."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.monitor_port}/healthz", timeout=2) as response:
                return response.status == 200 and accepts_connections(self.port)
        except OSError:
            return False

    def describe(self) -> dict:
        return {**super().describe(), "address": f"127.0.0.1:{self.port}"}


class Redis(Server):
    """Redis with an append-only file."""

    name = "redis"

    def command(self) -> list[str]:
        address = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [packages.redis_program(), *address, "--appendonly", "yes", "--dir", str(self.folder)]

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def describe(self) -> dict:
        return {**super().describe(), "url": f"redis://127.0.0.1:{self.port}"}


KINDS = {kind.name: kind for kind in (Postgres, Kafka, Registry, Nats, Redis)}


def kafka_java(heap: str, log_level: str) -> list[str]:
    """The start of a command that runs a class of Kafka's jars."""
    logging = f"-Dlog4j2.configurationFile={packages.TOOLS / 'kafka' / 'log4j2.properties'}"
    level = f"-Dholdfast.kafka.log.level={log_level}"
    # These servers live for minutes: the optimizing compiler would take more of the processor than it gives back.
    quick = "-XX:TieredStopAtLevel=1"
    return [packages.java(), quick, f"-Xmx{heap}", logging, level, "-cp", packages.kafka_class_path()]
