"""RADIUS dictionaries: data files, one per RFC or vendor, that base.dictionary loads."""
