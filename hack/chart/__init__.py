"""Makes values.schema.json of charts/holdfast: it knows the settings, so it is not written by hand."""
