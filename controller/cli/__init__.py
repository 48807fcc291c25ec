"""The `holdfast` command: one module per group of commands; talks to the API server and to run directories."""
