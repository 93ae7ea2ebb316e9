FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION="" COMMIT="" DATE=""
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" -o /out/restante . \
    && mkdir /out/data

# Nothing but the program, which needs no shell and no time zones, and the authorities that it trusts when it obtains a
# certificate.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/restante /restante
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV RESTANTE_DATABASE=/data/restante.db
EXPOSE 4000
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s CMD ["/restante", "health"]
ENTRYPOINT ["/restante"]
