"""The S3 server of the tests, built from a pinned module: versitygw, whose buckets are directories."""
