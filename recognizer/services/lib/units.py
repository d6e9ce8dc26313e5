"""Units of sizes."""

# In settings, on pages and in quotas: 2^20 bytes, as file managers and PostgreSQL count.
MEGABYTE = 1024 * 1024
