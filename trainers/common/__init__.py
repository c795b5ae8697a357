"""What every other package may use: environment, files, tables, figures."""
