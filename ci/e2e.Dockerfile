# The image of the end-to-end tests: a Debian with the HSM in software and every signing tool of tests/tools/table, and
# an account that is not root. The module, the command and what is signed are copied in by the tests. Built by
# ci/e2e-image, which says which Debian, and puts the wheels of ci/python.txt beside this file.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
# What only this Debian has: another JDK, another kernel, pkcs11-provider.
ARG MORE
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      apksigner gcab git gnupg gnupg-pkcs11-scd gnutls-bin gpgsm gpgv kmod libengine-pkcs11-openssl libnss3-tools opensc \
      openssh-client openssl osslsigncode p11-kit p11-kit-modules perl pesign python3-venv rpm sbsigntool softhsm2 unzip wixl zip \
      ${MORE} \
 && rm -rf /var/lib/apt/lists/*
COPY wheels /tmp/wheels
RUN python3 -m venv /opt/python \
 && /opt/python/bin/pip install --no-index --no-cache-dir --find-links /tmp/wheels python-pkcs11 PyKCS11 \
 && rm -rf /tmp/wheels
ENV PATH=/opt/python/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
RUN useradd --uid 10001 --create-home signer
USER signer
WORKDIR /home/signer
