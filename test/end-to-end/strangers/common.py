"""What the clients of this folder share: their order from the test, the emulator's controls, and a browser of sorts."""
import json
import sys
import urllib.request
from urllib.parse import parse_qs, urlsplit

ORDER = json.loads(sys.argv[1])


def control(name, body):
    """A control request of the emulator."""
    request = urllib.request.Request(
        f"{ORDER['control_url']}/{name}",
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {ORDER['control_key']}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def visit(url):
    """The person says yes; gives the address that the browser would go to."""
    control("authorize", {"approve": {"once": True}})
    try:
        urllib.request.build_opener(NoRedirect).open(url)
    except urllib.error.HTTPError as answer:
        return answer.headers["location"]
    raise AssertionError("the authorization endpoint did not redirect")


def code_of(location):
    return parse_qs(urlsplit(location).query)["code"][0]


def said(attempt):
    """The OAuth error that a library raises, by its name."""
    try:
        attempt()
    except Exception as error:  # each library has its own class
        return getattr(error, "error", None) or str(error)
    return "no error"


def play(authorize, exchange, refresh):
    """One run: sign in, too early, in time, the old token, an expired one."""
    seen = {}
    exchange(visit(authorize()))
    first = exchange.token
    seen["token_type"] = first["token_type"].lower()
    if ORDER["spacing"]:
        seen["early"] = said(lambda: refresh(first["refresh_token"]))
        control("clock", {"advance": ORDER["spacing"]})
    second = refresh(first["refresh_token"])
    seen["rotated"] = second["refresh_token"] != first["refresh_token"]
    control("clock", {"advance": ORDER["late"]})
    seen["reuse"] = said(lambda: refresh(first["refresh_token"]))
    exchange(visit(authorize()))
    control("expire", {"tokens": "refresh"})
    seen["expired"] = said(lambda: refresh(exchange.token["refresh_token"]))
    print(json.dumps(seen))
