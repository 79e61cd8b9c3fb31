"""The bundle of RDS authorities: each one AWS's own, a root, and not about to expire."""

from __future__ import annotations

import re
import ssl
import time
from pathlib import Path

import pytest

from components.clouds.aws.certificates import BUNDLE, authorities_of, certificates, common_name
from components.settings.errors import SettingsError

pytestmark = pytest.mark.unit

YEAR = 365 * 86400
CONFIG_MAP_BYTES = 1024 * 1024
"""What a ConfigMap holds at most (Kubernetes, "ConfigMaps")."""


def test_every_certificate_is_a_root_of_amazon_rds_for_years_to_come() -> None:
    found = [details for _, details in certificates()]
    assert len(found) == BUNDLE.read_text().count("BEGIN CERTIFICATE") > 60
    for details in found:
        name = common_name(details)
        issuer = dict(part[0] for part in details["issuer"])
        assert issuer["organizationalUnitName"] == "Amazon RDS", name
        assert issuer["organizationName"] == "Amazon Web Services, Inc.", name
        assert details["subject"] == details["issuer"], f"{name} is not signed by itself"
        assert re.search(r"Root CA (RSA2048|RSA4096|ECC384) G\d+$", name), name
        assert ssl.cert_time_to_seconds(details["notAfter"]) > time.time() + 5 * YEAR, name


def test_each_region_has_its_three_kinds_and_nobody_elses() -> None:
    text = authorities_of("eu-west-1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=text)
    assert {common_name(one) for one in context.get_ca_certs()} == {
        f"Amazon RDS eu-west-1 Root CA {kind} G1" for kind in ("RSA2048", "RSA4096", "ECC384")
    }
    assert len(text) < CONFIG_MAP_BYTES


def test_a_region_that_is_part_of_anothers_name_is_not_that_region() -> None:
    with pytest.raises(SettingsError, match="eu-west"):
        authorities_of("eu-west")


def test_a_bundle_with_old_certificates_and_remarks_is_read_as_well(tmp_path: Path) -> None:
    """As AWS hands it out."""
    bundle = tmp_path / "global-bundle.pem"
    bundle.write_text("# remark\n" + BUNDLE.read_text().replace("\n-----BEGIN", "\n\n-----BEGIN"))
    assert authorities_of("us-east-1", bundle) == authorities_of("us-east-1")
