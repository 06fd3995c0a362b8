"""What most would write: a pool of threads, urllib3 for the GET, boto3's put_object."""

import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import boto3
import urllib3
from botocore.config import Config

from benchmarks.meter import Meter, Transfers

told = Transfers.told()
pool = urllib3.PoolManager(maxsize=told.workers)
client = boto3.client(
    "s3", endpoint_url=told.endpoint, config=Config(max_pool_connections=told.workers)
)


def copy(number: int) -> None:
    """One picture from the source into the bucket."""
    response = pool.request("GET", told.url(number))
    assert response.status == 200
    name = sha256(response.data).hexdigest()
    client.put_object(
        Bucket=told.bucket,
        Key=f"blobs/sha256/{name[:2]}/{name}.png",
        Body=response.data,
        ContentType="image/png",
    )


with ThreadPoolExecutor(told.workers) as threads:
    everybody = threading.Barrier(told.workers)
    list(threads.map(lambda _: everybody.wait(), range(told.workers)))
    meter = Meter()
    for _ in threads.map(copy, range(told.count)):
        pass
    meter.tell(told.count)
