"""holdfast's search API over a catalog, and nothing else of the service: `FILE PORT`."""

import sys
from pathlib import Path

from aiohttp import web

from archiver import clock
from archiver.catalog import CatalogReader
from archiver.web.searching import SearchApi

if __name__ == "__main__":
    path, port = sys.argv[1:]
    app = web.Application()
    app.add_routes(SearchApi(CatalogReader(Path(path)), now=clock.now).routes())
    web.run_app(app, host="127.0.0.1", port=int(port), print=None)
