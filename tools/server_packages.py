"""Where the real servers come from: pinned archives under `target/servers/` and Debian's packages."""

from __future__ import annotations

import contextlib
import fcntl
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
OLDEST_POSTGRES = 14

KAFKA_JARS = SERVERS / f"kafka-{KAFKA_VERSION}"
REGISTRY_FOLDER = SERVERS / f"apicurio-registry-{REGISTRY_VERSION}"
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
