"""A fresh access token, and a call of the API with it. Asks again while Evergrant says "later" (503)."""
import json
import os
import time
import urllib.error
import urllib.request

SERVER, KEY, GRANT = (os.environ[f"EVERGRANT_{name}"] for name in ("SERVER", "API_KEY", "GRANT"))


def get(url, token):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def access_token(patience=60):
    while True:
        try:
            return get(f"{SERVER}/v1/grants/{GRANT}/token", KEY)["access_token"]
        except urllib.error.HTTPError as error:
            wait = int(error.headers.get("Retry-After", 1))
            patience -= wait
            if error.code != 503 or patience < 0:
                raise
            time.sleep(wait)


print(json.dumps(get(f"{os.environ['API_URL']}/v1/current/Me", access_token())))
