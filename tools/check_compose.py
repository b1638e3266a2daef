#!/usr/bin/env python3
"""Checks a Compose file against the Compose specification's JSON schema, without an engine.

    python3 tools/check_compose.py [FILE]

FILE is `docker-compose.yml` of this repository when it is not named. The validator comes from pinned packages in an
environment of its own under `target/tools/`. Exit code 1 names every place that is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
PROJECT = TOOLS.parent
SCHEMA = TOOLS / "compose-spec.json"
REQUIREMENTS = TOOLS / "compose-requirements.txt"


def main() -> int:
    python = environment_python()
    # Compared unresolved: the interpreter of an environment is a link to the one that made it.
    if sys.executable != str(python):
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    compose_file = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "docker-compose.yml"
    found = mistakes(compose_file)
    for mistake in found:
        print(f"{compose_file}: {mistake}", file=sys.stderr)
    if not found:
        print(f"{compose_file.name}: valid")
    return 1 if found else 0


def environment_python() -> Path:
    """The interpreter that has the pinned packages; its folder is named after them, so a new pin makes a new one."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = PROJECT / "target" / "tools" / f"compose-{digest}"
    if not (folder / "complete").exists():
        make_environment(folder)
    return folder / "bin" / "python"


def make_environment(folder: Path) -> None:
    """Makes the environment. Its paths are fixed, so it is marked when it is whole instead of being renamed."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*command, "-r", str(REQUIREMENTS)], check=True, stdout=sys.stderr)
    (folder / "complete").touch()


def mistakes(compose_file: Path) -> list[str]:
    """Everything that is wrong with a file, a line each."""
    import yaml

    try:
        content = yaml.safe_load(compose_file.read_text())
    except (OSError, yaml.YAMLError) as error:
        return [f"cannot be read: {error}"]
    return schema_mistakes(content) or reference_mistakes(content)


def schema_mistakes(content: object) -> list[str]:
    """Where the content departs from the specification's schema."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    errors = sorted(validator.iter_errors(content), key=lambda error: error.json_path)
    return [f"{error.json_path}: {error.message}" for error in errors]


def reference_mistakes(content: dict) -> list[str]:
    """Services that wait for a service, and named volumes, that the file does not have: no schema can say this."""
    found = []
    services = content.get("services", {})
    volumes = content.get("volumes", {})
    for name, service in services.items():
        for other in service.get("depends_on", {}):
            if other not in services:
                found.append(f"$.services.{name}.depends_on: no service {other!r}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0] if isinstance(volume, str) else volume.get("source", "")
            if source and source[0] not in "./~$" and source not in volumes:
                found.append(f"$.services.{name}.volumes: no volume {source!r}")
    return found


if __name__ == "__main__":
    sys.exit(main())
