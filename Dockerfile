# One image for every role: the entry point is the `locmoe` command. Where no image registry can be reached, make a base
# with scripts/base-image.mjs and name it in BASE_IMAGE: any Debian with Node 20 or later and npm will do.
ARG BASE_IMAGE=node:26-trixie-slim

# Installs as `npm run quickstart` does. A private CA for the npm registry comes as the optional build secret `ca`.
FROM ${BASE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY packages/bench/package.json packages/bench/
COPY packages/export/package.json packages/export/
COPY packages/logs/package.json packages/logs/
COPY packages/page/package.json packages/page/
COPY packages/run-format/package.json packages/run-format/
COPY packages/test-kit/package.json packages/test-kit/
COPY studies/package.json studies/
COPY docs/package.json docs/
COPY corpus/package.json corpus/package-lock.json corpus/
COPY tensorflow tensorflow
COPY scripts/package.json scripts/setup.mjs scripts/apt-install.mjs scripts/install-locked.mjs scripts/onednn.mjs scripts/progress.mjs scripts/removed-util.mjs scripts/run-npm.mjs scripts/set-up-folder.mjs scripts/tensorflow.mjs scripts/webgpu.mjs scripts/work-folder.mjs scripts/
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache --mount=type=cache,target=/root/.npm \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    mkdir onednn && node scripts/setup.mjs --omit=dev

FROM packages AS build
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.mjs scripts/*.d.mts scripts/
COPY src src
COPY packages packages
RUN npm run build && chmod +x dist/cli/cli.js && rm -r packages/*/src packages/*/tsconfig*.json

# Only what runs: what the build takes is the workspace scripts.
FROM packages AS production
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache --mount=type=cache,target=/root/.npm \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    rm scripts/package.json && npm prune --omit=dev --ignore-scripts && \
    node scripts/tensorflow.mjs

FROM ${BASE_IMAGE}
RUN apt-get update && \
    apt-get install --yes --no-install-recommends tini && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 10001 locmoe && \
    useradd --uid 10001 --gid 10001 --home-dir /var/lib/locmoe --create-home locmoe && \
    install --directory --owner=locmoe --group=locmoe --mode=0750 /etc/locmoe && \
    ln -s /app/dist/cli/cli.js /usr/local/bin/locmoe
WORKDIR /app
COPY --from=production /app/node_modules node_modules
COPY --from=production /app/tensorflow tensorflow
COPY --from=production /app/onednn onednn
COPY --from=production /app/corpus corpus
COPY corpus/large corpus/large
COPY --from=production /app/scripts scripts
COPY package.json ./
COPY proto proto
COPY configs configs
COPY --from=build /app/dist dist
COPY --from=build /app/packages packages
USER locmoe
# runs/ and data/ are made here, /etc/locmoe is for certificates and the token: both are places for volumes.
WORKDIR /var/lib/locmoe
ENV NODE_ENV=production
EXPOSE 50051 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["locmoe", "health", "--address", "127.0.0.1:50051"]
ENTRYPOINT ["tini", "--", "locmoe"]
CMD ["--help"]
