"""Building blocks of the settings: the strict base model and the value types of Kubernetes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class Model(BaseModel):
    """A frozen section of the stack file; unknown keys are refused, names are camelCase there."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
    )


class Secret:
    """A value that only secret stack configuration may hold; it never prints itself."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The plain text. Callers wrap it in ``pulumi.Output.secret`` at once."""
        return self._value

    def __repr__(self) -> str:
        return "[secret]"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(min_length=1), serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # In a stack file a secret is always Pulumi's ciphertext.
        return {
            "type": "object",
            "properties": {"secure": {"type": "string"}},
            "required": ["secure"],
            "additionalProperties": False,
            "title": "Secret",
        }


DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
ENVIRONMENT_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
HOST_NAME = re.compile(
    r"^(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
)

DnsLabel = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL.pattern)]
"""A DNS-1123 label: lower-case letters, digits and dashes, at most 63 characters."""

EnvironmentName = Annotated[str, StringConstraints(max_length=253, pattern=ENVIRONMENT_NAME.pattern)]
"""The name of an environment variable."""

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$")]
"""A Kubernetes quantity of bytes, such as 10Gi."""

Cpu = Annotated[
    str, StringConstraints(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$"), Field(examples=["250m"])
]
"""A Kubernetes CPU quantity, such as 250m or 2."""


def _host(value: str) -> str:
    if not HOST_NAME.match(value):
        raise ValueError(
            "must be a host name in lower case without scheme or port, such as mlflow.example.com"
        )
    return value


def _cidr(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=True))
    except ValueError:
        raise ValueError("must be an address range such as 203.0.113.0/24, with no host bits set") from None


def open_to_world(ranges: Sequence[str]) -> bool:
    """Whether the ranges together leave (nearly) nobody out, however they are split."""
    networks = [ipaddress.ip_network(cidr) for cidr in ranges]
    v4 = [net for net in networks if isinstance(net, ipaddress.IPv4Network)]
    v6 = [net for net in networks if isinstance(net, ipaddress.IPv6Network)]
    # Half the address space is no restriction either: it is how a /0 is smuggled past a check.
    return any(net.prefixlen <= 1 for net in ipaddress.collapse_addresses(v4)) or any(
        net.prefixlen <= 3 for net in ipaddress.collapse_addresses(v6)
    )


HostName = Annotated[str, AfterValidator(_host)]
Cidr = Annotated[str, AfterValidator(_cidr)]


def quantity_bytes(quantity: str) -> float:
    """The number of bytes a :data:`Quantity` stands for."""
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
    units |= {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
    for unit, factor in units.items():
        if quantity.endswith(unit):
            return float(quantity.removesuffix(unit)) * factor
    return float(quantity)


class ResourceAmounts(Model):
    """CPU and memory of a container."""

    cpu: Cpu | None = None
    """CPU, such as 250m or 2."""
    memory: Quantity | None = None
    """Memory, such as 768Mi."""


class Resources(Model):
    """Requests and limits of a container; a part left out keeps its default."""

    requests: ResourceAmounts = ResourceAmounts()
    """What the scheduler reserves."""
    limits: ResourceAmounts = ResourceAmounts()
    """What the container may use at most."""

    def over(self, default: Resources) -> Resources:
        """These resources, with ``default`` where nothing is set."""

        def fill(mine: ResourceAmounts, other: ResourceAmounts) -> ResourceAmounts:
            return ResourceAmounts(cpu=mine.cpu or other.cpu, memory=mine.memory or other.memory)

        return Resources(
            requests=fill(self.requests, default.requests), limits=fill(self.limits, default.limits)
        )


class Volume(Model):
    """A persistent volume claim."""

    size: Quantity = "10Gi"
    """Capacity; it can grow where the storage class allows expansion, never shrink."""
    storage_class: DnsLabel | None = None
    """Storage class; default: the class the cluster's contract names."""
