"""Behaviours of upstreams by name; a row of the catalog names one."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.providers.adapter import AdapterFactory
from interlock.providers.adapters.azure import AzureAdapter
from interlock.providers.adapters.demo import DemoAdapter
from interlock.providers.adapters.standard import StandardAdapter

__all__ = ["ADAPTERS"]

ADAPTERS: Mapping[str, AdapterFactory] = MappingProxyType(
    {
        "standard": StandardAdapter,
        "azure": AzureAdapter,
        "demo": DemoAdapter,
    }
)
