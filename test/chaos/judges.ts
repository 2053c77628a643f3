/** What must hold of every world that was harmed, by the provider's ledger, the histories, and what clients were told. */
import type { LedgerEntry } from '../../src/emulator.ts';
import type { Account } from './account.ts';
import type { Served } from './client.ts';

/** Nodes hear of each other's exchanges within this time, or when they are thawed and look. */
const HEARD_WITHIN_MS = 10_000;
/** How far the clock of a server may be from the provider's. */
const CLOCKS_APART_MS = 1_000;

/** What is known of a world besides the accounts of its grants. */
export interface Evidence {
  /** Each request to a token endpoint. */
  readonly ledgers: readonly (readonly LedgerEntry[])[];
  /** What the client of a grant was given. */
  readonly served: (alias: string) => readonly Served[];
  readonly nodes: number;
  /** Whether a node could do nothing for some time between the two, by this process's own clock. */
  readonly wasAway: (node: Served['node'], fromMs: number, toMs: number) => boolean;
  /** What nobody may read. */
  readonly secrets: readonly string[];
  /** Files and logs. */
  readonly leftBehind: readonly { readonly where: string; readonly bytes: Buffer }[];
}

export function judge(evidence: Evidence, accounts: readonly Account[]): readonly string[] {
  return [
    ...accounts.flatMap((account) => [
      ...hiddenCalls(account),
      ...madeUpAnswers(account),
      ...doublePublications(account),
      ...earlyCalls(account),
      ...twoAtOnce(account),
      ...hastyEnds(account),
      ...openAttempts(account),
      ...wrongTokens(evidence, account),
    ]),
    ...strangers(evidence),
    ...imaginedRestores(evidence),
    ...leaks(evidence),
  ];
}

/** Every request to the token endpoint is in the history. */
function hiddenCalls({ ring, presentations }: Account): readonly string[] {
  return presentations
    .filter(({ attempt }) => attempt === null)
    .map(({ entry }) => `${ring.alias}: the request of ${entry.time} (entry ${entry.n}) is not in the history`);
}

/** And every answer in the history was given. */
function madeUpAnswers({ ring, presentations, attempts }: Account): readonly string[] {
  const answered = new Set(presentations.map(({ attempt }) => attempt?.link));
  return attempts
    .filter((one) => one.outcome === 'tokens' && !answered.has(one.link))
    .map((one) => `${ring.alias}: the history tells of an answer to ${one.link}, and the provider gave none`);
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
    const isOlder = generation === newest.generation ? started < newest.version : generation < newest.generation;
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

/** An exchange begins when the one before it has ended, or was given up. */
function twoAtOnce({ ring, attempts }: Account): readonly string[] {
  return attempts.flatMap((one) =>
    attempts
      .filter((other) => other.version < one.version && (other.closed ?? Number.POSITIVE_INFINITY) > one.version)
      .map((other) => `${ring.alias}: ${one.link} was begun while ${other.link} was under way`),
  );
}

/** No chain is called broken while an answer may come. */
function hastyEnds({ ring, attempts, history }: Account): readonly string[] {
  return history
    .filter(({ type }) => type === 'broken')
    .flatMap(({ version }) =>
      attempts
        .filter((one) => one.version < version && (one.closed ?? Number.POSITIVE_INFINITY) > version)
        .map((one) => `${ring.alias}: was called broken (event ${version}) while ${one.link} was under way`),
    );
}

function openAttempts({ ring, attempts }: Account): readonly string[] {
  return attempts
    .filter((one) => one.outcome === null)
    .map((one) => `${ring.alias}: ${one.link} of ${new Date(one.at).toISOString()} is still open at the end`);
}

interface Issue {
  readonly n: number;
  readonly at: number;
  /** Null: of an authorization. */
  readonly link: string | null;
}

/**
 * Each token that was served is one of this account, was published, lived when it was asked for, was taken by the API
 * when it was new, and none is older than one that was served before.
 */
function wrongTokens(evidence: Evidence, account: Account): readonly string[] {
  const { ring, history } = account;
  const issues = issuesOf(account);
  const published = new Set(history.filter((one) => one.type === 'published').map((one) => one.link));
  const lifeMs = ring.provider.policy.life.accessTokenMs ?? Number.POSITIVE_INFINITY;
  const newest: { readonly n: number; readonly answeredMs: number; readonly node: unknown }[] = [];
  const wrongs: string[] = [];
  for (const one of evidence.served(ring.alias).toSorted((a, b) => a.answeredMs - b.answeredMs)) {
    const issue = issues.get(one.fingerprint);
    const wrong = (what: string) =>
      wrongs.push(
        `${ring.alias}: the token of entry ${issue?.n} was served at ${new Date(one.at).toISOString()}${what}`,
      );
    if (!issue) {
      wrong(' and was never issued to this account');
      continue;
    }
    if (issue.link !== null && !published.has(issue.link)) wrong(' and never published');
    // A process that stood still hears what time it is together with what it was asked meanwhile, in any order.
    const stoodStill = evidence.wasAway(one.node, one.askedMs - CLOCKS_APART_MS, one.answeredMs);
    const overMs = one.askedAt - issue.at - lifeMs;
    if (!stoodStill && overMs > CLOCKS_APART_MS) {
      wrong(` by ${one.node.name}, when it was over for ${Math.round(overMs / 1000)} s`);
    }
    const isReplaced = [...issues.values()].some(({ n, at }) => n > issue.n && at <= one.at + CLOCKS_APART_MS);
    const isOver = one.at - issue.at > lifeMs - CLOCKS_APART_MS;
    if (one.isTaken === false && !isReplaced && !isOver) wrong(', and the API refused it');
    const isOlder = newest.some(({ n, answeredMs, node }) => {
      const apartMs = node === one.node ? 0 : HEARD_WITHIN_MS;
      return n > issue.n && answeredMs + apartMs < one.askedMs;
    });
    // Who heard nothing from the others for a while serves what lives.
    const heardNothing = evidence.nodes > 1 && evidence.wasAway(one.node, one.askedMs - HEARD_WITHIN_MS, one.askedMs);
    if (isOlder && !heardNothing) wrong(', after a newer one');
    const last = newest.at(-1);
    if (last?.n !== issue.n || last.node !== one.node)
      newest.push({ n: issue.n, answeredMs: one.answeredMs, node: one.node });
  }
  return wrongs;
}

/** Tokens by their fingerprints. */
function issuesOf({ presentations, authorizations }: Account): ReadonlyMap<string, Issue> {
  const issues = [
    ...authorizations.map((entry) => ({ entry, link: null })),
    ...presentations.map(({ entry, attempt }) => ({ entry, link: attempt?.link ?? null })),
  ].flatMap(({ entry, link }) =>
    entry.issued.map((one): [string, Issue] => [one, { n: entry.n, at: Date.parse(entry.time), link }]),
  );
  return new Map(issues);
}

/** Nothing is presented that belongs to nobody. */
function strangers({ ledgers }: Evidence): readonly string[] {
  return ledgers
    .flat()
    .filter((one) => one.user === null)
    .map((one) => `entry ${one.n} of ${one.time} presents what the provider never gave (${one.reason})`);
}

const RESTORED = 'The store is older than what is remembered of it';

/** No store of these worlds ever goes back. A server that believes so lets chains wait. */
function imaginedRestores({ leftBehind }: Evidence): readonly string[] {
  return leftBehind
    .filter(({ bytes }) => bytes.includes(RESTORED))
    .map(({ where }) => `${where} tells of a restore of the store, and there was none`);
}

/** How the emulator's refresh tokens look; clients never see one. */
const LIKE_A_TOKEN = /\b[ra]t\.[\w-]{64}/;

/** No secret is in what the servers printed or left on disk. */
function leaks({ secrets, leftBehind }: Evidence): readonly string[] {
  return leftBehind.flatMap(({ where, bytes }) => [
    ...(secrets.some((secret) => bytes.includes(secret)) ? [`a secret is in ${where}`] : []),
    ...(LIKE_A_TOKEN.test(bytes.toString('latin1')) ? [`a token is in ${where}`] : []),
  ]);
}
