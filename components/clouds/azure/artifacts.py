"""The artifact container on Azure Blob Storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import storage

from ...contracts import THROUGH_THE_SERVER, ArtifactStore
from ...settings.artifacts import Transfer
from ...settings.azure import AzureArtifacts, StorageAccess
from .identity import WorkloadPrincipal
from .network import Network, PrivateEndpoint, PrivateEndpointArgs, PrivateZone, PrivateZoneArgs, network_of
from .resource_group import Place
from .roles import Role, assign

LOGICAL = "mlflowartifacts"
"""Of the account: 3 to 24 small letters and digits, in all of Azure once; Pulumi adds eight."""
CONTAINER = "mlflow"
ONLY = "default"
"""Name of the one blob service, and of the one lifecycle policy, that an account has."""
SOFT_DELETE_DAYS = 7
DOMAIN = "blob.core.windows.net"
BLOB = "blob"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"

BY_SIGNED_ADDRESS: Mapping[str, str] = {
    **THROUGH_THE_SERVER,
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
}
"""MLflow 3.17 signs addresses of Azure for what is sent, not for what is fetched (facts/mlflow.md §5)."""


@dataclass(frozen=True, kw_only=True)
class ArtifactContainerArgs:
    """Inputs of :class:`ArtifactContainer`.

    :param access: from where a new account is reached.
    :param network: of a created cluster.
    :param server: always gets the rights.
    :param jobs: gets them when jobs use the container themselves.
    :param protect: guard account and container against deletion.
    """

    settings: AzureArtifacts
    access: StorageAccess
    place: Place
    network: Network | None
    server: WorkloadPrincipal
    jobs: WorkloadPrincipal
    protect: bool


class ArtifactContainer(pulumi.ComponentResource):
    """A private, versioned container in an account without keys, or a folder of an existing one.

    Source: Azure Storage, "Security recommendations for Blob storage".

    :ivar store: the contract.
    :ivar account: name of the storage account.
    :ivar container: name of the container.
    :ivar account_id: of the account, where the stack made it.
    """

    store: ArtifactStore
    account: pulumi.Output[str]
    container: pulumi.Output[str]
    account_id: pulumi.Output[str] | None

    def __init__(
        self, name: str, args: ArtifactContainerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:azure:ArtifactContainer", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        existing, transfer = args.settings.existing, args.settings.transfer
        prefix = existing.prefix if existing else None
        if existing:
            found = storage.get_storage_account_output(
                account_name=str(args.settings.account),
                resource_group_name=str(args.settings.resource_group),
                opts=args.place.subscription.invoke,
            )
            self.account, self.account_id = found.name, None
            self.container = pulumi.Output.from_input(existing.name)
            account_id, container_id = (
                found.id,
                pulumi.Output.concat(found.id, "/blobServices/default/containers/", existing.name),
            )
        else:
            account, made = self._account()
            self.account, self.account_id, self.container = account.name, account.id, made.name
            account_id, container_id = account.id, made.id
        self._grant("server", args.server, container_id, account_id, prefix)
        direct = transfer is Transfer.DIRECT
        if direct:
            self._grant("jobs", args.jobs, container_id, account_id, prefix)
        uri = pulumi.Output.concat(
            "wasbs://", self.container, "@", self.account, f".{DOMAIN}", f"/{prefix}" if prefix else ""
        )
        client_env: Mapping[str, str] = {
            Transfer.PROXIED: THROUGH_THE_SERVER,
            Transfer.PRESIGNED: BY_SIGNED_ADDRESS,
            Transfer.DIRECT: {},
        }[transfer]
        self.store = ArtifactStore(
            destination=uri,
            default_root=uri if direct else "mlflow-artifacts:/",
            client_env=client_env,
            ready=[self],
        )
        self.register_outputs({"account": self.account})

    def _account(self) -> tuple[storage.StorageAccount, storage.BlobContainer]:
        settings, place, access = self._args.settings, self._args.place, self._args.access
        by_endpoint = access is StorageAccess.PRIVATE_ENDPOINT
        guarded = pulumi.ResourceOptions(parent=self, protect=self._args.protect)
        account = storage.StorageAccount(
            LOGICAL,
            resource_group_name=place.group,
            location=place.location,
            kind=storage.Kind.STORAGE_V2,
            sku=storage.SkuArgs(name=f"Standard_{settings.redundancy}"),
            access_tier=storage.AccessTier.HOT,
            # Entra only: without it whoever reads a key is everybody.
            allow_shared_key_access=False,
            default_to_o_auth_authentication=True,
            allow_blob_public_access=False,
            allow_cross_tenant_replication=False,
            is_local_user_enabled=False,
            minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
            enable_https_traffic_only=True,
            public_network_access=storage.PublicNetworkAccess.DISABLED
            if by_endpoint
            else storage.PublicNetworkAccess.ENABLED,
            network_rule_set=self._rules(),
            tags=dict(place.tags),
            opts=guarded,
        )
        service = storage.BlobServiceProperties(
            f"{self._name}-service",
            resource_group_name=place.group,
            account_name=account.name,
            blob_services_name=ONLY,
            is_versioning_enabled=True,
            delete_retention_policy=storage.DeleteRetentionPolicyArgs(enabled=True, days=SOFT_DELETE_DAYS),
            container_delete_retention_policy=storage.DeleteRetentionPolicyArgs(
                enabled=True, days=SOFT_DELETE_DAYS
            ),
            opts=self._child,
        )
        policy = self._lifecycle(account, [service])
        if by_endpoint:
            self._endpoint(account)
        container = storage.BlobContainer(
            f"{self._name}-container",
            resource_group_name=place.group,
            account_name=account.name,
            container_name=CONTAINER,
            public_access=storage.PublicAccess.NONE,
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect, depends_on=[policy]),
        )
        return account, container

    def _rules(self) -> storage.NetworkRuleSetArgs:
        network = self._args.network
        if self._args.access is StorageAccess.PUBLIC:
            return storage.NetworkRuleSetArgs(
                default_action=storage.DefaultAction.ALLOW, bypass=storage.Bypass.NONE
            )
        subnets = [network.nodes] if network and self._args.access is StorageAccess.CLUSTER else []
        return storage.NetworkRuleSetArgs(
            default_action=storage.DefaultAction.DENY,
            bypass=storage.Bypass.NONE,
            virtual_network_rules=[
                storage.VirtualNetworkRuleArgs(virtual_network_resource_id=subnet) for subnet in subnets
            ],
        )

    def _lifecycle(
        self, account: storage.StorageAccount, before: Sequence[pulumi.Resource]
    ) -> storage.ManagementPolicy:
        """What was overwritten or deleted goes after a while; parts of an upload that was never finished go
        by themselves after a week (Put Block)."""
        old = storage.DateAfterCreationArgs(
            days_after_creation_greater_than=self._args.settings.keep_versions_days
        )
        return storage.ManagementPolicy(
            f"{self._name}-lifecycle",
            resource_group_name=self._args.place.group,
            account_name=account.name,
            management_policy_name=ONLY,
            policy=storage.ManagementPolicySchemaArgs(
                rules=[
                    storage.ManagementPolicyRuleArgs(
                        name="old-versions",
                        type="Lifecycle",
                        enabled=True,
                        definition=storage.ManagementPolicyDefinitionArgs(
                            actions=storage.ManagementPolicyActionArgs(
                                version=storage.ManagementPolicyVersionArgs(delete=old)
                            ),
                            filters=storage.ManagementPolicyFilterArgs(blob_types=["blockBlob"]),
                        ),
                    )
                ]
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(before)),
        )

    def _endpoint(self, account: storage.StorageAccount) -> None:
        settings, place, network = self._args.settings, self._args.place, self._args.network
        subnet = settings.subnet or (network.endpoints if network else None)
        assert subnet is not None, "the settings require one without a network"  # noqa: S101
        zone: pulumi.Input[str] | None = settings.dns_zone
        ready: list[pulumi.Resource] = []
        if zone is None:
            made = PrivateZone(
                f"{self._name}-zone",
                PrivateZoneArgs(place=place, domain=f"privatelink.{DOMAIN}", network=network_of(subnet)),
                opts=self._child,
            )
            zone, ready = made.id, [made]
        PrivateEndpoint(
            f"{self._name}-endpoint",
            PrivateEndpointArgs(place=place, target=account.id, group=BLOB, subnet=subnet, zone=zone),
            opts=pulumi.ResourceOptions(parent=self, depends_on=ready),
        )

    def _grant(
        self,
        who: str,
        principal: WorkloadPrincipal,
        container: pulumi.Output[str],
        account: pulumi.Output[str],
        prefix: str | None,
    ) -> None:
        place = self._args.place
        assign(
            f"{self._name}-{who}",
            place,
            Role.BLOB_DATA_CONTRIBUTOR,
            principal=principal.principal_id,
            scope=container,
            condition=below(prefix) if prefix else None,
            opts=self._child,
        )
        if self._args.settings.transfer is not Transfer.PROXIED:
            # Signed addresses are signed with a key of the account's, which this lets it ask for.
            assign(
                f"{self._name}-{who}-delegator",
                place,
                Role.BLOB_DELEGATOR,
                principal=principal.principal_id,
                scope=account,
                opts=self._child,
            )


def below(prefix: str) -> str:
    """The condition of blobs in a folder, and of listing them (Azure Storage, "Example Azure role assignment
    conditions for Blob Storage")."""
    listing = f"ActionMatches{{'{BLOBS}/read'}} AND SubOperationMatches{{'Blob.List'}}"
    reading = f"ActionMatches{{'{BLOBS}/read'}} AND NOT SubOperationMatches{{'Blob.List'}}"
    writing = " OR ".join(
        f"ActionMatches{{'{BLOBS}/{action}'}}" for action in ("write", "delete", "add/action", "move/action")
    )
    path = f"@Resource[{BLOBS}:path] StringStartsWith '{prefix}/'"
    asked = f"@Request[{BLOBS}:prefix] StringStartsWith '{prefix}/'"
    return f"((!({listing})) OR ({asked})) AND ((!({reading})) OR ({path})) AND ((!({writing})) OR ({path}))"
