"""requests-oauthlib as a client of Evergrant."""
import os

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
from oauthlib.oauth2 import BackendApplicationClient  # noqa: E402
from requests_oauthlib import OAuth2Session  # noqa: E402

from common import ORDER, error_of, report, visit  # noqa: E402

session = OAuth2Session(ORDER["client_id"], redirect_uri=ORDER["redirect_uri"])
secret = {"client_id": ORDER["client_id"], "client_secret": ORDER["client_secret"]}
url, _ = session.authorization_url(ORDER["authorize"])
token = session.fetch_token(
    ORDER["token"], authorization_response=visit(url), client_secret=ORDER["client_secret"], include_client_id=True
)
again = session.refresh_token(ORDER["token"], **secret)
backend = OAuth2Session(client=BackendApplicationClient(client_id=ORDER["client_id"]))
own = backend.fetch_token(ORDER["token"], client_id=ORDER["client_id"], client_secret=ORDER["client_secret"])
url, headers, body = session._client.prepare_token_revocation_request(
    ORDER["revoke"], token["refresh_token"], token_type_hint="refresh_token"
)
revoked = session.request(
    "POST", url, data=body, headers=headers, withhold_token=True, auth=(ORDER["client_id"], ORDER["client_secret"])
)
report(
    {
        "code": token["access_token"],
        "refresh": again["access_token"],
        "same": token["refresh_token"] == again["refresh_token"],
        "credentials": own["access_token"],
        "revoked": revoked.status_code,
        "after": error_of(lambda: session.refresh_token(ORDER["token"], refresh_token=token["refresh_token"], **secret)),
    }
)
