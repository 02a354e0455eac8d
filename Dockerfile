# The bot that ships, supervised, as PID 1 of a container: docs/container.md.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY supervisor supervisor
RUN python -m venv /opt/stillhere \
    && /opt/stillhere/bin/pip install --no-cache-dir --disable-pip-version-check ".[bot]"

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin bots
COPY --from=build /opt/stillhere /opt/stillhere
COPY bot /app/bot
COPY config.toml /app/config.toml
ENV PATH=/opt/stillhere/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
USER 10001
VOLUME ["/data"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["stillhere", "status"]
# The config lies on the volume, so that all that it names does; the first start finds the shipped one.
ENTRYPOINT ["/bin/sh", "-c", "[ -e config.toml ] || cp /app/config.toml . && exec stillhere run"]
