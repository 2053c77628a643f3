/** What docs/errors.md says about each error beyond its title: when it comes, and what helps. */
export const ERROR_HELP: Readonly<Record<string, { readonly meaning: string; readonly remedy: string }>> = {
  invalid_request: {
    meaning: 'A field is missing, has the wrong type or is out of range; the detail names it.',
    remedy: 'Correct the field that the detail names, and send it again.',
  },
  unknown_field: {
    meaning: 'Fields that are not known are refused rather than ignored, so that a slip of the pen is seen.',
    remedy: 'Leave the field out, or look for its right name in `/openapi.json`.',
  },
  min_ttl_impossible: {
    meaning: 'The life that was asked for is longer than the whole life of an access token of this provider.',
    remedy: 'Ask for less: the `expires_in` of a fresh token is the most there is.',
  },
  no_access_token: {
    meaning: 'The grant holds an API key or a password. Whoever sent that as an access token would be refused.',
    remedy: 'Call the provider through the proxy, `/proxy/{grant}/…`: it sends what the provider wants.',
  },
  unknown_provider: {
    meaning: 'No file of the catalogue, built in or added, has this id.',
    remedy: 'See `evergrant providers list`; add an own file with `--providers`.',
  },
  unauthorized: {
    meaning: 'The request has no API key, or one that is not valid any more.',
    remedy: 'Send `Authorization: Bearer <API key>`; the admin key stands in `admin.key` in the data folder.',
  },
  forbidden: {
    meaning: 'The key is valid, but its scopes do not cover this request.',
    remedy: 'Use a key that may: `evergrant api-keys add NAME --scope admin`.',
  },
  not_found: {
    meaning: 'There is nothing with this id or alias, or it is not yours; the two look the same on purpose.',
    remedy: 'Check the id or alias, and the path.',
  },
  method_not_allowed: {
    meaning: 'The address is right, the method is not.',
    remedy: 'See `/openapi.json` for the methods of an address.',
  },
  authorization_pending: {
    meaning: 'The grant was made, and the link that came with it has not been used.',
    remedy: 'Open the link, or take a new one: `evergrant grants renew ALIAS`.',
  },
  authorization_required: {
    meaning: 'The chain is broken; the diagnosis of the grant says why.',
    remedy: 'Renew it: `evergrant grants renew ALIAS`. Clients keep their credentials.',
  },
  cross_site: {
    meaning:
      'A browser says that a page of another site sent the request to the proxy. No page may use a key that way.',
    remedy: 'Call the proxy from a program, or from a page of the same origin.',
  },
  rate_limited: {
    meaning: 'A limit of the provider on calls is used up, by all callers together. The request was not sent.',
    remedy: 'Wait as long as `Retry-After` says.',
  },
  upstream_lost: {
    meaning: "The proxy sent the request, and the provider's API gave no answer. It may have done what was asked.",
    remedy: 'Look at the provider whether it did, before sending it again.',
  },
  another_browser: {
    meaning: 'An authorization ends in the browser that began it, so that a link that was passed on binds nobody else.',
    remedy: 'Open the link anew and stay in one browser, or use `--paste`.',
  },
  link_used: {
    meaning: 'An authorization link works once.',
    remedy: 'Take a new one: `evergrant grants renew ALIAS`.',
  },
  link_expired: {
    meaning: 'An authorization link lives ten minutes.',
    remedy: 'Take a new one: `evergrant grants renew ALIAS`.',
  },
  alias_taken: {
    meaning: 'Another grant has this name.',
    remedy: 'Choose another alias, or renew the grant that has it.',
  },
  already_held: {
    meaning: 'The refresh token that was to be imported is the current one of a grant here. Nothing was sent.',
    remedy: 'Nothing to do: use the grant that holds it.',
  },
  older_than_held: {
    meaning: 'The chain of the refresh token that was to be imported is held here, further on. Nothing was sent.',
    remedy: 'Nothing to do: use the grant that holds it.',
  },
  account_taken: {
    meaning: 'The provider keeps one chain per app and account, and another grant holds this one.',
    remedy: 'Share that grant, or connect another account or an app of its own.',
  },
  in_use: {
    meaning: 'It cannot be removed while something depends on it, such as the grants of an app.',
    remedy: 'Remove what depends on it first.',
  },
  idempotency_in_progress: {
    meaning: 'A request with the same `Idempotency-Key` has not been answered yet.',
    remedy: 'Wait a moment and send it again with the same key.',
  },
  grant_revoked: {
    meaning: 'Somebody ended this grant here; it gives no token any more.',
    remedy: 'Connect the account anew if that was not meant.',
  },
  payload_too_large: {
    meaning: 'The body is larger than the server takes.',
    remedy: 'Send less; of many grants, one a request.',
  },
  unsupported_media_type: {
    meaning: 'The body is not declared as JSON, or is compressed or otherwise encoded.',
    remedy: 'Send the header `Content-Type: application/json`, and none named `Content-Encoding`.',
  },
  idempotency_mismatch: {
    meaning: 'The same `Idempotency-Key` came with another body before.',
    remedy: 'Use a fresh key for every new request.',
  },
  internal_error: {
    meaning: 'A fault of Evergrant. Where there is a reference, the log of the server tells more under it.',
    remedy: 'Try again; if it stays, please report it with what the log says.',
  },
  upstream_refused: {
    meaning: 'The provider said no, for a reason that is not about the chain.',
    remedy: 'Read what it said in the detail and in the history of the grant.',
  },
  in_doubt: {
    meaning: 'An exchange was sent and not answered; whether the provider made it is not known yet.',
    remedy: 'Try again after `Retry-After`: it is being cleared up.',
  },
  too_early: {
    meaning: 'The provider wants time between two exchanges, and no token lives long enough for this request.',
    remedy: 'Try again after `Retry-After`, or ask for a smaller `min_ttl`.',
  },
  upstream_unavailable: {
    meaning: 'The provider does not answer, or answers with errors of its own, and no live token is left.',
    remedy: 'Try again after `Retry-After`; look at the status page of the provider if it lasts.',
  },
  recovering: {
    meaning: 'The grant is getting a new chain by itself.',
    remedy: 'Try again after `Retry-After`.',
  },
  storage_unavailable: {
    meaning: 'The database is away, full or failing. What was received meanwhile is in the journal; nothing is lost.',
    remedy: 'Ask again after the time in Retry-After. Operators: look at the database, its disk and the log.',
  },
  held: {
    meaning:
      'A newer token may stand in the journal of another node, or one may be on its way since before a restore; presenting an older one could end the chain.',
    remedy:
      'Start that node, or merge its journal: `evergrant journal merge DIR`. Otherwise ask again after the time in Retry-After.',
  },
  shutting_down: {
    meaning: 'The server takes no new work and finishes what is on the wire.',
    remedy: 'Try again in a moment.',
  },
  server_unavailable: {
    meaning:
      'A command got no answer from the server that it was told to use, a node none from its database, or a worker none from its parent, which hangs.',
    remedy: 'Start it (`evergrant serve`), or name another one: `--server`, `EVERGRANT_SERVER`, `--database-url`.',
  },
  setting: {
    meaning: 'A setting is unknown or wrong, a key or folder does not fit, or the port is taken; the detail names it.',
    remedy: 'Correct what the detail names; [settings.md](settings.md) has every setting.',
  },
  usage: {
    meaning: 'A command was given an argument or flag that it does not know, or one is missing.',
    remedy: 'See `--help` of the command.',
  },
};
