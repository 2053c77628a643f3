"""What the Python clients of this folder share: their order from the test, and a browser with a person in front of it."""
import json
import sys
import urllib.parse
import urllib.request

ORDER = json.loads(sys.argv[1])


def visit(url):
    """The person goes through the pages and says yes; gives the address that the browser ends at."""
    query = urllib.parse.urlencode({"url": url})
    with urllib.request.urlopen(f"{ORDER['browser']}?{query}") as answer:
        return answer.read().decode()


def error_of(attempt):
    """The OAuth error that a library raises, by its name."""
    try:
        attempt()
    except Exception as error:  # each library has its own class
        return getattr(error, "error", None) or str(error)
    return "no error"


def report(seen):
    print(json.dumps(seen))
