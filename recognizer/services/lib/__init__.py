"""Helpers without domain knowledge: group commit, fsync, temporary files, the Redis client, slots, clocks, errors."""
