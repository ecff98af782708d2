"""A web scraper: everything the other examples show, in one program. `python -m examples.scraper --help` says how."""
