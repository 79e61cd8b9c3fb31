"""The product: settings, contracts, the clouds' foundations and the in-cluster half."""
