#!/usr/bin/env bash
# Installs what building and testing Holdfast needs and this machine lacks. On Debian or Ubuntu as root it uses apt-get;
# otherwise it names what is missing and fails. `setup.sh build` is about building alone.
set -euo pipefail

only=${1:-}

has() { command -v "$1" >/dev/null 2>&1; }

# Kafka 4 needs Java 17.
has_java() {
  has java || return 1
  local major
  major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
  [ "${major:-0}" -ge 17 ]
}

# Servers of PostgreSQL live outside PATH on Debian.
has_postgres() {
  local folder version
  for folder in /usr/lib/postgresql/*/bin; do
    version=$(basename "$(dirname "$folder")")
    [ -x "$folder/initdb" ] && [ "${version%%.*}" -ge 14 ] && return 0
  done
  return 1
}

# Newer releases have no OpenJDK 17 but a later one as their default.
java_package() {
  if has apt-cache && [ -z "$(apt-cache search --names-only '^openjdk-17-jre-headless$')" ]; then
    echo default-jre-headless
  else
    echo openjdk-17-jre-headless
  fi
}

# One package a line, only those that are missing.
missing_packages() {
  has g++ || echo g++
  has make || echo make
  has pkg-config || echo pkg-config
  { has pkg-config && pkg-config --exists openssl; } || echo libssl-dev
  { has pkg-config && pkg-config --exists zlib; } || echo zlib1g-dev
  [ "$only" != build ] || return 0
  has openssl || echo openssl
  # Tests send signals with the program `kill`.
  type -P kill >/dev/null || echo procps
  has_postgres || echo postgresql
  has_java || java_package
  has mvn || echo maven
  has chromium || echo chromium
  has go || echo golang-go
  has python3 || echo python3
  { has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; } || echo python3-venv
}

install_missing() {
  has apt-get && [ "$(id -u)" -eq 0 ] || return 0
  [ -n "$(missing_packages)" ] || return 0
  export DEBIAN_FRONTEND=noninteractive
  # The package lists come first: they decide which Java there is.
  apt-get -q -o DPkg::Lock::Timeout=300 update >&2
  # shellcheck disable=SC2046  # one word a package
  apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $(missing_packages) >&2
}

install_missing

missing=$(missing_packages | tr '\n' ' ')
if [ -n "$missing" ]; then
  echo "setup: missing: ${missing% }" >&2
  echo "setup: install them as root; the names are those of Debian: apt-get install ${missing% }" >&2
  exit 1
fi
pinned=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$(dirname "$0")/../rust-toolchain.toml")
# A cargo without rustup does not read that file; Debian's own is older than what is needed.
if ! has cargo || { ! has rustup && [ "$(cargo --version | cut -d ' ' -f 2)" != "$pinned" ]; }; then
  echo "setup: Rust $pinned is missing; install rustup, which fetches it by itself: see https://rustup.rs" >&2
  exit 1
fi
