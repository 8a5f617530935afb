# The container of the end-to-end tests: Debian 12 with the HSM in software and OpenSC's client, and an
# account that is not root. The module and the policy are copied in by the tests. Built by ci/e2e-image.
FROM debian:bookworm-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends softhsm2 opensc \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home signer
USER signer
WORKDIR /home/signer
