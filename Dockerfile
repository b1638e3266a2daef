# The worker as an image: built with the pinned toolchain, shipped as one binary on a small Debian.

FROM rust:1.95.0-bookworm AS build
# librdkafka links the system's OpenSSL and zlib.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libssl-dev pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
# The image's own toolchain is the pinned one; rust-toolchain.toml would fetch lints and formatter as well.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /holdfast
COPY . .
# The caches outlive a build, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/holdfast/target \
    cargo build --release --locked && cp target/release/holdfast /usr/local/bin/holdfast

FROM debian:bookworm-slim
# zlib and the C libraries are part of every Debian image.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin holdfast
COPY --from=build /usr/local/bin/holdfast /usr/local/bin/holdfast
USER holdfast
ENTRYPOINT ["holdfast"]
CMD ["run"]
