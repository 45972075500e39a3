# What every node of a cluster runs, and the command itself.
#   docker build -t ripu-ray:0.1.0-cpu .
#   docker build --build-arg DEVICE=cuda -t ripu-ray:0.1.0-cuda .
#   docker run -v "$PWD/runs:/workspace/runs" ripu-ray:0.1.0-cpu sweep --budgets 2.2,5
# Those who submit need the same minor version of Python.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm
ARG DEVICE=cpu

# KubeRay's probes ask with wget, and torch.compile needs a C compiler on a GPU. Installation is by root, everything
# after that by an ordinary user.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends wget $(test "$DEVICE" != cuda || echo gcc libc6-dev) && \
    rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 ripu && install --directory --owner=ripu --group=ripu /workspace

# One layer for torch, one for what we depend on, one for us: a change of ours moves the last one alone. Everything goes
# to the interpreter's own place, since KubeRay starts login shells, which know no other.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/ripu-ray
COPY constraints.txt pyproject.toml ./
RUN case "$DEVICE" in \
      cpu) pip install --no-deps --constraint constraints.txt --index-url https://download.pytorch.org/whl/cpu torch ;; \
      cuda) pip install --constraint constraints.txt torch ;; \
      *) echo "DEVICE is $DEVICE: expected cpu or cuda" >&2; exit 1 ;; \
    esac
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
      > requirements.txt && pip install --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE ./
COPY configs configs
COPY cli cli
COPY ripu_ray ripu_ray
RUN pip install --no-deps . && rm -rf build *.egg-info

# Ray without a token does not start here: docs/security.md. Run folders and Ray's own jobs lie on the shared volume.
# MALLOC_ARENA_MAX: docs/cluster.md.
ENV RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2
USER ripu
WORKDIR /workspace
HEALTHCHECK --interval=60s --timeout=20s CMD ["ripu", "--version"]
ENTRYPOINT ["ripu"]
CMD ["--help"]
