"""The vendor's managed-secrets client, in an interpreter of its own: it needs older libraries than the other clients.

Reads lines `get NAME` and `refresh NAME` from standard input and answers each with one line of JSON.
"""

import json
import sys

from alibaba_cloud_secretsmanager_client.model.region_info import RegionInfo
from alibaba_cloud_secretsmanager_client.secret_manager_cache_client_builder import SecretManagerCacheClientBuilder
from alibaba_cloud_secretsmanager_client.service.default_secret_manager_client_builder import (
    DefaultSecretManagerClientBuilder,
)


def main():
    region, endpoint, access_key, secret = sys.argv[1:]
    service = DefaultSecretManagerClientBuilder.standard().with_access_key(access_key, secret)
    service = service.add_region_info(RegionInfo(region, False, endpoint)).build()
    client = SecretManagerCacheClientBuilder.new_cache_client_builder(service).build()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order, name = line.split()
        try:
            if order == "refresh":
                answer = client.refresh_now(name)
            else:
                answer = client.get_secret_info(name).secret_value
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to see it
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
