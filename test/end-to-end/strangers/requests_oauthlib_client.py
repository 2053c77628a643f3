"""requests-oauthlib as a client of the emulator."""
import os

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
from requests_oauthlib import OAuth2Session  # noqa: E402

from common import ORDER, play  # noqa: E402

session = OAuth2Session(ORDER["client_id"], redirect_uri=ORDER["redirect_uri"], scope=ORDER["scope"] or None)
secret = {"client_id": ORDER["client_id"], "client_secret": ORDER["client_secret"]}


def authorize():
    url, _ = session.authorization_url(ORDER["authorize"])
    return url


def exchange(location):
    exchange.token = session.fetch_token(
        ORDER["token"],
        authorization_response=location,
        client_secret=ORDER["client_secret"],
        include_client_id=True,
    )


def refresh(token):
    return dict(session.refresh_token(ORDER["token"], refresh_token=token, **secret))


play(authorize, exchange, refresh)
