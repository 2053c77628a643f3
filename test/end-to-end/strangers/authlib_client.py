"""Authlib as a client of the emulator."""
import os

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
from authlib.integrations.requests_client import OAuth2Session  # noqa: E402

from common import ORDER, play  # noqa: E402

session = OAuth2Session(
    ORDER["client_id"],
    ORDER["client_secret"],
    redirect_uri=ORDER["redirect_uri"],
    scope=ORDER["scope"] or None,
    token_endpoint_auth_method="client_secret_post",
)


def authorize():
    url, _ = session.create_authorization_url(ORDER["authorize"])
    return url


def exchange(location):
    exchange.token = session.fetch_token(ORDER["token"], authorization_response=location)


def refresh(token):
    return dict(session.refresh_token(ORDER["token"], refresh_token=token))


play(authorize, exchange, refresh)
