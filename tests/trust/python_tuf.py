"""Judges repositories with python-tuf's TrustedMetadataSet: one JSON line in, one line out.

A line has the files in base64 and the moment to judge at. The answer is `yes VERSION` or `no KIND`. With the argument
`publish`, prints a repository of python-tuf's own making instead, as one such line, for each kind of key.
"""

import base64
import json
import sys
from datetime import datetime, timedelta, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType


def judge(case):
    files = {name: base64.b64decode(text) for name, text in case["files"].items()}
    roots = [base64.b64decode(text) for text in case["roots"]]
    trusted = TrustedMetadataSet(roots[0], EnvelopeType.METADATA)
    trusted.reference_time = datetime.fromtimestamp(case["now"], tz=timezone.utc)
    for root in roots[1:]:
        trusted.update_root(root)
    trusted.update_timestamp(files["timestamp"])
    trusted.update_snapshot(files["snapshot"])
    targets = trusted.update_targets(files["targets"])
    targets.targets["policy.json"].verify_length_and_hashes(files["policy"])
    return targets.version


def answer(line):
    try:
        return f"yes {judge(json.loads(line))}"
    except (RepositoryError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"no {type(error).__name__}"


def publish(make_key):
    now = datetime.now(timezone.utc).replace(microsecond=0)
    end = now + timedelta(days=1)
    signers = {role: make_key() for role in ("root", "targets", "snapshot", "timestamp")}
    root = Root(expires=end, consistent_snapshot=True)
    for role, signer in signers.items():
        root.add_key(signer.public_key, role)
    policy = b'{"schema":"signgate.policy/1","id":"acme"}'
    targets = Targets(version=7, expires=end)
    targets.targets["policy.json"] = TargetFile.from_data("policy.json", policy)
    files = {}

    def sign(role, signed):
        metadata = Metadata(signed)
        metadata.sign(signers[role])
        files[role] = metadata.to_bytes()

    sign("root", root)
    sign("targets", targets)
    snapshot = Snapshot(version=8, expires=end)
    snapshot.meta["targets.json"] = MetaFile.from_data(7, files["targets"], ["sha256"])
    sign("snapshot", snapshot)
    timestamp = Timestamp(version=9, expires=end)
    timestamp.snapshot_meta = MetaFile.from_data(8, files["snapshot"], ["sha512"])
    sign("timestamp", timestamp)
    files["policy"] = policy
    text = {name: base64.b64encode(content).decode() for name, content in files.items()}
    return json.dumps(text)


if sys.argv[1:] == ["publish"]:
    for make_key in (
        CryptoSigner.generate_ed25519,
        CryptoSigner.generate_ecdsa,
        lambda: CryptoSigner.generate_rsa(size=3072),
    ):
        print(publish(make_key))
else:
    for request in sys.stdin:
        print(answer(request))
