#!/bin/sh
# A fresh access token, and a call of the API with it; then the same call through the proxy, which needs no token at all.
set -eu
token=$(curl -fsS -H "Authorization: Bearer $EVERGRANT_API_KEY" "$EVERGRANT_SERVER/v1/grants/$EVERGRANT_GRANT/token" |
  sed 's/.*"access_token":"\([^"]*\)".*/\1/')
curl -fsS -H "Authorization: Bearer $token" "$API_URL/v1/current/Me"
echo
curl -fsS -H "Authorization: Bearer $EVERGRANT_API_KEY" "$EVERGRANT_SERVER/proxy/$EVERGRANT_GRANT/v1/current/Me"
