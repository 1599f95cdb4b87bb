# The container image: `docker build -t inference-checkpoint .`; buildah builds the same. docs/image.md says what is in it.
# No build argument is needed; the three that it takes are words for labels, and change no file of the image.

FROM debian:bookworm-slim AS packages
COPY tools/setup.sh /src/tools/
RUN /src/tools/setup.sh image

FROM packages AS build
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json LICENSE ./
COPY cmake cmake
COPY models models
COPY src src
COPY tools/image_root.sh tools/
# /ccache is a compiler cache where the builder mounts one (tools/image.sh does). Without it every file is compiled.
RUN if [ -d /ccache ]; then export CCACHE_DIR=/ccache launcher=ccache; fi; \
    cmake --preset release -DCKPT_TESTS=OFF -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher" && \
    cmake --build build/release --target ckpt && \
    tools/image_root.sh build/release /image

FROM scratch
COPY --from=build /image/ /
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="inference-checkpoint" \
      org.opencontainers.image.description="Turns published LLM weights into the checkpoint that an inference server loads" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /
ENTRYPOINT ["/usr/bin/checkpoint_entrypoint.sh"]
