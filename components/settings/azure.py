"""A stack on Microsoft Azure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from .artifacts import ManagedArtifacts
from .base import DnsLabel, Model
from .cluster import ManagedCluster, NewCluster, Nodes
from .database import ManagedDatabase
from .stack import Cloud, CloudCommon

ObjectId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
"""An object id of Entra, in lower case."""

GROUP = r"[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]"
ResourceGroupName = Annotated[str, Field(pattern=f"^{GROUP}$")]
"""Azure, "Naming rules and restrictions for Azure resources": 90 characters, no period at the end."""

_WITHIN = rf"^/subscriptions/[0-9a-f-]{{36}}/resourceGroups/{GROUP}/providers/"
SubnetId = Annotated[
    str, Field(pattern=_WITHIN + r"Microsoft\.Network/virtualNetworks/[\w.-]+/subnets/[\w.-]+$")
]
IdentityId = Annotated[
    str, Field(pattern=_WITHIN + r"Microsoft\.ManagedIdentity/userAssignedIdentities/[\w-]+$")
]
ZoneId = Annotated[str, Field(pattern=_WITHIN + r"Microsoft\.Network/privateDnsZones/[\w.-]+$")]


class Day(StrEnum):
    """Days of the week, as AKS writes them."""

    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


class Maintenance(Model):
    """When Azure upgrades the cluster and its nodes."""

    day: Day = Day.SUNDAY
    """Day of the week."""
    hour: Annotated[int, Field(ge=0, le=23)] = 3
    """Hour of the day, UTC."""
    hours: Annotated[int, Field(ge=4, le=24)] = 6
    """How long it may take."""


class Tier(StrEnum):
    """Tiers of an AKS control plane (AKS, "Free, Standard, and Premium pricing tiers")."""

    FREE = "free"
    STANDARD = "standard"


class NewAzureCluster(NewCluster):
    """An AKS cluster that the stack makes, with its network."""

    admin_groups: list[ObjectId] = []
    """Entra groups, by object id, whose members administer the cluster. Whoever runs `make up` must be in
    one: there is no other way in."""
    system_nodes: Nodes = Nodes()
    """Nodes of the cluster's own parts; MLflow and jobs run on `nodes`. Default: 2."""
    maintenance: Maintenance = Maintenance()
    """When Azure upgrades control plane and nodes."""
    monitoring: bool = False
    """Keep the control plane's logs (its audit log, who signed in) in a Log Analytics workspace, which
    charges for it."""
    metrics: bool = False
    """Send the metrics of cluster, nodes and pods to Azure's managed Prometheus, in an Azure Monitor
    workspace, which charges for them."""
    tier: Tier = Tier.STANDARD
    """standard (with an agreed availability, billed by the hour) or free (for trying things out)."""

    @property
    def system_bounds(self) -> tuple[int, int]:
        """Fewest and most nodes for the cluster's own parts."""
        said = {"total", "min", "max"} & self.system_nodes.model_fields_set
        return self.system_nodes.bounds if said else (SYSTEM_NODES, SYSTEM_NODES)


SYSTEM_NODES = 2
"""AKS, "Manage system node pools": two at least, for what must not stop."""


class AzureCluster(ManagedCluster):
    """The AKS cluster: `existing`, or made by the stack."""

    resource_group: ResourceGroupName | None = None
    """Resource group of the existing cluster."""
    create: NewAzureCluster | None = None
    """A new cluster; needs `adminGroups`."""


class DatabaseAccess(StrEnum):
    """How the cluster reaches the database. Neither has an address on the internet, and Azure cannot turn one
    into the other."""

    VNET = "vnet"
    PRIVATE_ENDPOINT = "private-endpoint"


class AzureDatabase(ManagedDatabase):
    """The tracking database of a stack on Azure."""

    access: DatabaseAccess = DatabaseAccess.VNET
    """Managed: vnet (the server stands in a subnet of its own) or private-endpoint (an address in a subnet
    leads to it). It cannot be changed later."""
    geo_redundant_backups: bool = False
    """Managed: keep the backups in the paired region as well. It cannot be changed later."""
    subnet: SubnetId | None = None
    """Managed, beside an existing cluster: id of the subnet for the server (empty, delegated to the database
    service) or for its private endpoint."""
    dns_zone: ZoneId | None = None
    """Managed: id of a private DNS zone that is there already and linked to the networks of server and nodes;
    needed where those differ. Default: one that the stack makes."""
    resource_group: ResourceGroupName | None = None
    """Resource group of the existing or restored server."""
    restored: str | None = None
    """Name of a server that was restored from a backup of the stack's own: MLflow uses it from then on, and
    the stack keeps its own as it is (docs/azure.md, "Back in time"). Needs `resourceGroup`."""
    administrator: IdentityId | None = None
    """Existing, with signIn identity: id of a user-assigned identity that is an Entra administrator of the
    server under its own name. The Job that makes database and user is that identity, and so can be whoever
    may create pods in the stack's namespace."""
    directory_reader: IdentityId | None = None
    """Managed MySQL with signIn identity: id of a user-assigned identity with the Entra role Directory
    Readers, by which the server looks up who signs in. Only an Entra administrator can give that role."""


class Redundancy(StrEnum):
    """Copies of what a storage account holds (Azure Storage, "Azure Storage redundancy")."""

    LRS = "LRS"
    ZRS = "ZRS"
    GRS = "GRS"
    GZRS = "GZRS"


class StorageAccess(StrEnum):
    """From where a storage account is reached; everybody needs an Entra token besides."""

    CLUSTER = "cluster"
    PRIVATE_ENDPOINT = "private-endpoint"
    PUBLIC = "public"


class AzureArtifacts(ManagedArtifacts):
    """The artifact store of a stack on Azure."""

    redundancy: Redundancy = Redundancy.ZRS
    """Managed: LRS (one datacenter), ZRS (three zones), GRS or GZRS (a copy in the paired region as well)."""
    access: StorageAccess | None = None
    """Managed: cluster (from the subnet of the nodes), private-endpoint (from its network) or public (from
    everywhere). Default: cluster for a new cluster; beside an existing one it must be said."""
    subnet: SubnetId | None = None
    """Managed, beside an existing cluster: id of the subnet for the private endpoint."""
    dns_zone: ZoneId | None = None
    """Managed: id of a private DNS zone privatelink.blob… that is there already; needed where the nodes are
    in another network than `subnet`. Default: one that the stack makes."""
    account: Annotated[str, Field(pattern=r"^[a-z0-9]{3,24}$")] | None = None
    """Name of the storage account in which the existing container lies: 3 to 24 of a-z and 0-9."""
    resource_group: ResourceGroupName | None = None
    """Resource group of that storage account."""


class Azure(Model):
    """What only Azure has."""

    resource_group: ResourceGroupName | None = None
    """Resource group that is there already, for everything the stack makes. Default: one of its own."""
    locks: bool = False
    """Lock database and storage account against deletion in Azure as well. `make down` takes the locks away
    first; whoever does that needs the right to."""
    pull_credentials: DnsLabel | None = None
    """Secret group that holds DOCKER_CONFIG_JSON: pull-only credentials for ready images of a private
    registry, in the format of Docker's config.json. Default: the nodes pull with their own identity."""


class AzureStack(CloudCommon):
    """A stack on Azure; `azure-native:location` says where."""

    cloud: Literal[Cloud.AZURE]
    """Where the database, artifacts, registry and identity come from."""
    cluster: AzureCluster = AzureCluster()
    """The AKS cluster."""
    database: AzureDatabase = AzureDatabase()  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    """The tracking database: by default a Flexible Server."""
    artifacts: AzureArtifacts = AzureArtifacts()  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    """The artifact store: by default a container in a storage account."""
    azure: Azure = Azure()
    """What only Azure has."""

    @property
    def new_cluster(self) -> NewAzureCluster | None:
        """The cluster to make; None where an existing one is used."""
        return None if self.cluster.existing else self.cluster.create or NewAzureCluster()

    @property
    def storage_access(self) -> StorageAccess:
        """From where the storage account is reached, with the default resolved."""
        return self.artifacts.access or StorageAccess.CLUSTER
