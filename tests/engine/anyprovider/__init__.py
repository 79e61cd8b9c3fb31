"""A provider plugin for tests that answers for any package from a table of rules; it makes nothing.

One table per package in ``tables/<package>.csv``, a source for each line. Columns:

- ``type``: a resource type token, or a function's token.
- ``property``: an input or output property, its parts joined by dots; a line covers what lies below it.
- ``rules``: words from ``RULES``.
  ``guards``: while the property is true the resource cannot be deleted.
- ``value``: what a ``computed`` property, a ``default`` or a function's result holds; ``{name}`` is the
  resource's name, ``{id}`` a stable made-up identifier. JSON where it is neither a text nor a template.
- ``source``: where the rule is documented.

A changed property that no line covers fails the update: it never counts as an update in place.
"""
