"""The real Pulumi engine for every verb: CLI, provider plugins, stacks, progress."""
