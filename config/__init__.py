"""The configuration: one TOML file, its settings, and its faults in words."""
