# The image that `make images` builds without a container engine, for those who have one. tools/image is where it is
# decided what it holds; a test there holds this file to it. The two are not the same to the byte.
#
#   docker build -t throughline:local .
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=v1.2.3 --build-arg REVISION=$(git rev-parse HEAD) -t registry.example/throughline:1.2.3 --push .
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOWORK=off GOFLAGS= GOTOOLCHAIN=local
COPY . .
ARG VERSION=devel
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    mkdir /programs && GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /programs/ \
    -trimpath -buildvcs=false -tags timetzdata \
    -ldflags "-s -w -buildid= -X github.com/throughline-dev/throughline/pkg/settings.version=$VERSION" \
    ./services/receiver ./services/normalizer ./services/sink ./services/quarantine ./services/puller ./services/learner ./services/drift ./services/alerter ./services/console ./services/throughline
# Certificates, users and directories, from the tool itself.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    mkdir /base && cd tools/image && go build -o /image . && /image base >/base.tar && tar -x -p -f /base.tar -C /base

FROM scratch
ARG VERSION=devel
ARG REVISION=
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="throughline" \
      org.opencontainers.image.description="The lead-to-cash event stream: every event of a company's tools on one timeline per account" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /base/ /
COPY --from=build --chmod=0755 /programs/ /usr/local/bin/
ENV PATH=/usr/local/bin
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/local/bin/throughline"]
