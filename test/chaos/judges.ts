/** What must hold of every world that was harmed, by the provider's ledger, the histories, and what clients were told. */
import type { Account } from './account.ts';
import type { Client } from './client.ts';
import type { World } from './world.ts';

/** Nodes hear of each other's exchanges within this time, or when they are thawed and look. */
const HEARD_WITHIN_MS = 10_000;

export function judge(world: World, accounts: readonly Account[]): readonly string[] {
  const clients = new Map(world.clients.map((client) => [client.ring.alias, client]));
  return [
    ...accounts.flatMap((account) => [
      ...hiddenCalls(account),
      ...doublePublications(account),
      ...earlyCalls(account),
      ...openAttempts(account),
      ...wrongTokens(world, account, clients.get(account.ring.alias)),
    ]),
    ...leaks(world),
  ];
}

/** Every request to the token endpoint is in the history. */
function hiddenCalls({ ring, presentations }: Account): readonly string[] {
  return presentations
    .filter(({ attempt }) => attempt === null)
    .map(({ entry }) => `${ring.alias}: the request of ${entry.time} (entry ${entry.n}) is not in the history`);
}

function doublePublications({ ring, history, attempts }: Account): readonly string[] {
  const published = history.filter((one) => one.type === 'published');
  const wrongs: string[] = [];
  const seen = new Set<string>();
  let newest = { generation: 0, version: 0 };
  for (const { link, version, generation } of published) {
    if (link === null || seen.has(link)) wrongs.push(`${ring.alias}: ${link} was published twice (event ${version})`);
    seen.add(link ?? '');
    const started = attempts.find((one) => one.link === link)?.version ?? 0;
    const isOlder = generation === newest.generation && started < newest.version;
    if (isOlder) wrongs.push(`${ring.alias}: ${link} was published after a newer one (event ${version})`);
    newest = { generation, version: started };
  }
  return wrongs;
}

/** "Too early" is only heard where an answer that was lost may have been an exchange. */
function earlyCalls({ ring, presentations }: Account): readonly string[] {
  const wrongs: string[] = [];
  let isInDoubt = false;
  for (const { entry, attempt } of presentations) {
    if (entry.reason === 'too-early' && !isInDoubt) {
      wrongs.push(`${ring.alias}: entry ${entry.n} of ${entry.time} was too early, and nothing was in doubt`);
    }
    isInDoubt = attempt?.outcome !== 'tokens' && (isInDoubt || entry.issued.length > 0);
  }
  return wrongs;
}

function openAttempts({ ring, attempts }: Account): readonly string[] {
  return attempts
    .filter((one) => one.outcome === null)
    .map((one) => `${ring.alias}: ${one.link} of ${new Date(one.at).toISOString()} is still open at the end`);
}

/** Each token that was served is one of this account, was published, lived, and none is older than one served before. */
function wrongTokens(world: World, account: Account, client: Client | undefined): readonly string[] {
  if (!client) return [];
  const { ring, presentations, authorizations, history } = account;
  const issues = [
    ...authorizations.map((entry) => ({ entry, link: null })),
    ...presentations.map(({ entry, attempt }) => ({ entry, link: attempt?.link ?? null })),
  ].flatMap(({ entry, link }) =>
    entry.issued.map((one) => [one, { n: entry.n, at: Date.parse(entry.time), link }] as const),
  );
  const issued = new Map(issues);
  const published = new Set(history.filter((one) => one.type === 'published').map((one) => one.link));
  const lifeMs = ring.provider.policy.life.accessTokenMs ?? Number.POSITIVE_INFINITY;
  const wrongs: string[] = [];
  const newest: { readonly n: number; readonly answeredMs: number; readonly node: unknown }[] = [];
  for (const one of client.served.toSorted((a, b) => a.answeredMs - b.answeredMs)) {
    const issue = issued.get(one.fingerprint);
    const when = new Date(one.at).toISOString();
    if (!issue) {
      wrongs.push(`${ring.alias}: a token served at ${when} was never issued to this account`);
      continue;
    }
    if (issue.link !== null && !published.has(issue.link)) {
      wrongs.push(`${ring.alias}: the token of entry ${issue.n} was served at ${when} and never published`);
    }
    if (world.time.realMs(issue.at, one.at) === one.at - issue.at && one.at - issue.at > lifeMs) {
      wrongs.push(`${ring.alias}: the token of entry ${issue.n} was served at ${when}, when it was over`);
    }
    const isOlder = newest.some(({ n, answeredMs, node }) => {
      const apartMs = node === one.node ? 0 : HEARD_WITHIN_MS;
      return n > issue.n && answeredMs + apartMs < one.askedMs;
    });
    // Who heard nothing from the others for a while serves what lives.
    const heardNothing = world.nodes.length > 1 && world.wasAway(one.node, one.askedMs - HEARD_WITHIN_MS, one.askedMs);
    if (isOlder && !heardNothing)
      wrongs.push(`${ring.alias}: the token of entry ${issue.n} was served at ${when}, after a newer one`);
    const last = newest.at(-1);
    if (last?.n !== issue.n || last.node !== one.node)
      newest.push({ n: issue.n, answeredMs: one.answeredMs, node: one.node });
  }
  return wrongs;
}

/** No secret is in what the servers printed. */
function leaks(world: World): readonly string[] {
  const secrets = [...world.secrets, ...world.clients.flatMap(({ tokens }) => [...tokens])];
  const printed = world.nodes.map(({ output }) => output).join('\n');
  const found = secrets.filter((secret) => printed.includes(secret));
  // How the emulator's refresh tokens look; clients never see one.
  const looksLikeOne = /\b[ra]t\.[\w-]{64}/.exec(printed);
  return [
    ...(found.length > 0 ? [`${found.length} secrets are in the log`] : []),
    ...(looksLikeOne ? ['a token is in the log'] : []),
  ];
}
