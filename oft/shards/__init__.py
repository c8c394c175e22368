"""webdataset shards: written byte for byte alike, read back in any order, from a folder or from S3."""
