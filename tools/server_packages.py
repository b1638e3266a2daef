"""Where the real servers come from: pinned archives under `target/servers/` and Debian's packages."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
SERVERS = TOOLS.parent / "target" / "servers"

KAFKA_VERSION = "4.1.0"
REGISTRY_VERSION = "2.5.11.Final"
NATS_VERSION = "2.15.2"
# Builds the NATS server where the installed Go is too old to fetch a newer one.
GO_VERSION = "1.26.8"
OLDEST_POSTGRES = 14

KAFKA_JARS = SERVERS / f"kafka-{KAFKA_VERSION}"
REGISTRY_FOLDER = SERVERS / f"apicurio-registry-{REGISTRY_VERSION}"
NATS_FOLDER = SERVERS / f"nats-server-{NATS_VERSION}"
REGISTRY_JAR = REGISTRY_FOLDER / f"apicurio-registry-app-{REGISTRY_VERSION}-runner.jar"


class Unavailable(Exception):
    """A server or a tool is missing; the text says which one and how to get it."""


def say(text: str) -> None:
    """Progress goes to standard error, because standard output belongs to whoever started us."""
    print(f"servers: {text}", file=sys.stderr, flush=True)


def fetch(names: list[str]) -> None:
    """Makes sure that every named server can be started. Safe to call again and from several processes at once."""
    SERVERS.mkdir(parents=True, exist_ok=True)
    with _only_one_at_a_time():
        for name in names:
            FETCHERS[name]()


def java() -> str:
    """The Java program that runs Kafka and the registry."""
    return _program("java", "openjdk-17-jre-headless")


def kafka_class_path() -> str:
    """The class path of Kafka's broker and tools; fails when they were not fetched."""
    _demand(KAFKA_JARS, "kafka")
    return f"{KAFKA_JARS}/*"


def registry_jar() -> Path:
    """The program of the schema registry; fails when it was not fetched."""
    _demand(REGISTRY_JAR, "registry")
    return REGISTRY_JAR


def nats_program() -> str:
    """The NATS server program; fails when it was not fetched."""
    program = NATS_FOLDER / "nats-server"
    _demand(program, "nats")
    return str(program)


def postgres_programs() -> Path:
    """The folder with `postgres`, `initdb` and `pg_isready` of the newest installed PostgreSQL that is new enough."""
    found = _newest_postgres()
    if found is None:
        raise Unavailable(
            f"no PostgreSQL {OLDEST_POSTGRES} or newer under /usr/lib/postgresql; install the package postgresql"
        )
    return found


def redis_program() -> str:
    """The Redis server program."""
    return _program("redis-server", "redis-server")


def _fetch_kafka() -> None:
    _fetch_by_maven("kafka", "copy-dependencies", KAFKA_JARS)


def _fetch_registry() -> None:
    _fetch_by_maven("registry", "unpack-dependencies", REGISTRY_FOLDER)


def _fetch_nats() -> None:
    """Lets Go build the server from its module, into a temporary folder that is renamed when it is whole."""
    if NATS_FOLDER.is_dir():
        say(f"nats: {NATS_FOLDER}")
        return
    go = _go_for_nats()
    say(f"nats: building into {NATS_FOLDER}")
    unfinished = Path(tempfile.mkdtemp(prefix=".nats-", dir=SERVERS))
    try:
        environment = dict(os.environ, GOBIN=str(unfinished), GOTOOLCHAIN="auto", GOFLAGS="")
        command = [go, "install", f"github.com/nats-io/nats-server/v2@v{NATS_VERSION}"]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment)
        if result.returncode != 0:
            raise Unavailable("go could not build the NATS server; the reason stands above")
        unfinished.chmod(0o755)
        unfinished.rename(NATS_FOLDER)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    say("nats: done")


def _go_for_nats() -> str:
    """A Go that builds the server. From 1.21 on, Go fetches a newer toolchain by itself where it needs one; an older
    one, as Debian 12 has it, is told to fetch it as the module that it is."""
    go = _program("go", "golang-go")
    version, system, machine = _output([go, "env", "GOVERSION", "GOOS", "GOARCH"]).split()
    if int(version.removeprefix("go1.").split(".")[0]) >= 21:
        return go
    module = f"golang.org/toolchain@v0.0.1-go{GO_VERSION}.{system}-{machine}"
    say(f"nats: {version} is too old to build it, fetching {module}")
    folder = Path(json.loads(_output([go, "mod", "download", "-json", module]))["Dir"])
    # Modules carry no permission to execute.
    for program in [*folder.glob("bin/*"), *folder.glob("pkg/tool/*/*")]:
        program.chmod(0o755)
    return str(folder / "bin" / "go")


def _output(command: list[str]) -> str:
    """What a command prints; fails with what it said."""
    with tempfile.TemporaryDirectory() as outside_of_any_module:
        result = subprocess.run(
            command, cwd=outside_of_any_module, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    if result.returncode != 0:
        raise Unavailable(f"{' '.join(command)} failed: {result.stderr.strip()}")
    return result.stdout


def _fetch_postgres() -> None:
    if _newest_postgres() is None:
        _install("postgresql")
    say(f"postgres: {postgres_programs()}")


def _fetch_redis() -> None:
    if shutil.which("redis-server") is None:
        _install("redis-server")
    say(f"redis: {redis_program()}")


FETCHERS = {
    "postgres": _fetch_postgres,
    "kafka": _fetch_kafka,
    "registry": _fetch_registry,
    "nats": _fetch_nats,
    "redis": _fetch_redis,
}


def _fetch_by_maven(name: str, goal: str, target: Path) -> None:
    """Lets Maven fill a temporary folder and renames it, so that an interrupted run never leaves half a server."""
    if target.is_dir():
        say(f"{name}: {target}")
        return
    maven = _program("mvn", "maven")
    say(f"{name}: fetching into {target}")
    unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=SERVERS))
    try:
        command = [maven, "-B", "-q", "-f", str(TOOLS / name / "pom.xml")]
        command += [f"dependency:{goal}", f"-DoutputDirectory={unfinished}"]
        command += [f"-DmarkersDirectory={unfinished}/.markers"]
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if result.returncode != 0:
            # A quiet run prints errors only, and codes for a terminal's colours when there are none.
            print(result.stdout, file=sys.stderr)
            raise Unavailable(f"maven could not fetch {name}; the reason stands above")
        unfinished.chmod(0o755)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    say(f"{name}: done")


def _newest_postgres() -> Path | None:
    versions = []
    for folder in Path("/usr/lib/postgresql").glob("*/bin"):
        version = folder.parent.name
        if version.isdigit() and int(version) >= OLDEST_POSTGRES and (folder / "initdb").exists():
            versions.append((int(version), folder))
    return max(versions)[1] if versions else None


def _install(package: str) -> None:
    """Installs a Debian package, which needs root."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise Unavailable(f"{package} is not installed; install it as root, on Debian with: apt-get install {package}")
    say(f"{package}: installing with apt-get")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
        command = [apt, "-q", "-o", "DPkg::Lock::Timeout=300", *arguments]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment)
        if result.returncode != 0:
            raise Unavailable(f"apt-get {arguments[0]} failed for {package}; the reason stands above")


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"the program {name} is missing; on Debian it is in the package {package}")
    return path


def _demand(path: Path, name: str) -> None:
    if not path.exists():
        raise Unavailable(f"{name} is not in {SERVERS}; run: python3 tools/servers.py fetch {name}")


@contextlib.contextmanager
def _only_one_at_a_time():
    with open(SERVERS / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
