# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release --package jangteo && cp target/release/jangteo /jangteo && mkdir /data

# glibc and CA certificates; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /jangteo /usr/local/bin/jangteo
COPY --from=build --chown=nonroot:nonroot /data /data
ENV JANGTEO_HTTP=0.0.0.0:8080 JANGTEO_DATA=/data
EXPOSE 8080
VOLUME /data
# Stores are embedded, under /data, until JANGTEO_DATABASE__URL names a server: see compose.yaml.
# /healthz and /readyz are for the orchestrator's probes.
ENTRYPOINT ["jangteo"]
CMD ["serve", "all"]
