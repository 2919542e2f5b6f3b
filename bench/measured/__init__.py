"""What the scripts of `bench/` share: evidence made by code, whole costs of a command, the peers to compare with."""
