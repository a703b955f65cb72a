# One image for every process of the house; docker-compose.yml says which command each container runs.
FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/tollkeeper
COPY requirements.lock /src/
RUN /opt/tollkeeper/bin/pip install --require-hashes -r /src/requirements.lock
COPY . /src
RUN /opt/tollkeeper/bin/pip install --no-deps /src && /opt/tollkeeper/bin/pip check

FROM python:3.13-slim-trixie
# What WeasyPrint draws invoices with.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 tollkeeper \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tollkeeper --shell /usr/sbin/nologin tollkeeper \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/tollkeeper
COPY --from=build /opt/tollkeeper /opt/tollkeeper
# The file system is read-only where it runs: fontconfig keeps its cache in /tmp, Python has its bytecode already.
ENV PATH=/opt/tollkeeper/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/tmp \
    TOLLKEEPER_DATA_DIR=/var/lib/tollkeeper
USER 10001:10001
WORKDIR /var/lib/tollkeeper
ENTRYPOINT ["tollkeeper"]
