/** docs/emulator.md: the tables are made from the code, so that no fault, setting or profile is left out. */
import { emulatorWithoutSocket, FAULTS, type FaultName, settingName, type Switches } from '../src/emulator.ts';

type SwitchName = keyof Switches;

const WHERE: Readonly<Record<(typeof FAULTS)[FaultName], string>> = {
  delivery: 'on the way',
  time: 'on the way',
  status: 'instead of the answer',
  answer: 'in the answer',
  server: 'in the server',
  login: 'on the sign-in pages',
};

const FAULTS_IN_WORDS: Readonly<Record<FaultName, string>> = {
  'drop-before-commit': 'The connection closes without a byte; the request had no effect.',
  'drop-after-commit': 'The tokens were issued, and the connection closes without a byte of the answer.',
  'truncate-body':
    'The body ends early, and the connection in order. `at`: after so many bytes, or `after-refresh-token`.',
  'reset-mid-body': 'The same, and the connection is reset.',
  'slow-drip': 'The answer comes 16 bytes at a time, `ms` apart.',
  hang: 'No answer comes and the connection stays open. `commit`: `after` (default) or `before` the effect.',
  'tls-error': 'A fatal TLS alert in place of an answer; the request had no effect.',
  'dns-failure':
    'Nothing reached the server: over a socket the connection closes, a simulator may say that the name is unknown.',
  delay: 'The answer comes `ms` later (1000).',
  'http-500': 'A page of HTML with this status. `commit`: `before` (default) or `after` the effect.',
  'http-502': 'The same with 502.',
  'http-503': 'The same with 503, and Retry-After if `retry_after` says so.',
  'http-429': '429 without a body, and Retry-After if `retry_after` says so. Also called `429`.',
  'spurious-chain-id': 'The token is refused as unknown although it is good; nothing changes.',
  'bad-json': 'The last brace is missing.',
  'wrong-content-type': 'The JSON says that it is HTML.',
  'omit-refresh-token': 'No refresh token in the answer, although a new one was issued.',
  'same-refresh-token': 'The token that was presented comes back, although a new one was issued.',
  'expires-in': '`as`: `string`, `number`, `missing`, or 0.',
  'omit-token-type': 'No `token_type`.',
  'form-encoded': 'The answer is a form instead of JSON.',
  'status-201': 'Success is told with 201.',
  'bit-flip': 'One bit of the refresh token is another.',
  'dead-on-arrival': 'The new refresh token is dead when it arrives.',
  'duplicate-delivery': 'The request takes effect twice. `deliver`: the `first` or the `second` answer (default).',
  'chain-reset': 'The server loses the chain before it looks at the request.',
  'consent-revoked': 'The user withdraws the consent just before.',
  'secret-rotated': 'The app gets another client secret just before.',
  'clock-skew': 'The server shows a clock that is `ms` ahead (60000) from now on.',
  'user-password-changed': 'The password of the user is another one from now on.',
  'totp-reset': 'The verification codes of the user come from another secret from now on.',
  'captcha-on-login': 'A page that programs cannot pass.',
  'login-page-changed': 'The fields of the form have other names.',
};

const SWITCHES_IN_WORDS: Readonly<Record<SwitchName, string>> = {
  spacingMs: 'least time between two exchanges',
  codeMs: 'life of an authorization code',
  accessTokenMs: 'life of an access token',
  idleMs: 'life of a refresh token that is not used; changes reach tokens that are out',
  absoluteMs: 'life of a chain, however often it is used',
  leewayMs: 'how long a spent refresh token may come again',
  consentMs: 'how long a consent lasts',
  rotation: 'whether an exchange gives a new refresh token',
  tokensPerUserAndApp: 'refresh tokens of one user and app; the oldest goes silently',
  tokenCallsPerDay: 'token requests of one user and app in a day',
  apiCallsPerMinute: 'API calls of one app and company in a minute',
  apiCallsPerDay: 'API calls of one app and company in a day',
  errorsPerHour:
    'refused token requests of one user and app in an hour, before it is blocked for an hour, then two, then four',
  allowOldRefreshTokens: 'the app may use every refresh token that it ever had',
  spacingExempt: 'the app may exchange as often as it likes',
  spacingCounts: 'whether spacing counts from every issue (`issued`) or from answers that arrived (`delivered`)',
  earlyRefresh: 'what a request that is too early gives: `error`, `error-and-advance`, `dead-token`',
  errorOrder: 'which of two errors is told: `chain-first` or `spacing-first`',
  tooEarlyStatus: '400 (as seen) or 401 (as documented)',
  codeFormat: 'the look of a code: `stamp`, `jwt`, `opaque`',
  previousDiesOn: 'what ends a spent token: `successor-use`, `window`, or `both`, the earlier',
  inUseMs: 'life of a refresh token from its first use',
  country:
    'nl, be, de, fr, es, uk, us; a token of one is unknown at another. `http://be.localhost:PORT` is Belgium whatever this says',
  logRetentionMs: 'how far back the log of the tenant goes',
  testing: 'the consent screen is in testing: refresh tokens end after seven days',
};

const PROFILES: Readonly<Record<string, string>> = {
  'exact-online':
    'Exact Online: ten minutes in use, 570 s of spacing, 200 token requests a day, one chain of a user and app, its literal errors.',
  auth0:
    'Auth0: families, leeway, idle and absolute life, 200 tokens, the tenant’s log at `/api/v2/logs` and app settings at `/api/v2/clients/{id}` (token: `client_credentials`).',
  truelayer:
    'TrueLayer: one durable token, 30 sliding days within a consent of 90, only the last access token good, one answer to everything.',
  'truelayer-2019': 'TrueLayer until 2019: each refresh token good for one use.',
  google: 'Google: tokens do not rotate, the newest 100 of a user and app live; offline and consent must be asked for.',
  'google-50': 'The same with the 50 of older documentation.',
  xero: 'Any other provider, by its file: here rotation with 30 minutes of grace.',
};

const switchesOf = (provider: string) => emulatorWithoutSocket(provider).settable;

export function emulatorPage(made: string): string {
  const faults = (Object.keys(FAULTS) as FaultName[]).map(
    (name) => `| \`${name}\` | ${WHERE[FAULTS[name]]} | ${FAULTS_IN_WORDS[name]} |`,
  );
  const profiles = Object.entries(PROFILES).map(([name, about]) => `| \`${name}\` | ${about} |`);
  const forms = Object.keys(PROFILES).filter((name) => !/-\d+$/.test(name));
  const takes = new Map(forms.map((name) => [name, switchesOf(name)]));
  const settings = (Object.keys(SWITCHES_IN_WORDS) as SwitchName[]).map((name) => {
    const having = forms
      .filter((form) => takes.get(form)?.includes(name))
      .map((form) => (form === 'xero' ? 'any other' : form));
    const where = having.length === forms.length ? 'all' : having.join(', ');
    return `| \`${settingName(name)}\` | ${SWITCHES_IN_WORDS[name]} | ${where} |`;
  });
  return `${made}
# The emulator

An upstream authorization server for tests, on this machine, with the rules of a real provider: sign-in pages, codes,
token endpoint, API, and the ways in which all of that fails. Every provider of
the catalogue can be emulated, and any other by a provider file. It tells why a client lost its chain, which no real provider does.

It is not the real thing: what is only inferred about a provider is played as inferred. It serves loopback, over http or
with a certificate over https, keeps everything in memory, and no real password belongs into its pages.

## As a command

\`\`\`sh
npx evergrant emulate exact-online --port 9400          # or any provider, or ./my-provider.json
npx evergrant emulate auth0 --set leeway=30 --fault drop-after-commit=0.1 --seed 7
npx evergrant emulate google-50 --speed 60 --json       # an hour passes in a minute
\`\`\`

It prints the client id and secret, a user with password and verification secret, the control address with its key, and
writes a provider file for \`evergrant serve --providers\`. \`--speed N\` divides every duration by N. The same seed and
the same requests give the same bytes, faults by chance included.

## In a test

\`\`\`ts
import { emulator } from 'evergrant/emulator';

await using server = await emulator('auth0', { switches: { leewayMs: 30_000 } });
const { refreshToken } = server.control.grant();        // as if a user had just said yes
\`\`\`

\`server.baseUrl\`, \`clientId\`, \`clientSecret\`, \`user\` and \`providerFile\` are what a client needs. At the end of
the block the server is gone; without \`using\`, call \`close()\`. \`server.control\` has everything of the control address
as methods, among them \`advance(ms)\`, \`addFaults([…])\`, \`preselect({ decision: 'approve', user: null, once: true })\`,
\`change({ idleMs: … })\`, \`revoke()\`, \`ledger()\`, \`report()\`, \`reset()\`. \`emulatorWithoutSocket\` is the same as a
function from request to answer, for simulators with a clock of their own.

## Over https

\`--tls-cert FILE --tls-key FILE\` (PEM), or \`tls: { cert, key }\` in code: every address it names begins with https. Tell
the client to trust the certificate, for Node by \`NODE_EXTRA_CA_CERTS=FILE\`:

\`\`\`sh
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout key.pem -out cert.pem \\
  -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1
npx evergrant emulate xero --port 9400 --tls-cert cert.pem --tls-key key.pem
\`\`\`

## Clients that sign: private_key_jwt

An app that has public keys (\`jwks\` in code for the app that is there, or in \`POST apps\`) proves itself by a client
assertion (RFC 7523), at any provider; its secret is good for nothing. RS256, PS256, ES256 and EdDSA. The assertion must
name the client in \`iss\` and \`sub\`, the token endpoint or the issuer in \`aud\`, have an \`exp\` that lies ahead but at
most an hour, and a \`jti\` that no other assertion of the app has had until its \`exp\`. The wire says \`invalid_client\` to
all of these; the ledger says which it was.

## Grants without an authorization

\`client_credentials\` where the provider file has it among its \`grant_types_supported\` or under \`credentials\`, \`password\` and
JWT bearer (RFC 7523, section 2.1: an assertion as above, about the app or a user) where it is under \`credentials\`. Their
access tokens reach the API; there are no refresh tokens. The wire says \`invalid_grant\` to a wrong password or assertion, the
ledger which it was.

## Devices: RFC 8628

Where the provider file has a \`device_authorization_endpoint\` (of the catalogue: google, github-app, microsoft-entra). The
code is typed at \`verification_uri\`, then the usual pages follow; after \`POST authorize {approve}\`, opening
\`verification_uri_complete\` is enough. Codes live ten minutes; who asks more often than every five seconds is told to
\`slow_down\`, and waits five seconds more from then on. Neither is divided by \`--speed\`.

## In CI

Start it as a step of its own, wait for the line of \`--json\`, and hand its fields to the tests:

\`\`\`sh
npx evergrant emulate exact-online --port 9400 --seed ci --json > emulator.json &
timeout 20 sh -c 'until [ -s emulator.json ]; do sleep 0.1; done'
CLIENT_SECRET=$(jq -r .client_secret emulator.json) npm test
\`\`\`

## Profiles

| name | what it plays |
|---|---|
${profiles.join('\n')}

A provider file decides by its \`policy\`; its JSON Pointers give the answers their form and its \`errors\` the wording of
refusals, else RFC 6749 has it. An issuer is found by discovery and signs id_tokens (RS256).

## Settings

\`--set NAME=VALUE\`, \`POST settings\`, or \`switches\` in code (there in camelCase; durations in milliseconds with \`Ms\`
at the end). Durations here are in seconds, \`none\` or null is no limit. They take effect at once.

| name | what it is | who has it |
|---|---|---|
${settings.join('\n')}

## Control address

Under \`/_emu\`, JSON in and out, \`Authorization: Bearer CONTROL_KEY\`. Times in seconds, instants in RFC 3339.

| request | does |
|---|---|
| \`GET state\` | clock, settings, apps, users, families, faults that wait |
| \`GET ledger\` | every request with what was decided and why in truth; tokens as fingerprints. The last 50,000 |
| \`GET report\` | why each lost chain was lost, in words; with \`Accept: text/plain\` as a text |
| \`POST clock {advance}\` or \`{set}\` | moves the server’s clock |
| \`POST faults {fault, match?, times?, …}\`, or a list | queues faults; \`match\`: \`endpoint\` (token, api, authorize, login), \`user\`, \`app\`, \`n\` |
| \`POST authorize {approve}\`, \`{deny}\`, \`{narrow}\`, \`{interactive}\` | what the next authorizations meet: \`true\`, or \`{user?, once?}\`; \`narrow\` allows less than was asked, \`scope\` says what |
| \`POST grant {user?, app?, scope?}\` | tokens without pages and codes |
| \`POST expire {tokens?, user?}\` | lets refresh tokens, access tokens or codes run out |
| \`POST revoke {user?, app?}\` | the user withdraws the consent |
| \`POST settings {…}\` | the settings above |
| \`POST users {username, password?, name?, country?}\`, \`POST apps {name, redirect_uris, jwks?}\` | adds one; the answer has its secrets. An account with a country is unknown at the hosts of others (Exact Online) |
| \`POST reset {}\` | back to the first moment |

A report reads like this:

> family-1 of emma.devries@example.com: Token 1 of emma was presented again 12 minutes after token 2 had been used by an
> API call; from then on only newer tokens count. Token 2 is still good: whoever holds it can go on.

## Faults

By chance at the token endpoint (\`--fault NAME=RATE\`), or queued for a request. Before the effect, after it, in the
middle of the body.

| name | where | what happens |
|---|---|---|
${faults.join('\n')}

## Memory

Used refresh tokens are never forgotten, since "used before" and "never seen" are different answers: under 1 KB for each
exchange (0.8 KB at Exact Online, whose tokens are long), outside of the heap that is collected. Of the ledger the last
50,000 requests are kept, of codes the last 100,000, of Auth0’s log the last 10,000 entries.

## Speed

An exchange costs about twice the processor time of an answer of a bare \`node:http\` server that parses JSON and answers
JSON of the same size; it hardly depends on how many chains there are, from 10 to 100,000, and not on how long they are.
\`node bench/emulator.ts\` measures it on your machine, beside \`oidc-provider\`.
`;
}
