"""Authlib as a client of Evergrant, with PKCE."""
import os

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
from authlib.common.security import generate_token  # noqa: E402
from authlib.integrations.requests_client import OAuth2Session  # noqa: E402

from common import ORDER, error_of, report, visit  # noqa: E402

session = OAuth2Session(
    ORDER["client_id"],
    ORDER["client_secret"],
    redirect_uri=ORDER["redirect_uri"],
    code_challenge_method="S256",
)
verifier = generate_token(48)
url, _ = session.create_authorization_url(ORDER["authorize"], code_verifier=verifier)
token = session.fetch_token(ORDER["token"], authorization_response=visit(url), code_verifier=verifier)
again = session.refresh_token(ORDER["token"], refresh_token=token["refresh_token"])
backend = OAuth2Session(ORDER["client_id"], ORDER["client_secret"])
own = backend.fetch_token(ORDER["token"], grant_type="client_credentials")
known = session.introspect_token(ORDER["introspect"], token["refresh_token"]).json()
revoked = session.revoke_token(ORDER["revoke"], token["refresh_token"], token_type_hint="refresh_token")
report(
    {
        "code": token["access_token"],
        "refresh": again["access_token"],
        "same": token["refresh_token"] == again["refresh_token"],
        "credentials": own["access_token"],
        "active": known["active"],
        "revoked": revoked.status_code,
        "after": error_of(lambda: session.refresh_token(ORDER["token"], refresh_token=token["refresh_token"])),
    }
)
