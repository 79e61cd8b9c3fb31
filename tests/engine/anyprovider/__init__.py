"""A provider plugin for tests that answers for any package from a table of rules; it makes nothing.

One table per package in ``tables/<package>.csv``, a source for each line. Columns:

- ``types``, with a blank between: a resource's type token, a function's, ``pulumi:providers:<package>``, or
  ``*`` for every resource that has lines of its own.
- ``properties``, with a blank between: inputs or outputs, the parts of each joined by dots, without the
  numbers of lists; a line covers what lies below them.
- ``rules``: words from ``RULES``.
- ``value``: what a ``computed`` property, a ``default``, an ``autonamed`` name or a function's result holds;
  ``{name}`` is the resource's name, ``{id}`` its identifier, ``{hash}`` a digest of its inputs, ``{fresh}``
  another text each time, in names ``{uuid}`` as well, any other ``{property}`` what that property holds by
  then. JSON where it is neither a text nor a template.
- ``source``: where the rule is documented.

A changed property that no line covers fails the update: it never counts as an update in place.
"""
