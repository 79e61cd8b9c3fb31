"""MLflow on Kubernetes: load the stack's settings, build, export."""

import pulumi

from components import program, settings

try:
    exports = program.build(settings.load())
except settings.SettingsError as error:
    # Every mistake in one message, and no Python traceback around it.
    raise pulumi.RunError(str(error)) from None

for name, value in exports.items():
    if value is not None:
        pulumi.export(name, value)
