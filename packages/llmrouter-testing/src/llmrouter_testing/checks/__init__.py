"""The checks: `routers`, `trainers`, `encoders`, `judges`, and `declarations`, which all of them share."""
