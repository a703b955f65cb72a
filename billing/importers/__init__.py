"""Importers: the day on which an operator moves here from an old system, and bank statements ever after.

Door: run.import_file. Rows are checked by pure functions (reader, cells, rows); one module per kind looks at the
database and writes. Nothing is written unless every row of a file is right, and then in one transaction.
"""
