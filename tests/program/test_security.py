"""What holds for every stack, however it is set up."""

from __future__ import annotations

import json
import re

import pytest

from components.image_context import OWN_IMAGES
from components.reserved import RESERVED
from components.third_party import THIRD_PARTY
from tests.program.conftest import ALL_CASES, Fitting, plan_of
from tests.program.pod_security import containers, violations
from tests.program.reading import as_text, environment, migration, pod_spec, pods, server_environment
from tools.offline import run
from tools.offline.wire import plain

pytestmark = [pytest.mark.program, pytest.mark.core]


def test_every_pod_passes_the_restricted_standard(case: str) -> None:
    found = {pod.where: violations(pod.spec, pod.metadata) for pod in pods(plan_of(case))}
    assert len(found) >= (1 if "sqlite" in case else 2), "the server, and its migration where it is a Job"
    assert not any(found.values()), found


def test_the_namespace_enforces_the_restricted_standard(case: str) -> None:
    labels = plan_of(case).one("Namespace").inputs["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pods_get_no_service_links_and_no_api_token(case: str) -> None:
    for pod in pods(plan_of(case)):
        assert pod.spec["enableServiceLinks"] is False, pod.where
        assert pod.spec["automountServiceAccountToken"] is False, pod.where
    for account in plan_of(case).of_type("ServiceAccount"):
        assert account.inputs["automountServiceAccountToken"] is False


def test_every_container_is_bounded_and_cannot_write_its_image(case: str) -> None:
    for pod in pods(plan_of(case)):
        for where, container in containers(pod.spec):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, (pod.where, where)
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), (pod.where, where)
            assert "memory" in resources["limits"], (pod.where, where)


def test_scratch_space_is_sized(case: str) -> None:
    for pod in pods(plan_of(case)):
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume:
                assert volume["emptyDir"].get("sizeLimit"), (pod.where, volume["name"])


def test_images_are_our_own_or_stand_in_the_table(case: str) -> None:
    own = {image.repository for image in OWN_IMAGES.values()}
    table = {row.reference for row in THIRD_PARTY.values()}
    ready = set(ALL_CASES[case].get("images", {}).values())
    built = plain(plan_of(case).outputs)["images"].values()
    for pod in pods(plan_of(case)):
        for where, container in containers(pod.spec):
            image = container["image"]
            if image in ready or ("@" in image and image in built):
                continue  # by digest: a repository of the stack's own
            if image == "[unknown]" and case == "gcp with images from Cloud Build":
                continue  # its digest is known when it is built
            repository, _, tag = image.rpartition(":")
            assert tag, (where, image)
            assert tag != "latest", (where, image)
            assert "bitnami" not in image, (where, image)
            assert image in table or repository.removeprefix("localhost/") in own, (pod.where, where, image)


def test_the_table_has_fixed_versions_and_no_bitnami() -> None:
    for row in THIRD_PARTY.values():
        assert re.search(r":v?\d+\.\d+", row.reference), row.reference
        assert "bitnami" not in row.reference


def test_no_secret_stands_in_clear_text_anywhere(case: str) -> None:
    """The strict checks look for every known secret; the planted ones are looked for here once more."""
    plan = plan_of(case)
    assert plan.problems == []
    planted = re.findall(r"planted-[a-z0-9-]+", json.dumps(ALL_CASES[case]))
    for text in planted:
        assert text not in as_text(plan), text


def test_the_database_address_is_kept_in_a_secret(case: str) -> None:
    plan = plan_of(case)
    address = server_environment(plan)["MLFLOW_BACKEND_STORE_URI"]
    assert re.match(r"(postgresql\+psycopg2|mysql\+pymysql)://|sqlite:///", address)
    assert address not in as_text(plan)


def test_a_database_elsewhere_is_reached_with_its_certificate_checked() -> None:
    postgresql = server_environment(plan_of("postgresql elsewhere"))["MLFLOW_BACKEND_STORE_URI"]
    assert "sslmode=verify-full" in postgresql
    assert "sslrootcert=/etc/ssl/certs/ca-certificates.crt" in postgresql
    plan = plan_of("mysql elsewhere with an authority of its own")
    mysql = server_environment(plan)["MLFLOW_BACKEND_STORE_URI"]
    # What the driver makes of it: tests/unit/test_database_engines.py.
    assert "ssl_check_hostname=true" in mysql
    authority = re.search(r"ssl_ca=([^&]+)", mysql)
    assert authority
    for workload in (plan.one("Deployment"), plan.one("Job")):
        mounts = pod_spec(workload)["containers"][0]["volumeMounts"]
        assert authority.group(1) in [mount["mountPath"] for mount in mounts]


def test_no_host_and_no_origin_is_a_wildcard(case: str) -> None:
    known = server_environment(plan_of(case))
    hosts = known["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert "localhost" in hosts
    assert not [host for host in hosts if "*" in host.removesuffix(":*")]
    assert "*" not in known["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"]


def test_job_execution_and_telemetry_are_off(case: str) -> None:
    known = server_environment(plan_of(case))
    assert known["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert known["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_what_the_program_sets_may_not_be_set_by_settings(case: str) -> None:
    """Every name in the server's and the migration's environment is reserved, but for the settings' own."""
    plan = plan_of(case)
    names = {*server_environment(plan), *environment(plan, *migration(plan))}
    settings = ALL_CASES[case]
    theirs = set((settings.get("server") or {}).get("env", {}))
    for group in settings.get("secrets", {}).values():
        theirs |= {key for values in group.values() for key in values}
    passed_to_the_migration = {"JOBS_USERNAME", "JOBS_PASSWORD"}
    assert names - theirs - passed_to_the_migration <= RESERVED.keys()


def test_probes_name_a_host_that_is_allowed(case: str) -> None:
    container = pod_spec(plan_of(case).one("Deployment", "mlflow-server"))["containers"][0]
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        headers = {one["name"]: one["value"] for one in container[kind]["httpGet"]["httpHeaders"]}
        assert headers["Host"] == "localhost", kind


@pytest.mark.parametrize("case", ["postgresql", "mysql"])
def test_only_the_server_and_its_migration_reach_the_database(case: str) -> None:
    plan = plan_of(case)
    policy = plan.one("NetworkPolicy").inputs["spec"]
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    wanted = peer["podSelector"]["matchLabels"].items()
    assert wanted, "an empty selector would let every pod in"
    admitted = {pod.where for pod in pods(plan) if wanted <= pod.metadata["labels"].items()}
    assert {where.partition(" ")[0] for where in admitted} == {"Deployment", "Job.spec.template"}
    assert policy["egress"] == []


def test_an_external_entrance_admits_only_its_source_ranges() -> None:
    balancers = {
        one.name: one.inputs["spec"].get("loadBalancerSourceRanges")
        for one in plan_of("load balancers").of_type("Service")
        if one.inputs["spec"].get("type") == "LoadBalancer"
    }
    assert list(balancers.values()) == [["203.0.113.0/24"], ["10.0.0.0/8"]]


def test_passwords_do_not_change_with_settings() -> None:
    """A generated value changes when its inputs do: they must hold nothing that a setting changes."""
    for kind in ("RandomPassword", "RandomBytes"):
        first = {one.urn: one.inputs for one in plan_of("basic sign-in").of_type(kind)}
        second = {one.urn: one.inputs for one in plan_of("everything set").of_type(kind)}
        assert first == second
        assert all("keepers" not in inputs for inputs in first.values())


def test_without_sign_in_no_user_is_made_and_with_it_the_server_holds_no_password() -> None:
    assert "MLFLOW_AUTH_ADMIN_PASSWORD" not in environment(
        plan_of("postgresql"), plan_of("postgresql").one("Job")
    )
    plan = plan_of("basic sign-in")
    assert environment(plan, plan.one("Job"))["MLFLOW_AUTH_ADMIN_PASSWORD"]
    assert "MLFLOW_AUTH_ADMIN_PASSWORD" not in server_environment(plan)


@pytest.mark.parametrize("stack", ["aws", "gcp", "azure"])
def test_a_build_of_other_files_gets_another_tag_even_when_they_were_built_before(
    stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keepers(context: str) -> dict[str, str]:
        monkeypatch.setattr("components.image_context.context_hash", lambda _: context)
        found = run(stack, answers=Fitting(), overrides=ALL_CASES[f"{stack} by default"])
        (build,) = (each for each in found.of_type("RandomId") if each.name.endswith("-job-build"))
        return build.inputs["keepers"]

    first, second, again = keepers("one"), keepers("two"), keepers("one")
    assert first == again
    assert first != second, "the random part is drawn anew, whatever was drawn for these files before"
    monkeypatch.setattr("components.clouds.builds.engine_hash", lambda _: "another umask")
    assert keepers("one") != first, "the provider would push again, to a tag that is taken"
