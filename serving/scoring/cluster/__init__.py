"""Score more files than one machine can: on a Ray cluster, from and to local or remote storage."""
