"""How Alembic runs the revisions: on the connection, in the transaction, of `schema`.

A new revision is a new file in `versions/`, written by hand; the test that compares the
migrated schema with `tables` says what is missing. There is no way back but a backup.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
