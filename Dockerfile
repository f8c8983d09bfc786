# Cycle_Sound with all that it needs, to build and to use:
#   docker build -t cycle-sound .    # --build-arg torch_index=URL: torch's wheels for CPUs alone, from that index
#   docker run --rm -v "$PWD/data:/cycle_sound/data" -v "$PWD/metrics:/cycle_sound/metrics" cycle-sound make repro
#   docker run --rm -v "$PWD/models:/models" -v "$PWD:/here" -w /here cycle-sound cycle-sound image bell.wav -o out --models /models
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /cycle_sound

# The packages first: they change less often than the code.
COPY requirements.txt Makefile ./
ARG torch_index=
RUN git init -q . && PIP_NO_CACHE_DIR=1 make .venv/packages

COPY . .
RUN make .venv/installed
ENV PATH=/cycle_sound/.venv/bin:$PATH
CMD ["cycle-sound", "--help"]
