/** Clients: made, shown, changed, removed. A secret is shown once and kept as its SHA-256; so is nothing else. */
import { hash } from 'node:crypto';
import { EvergrantError } from '../core/errors.ts';
import { type ClientId, type FamilyId, type GrantId, isId } from '../core/id.ts';
import { after, type Instant } from '../core/instant.ts';
import { type ClientSecret, type RefreshToken, Secret } from '../core/secret.ts';
import type { Grant } from '../keeper/keeper.ts';
import type { Page } from '../ports/store.ts';
import {
  type AuthMethod,
  type Client,
  clientTerms,
  type Jwks,
  readClient,
  type StoredClient,
  type TrustedIssuer,
} from './client.ts';
import type { ClientToken, ClientTokens } from './client-tokens.ts';
import { bindsTokens } from './dpop.ts';
import type { ClientEvent, ClientEvents } from './events.ts';
import { freshId, freshText, type IssuerParts } from './parts.ts';
import { isStillAllowed } from './rights.ts';
import { type ClientRotation, DURABLE, ROTATING } from './rotation.ts';

export interface NewClient {
  readonly name: string;
  readonly type?: Client['type'];
  /** Ids or aliases. */
  readonly grants: readonly string[];
  readonly apps?: readonly string[];
  readonly authMethod?: AuthMethod;
  readonly jwks?: Jwks;
  readonly redirectUris?: readonly string[];
  readonly rotation?: ClientRotation;
  readonly isDpopBound?: boolean;
  /** Thumbprint of the key that its first refresh tokens are bound to; else the first proof decides. */
  readonly dpopJkt?: string;
  readonly trustedIssuers?: readonly TrustedIssuer[];
}

export type ClientChange = Partial<Omit<NewClient, 'type' | 'authMethod' | 'dpopJkt'>>;

export interface IssuedToken {
  readonly id: FamilyId;
  readonly alias: string;
  readonly refreshToken: RefreshToken;
}

export interface Clients {
  create(wish: NewClient): Promise<{
    readonly client: Client;
    readonly secret: ClientSecret | null;
    readonly tokens: readonly IssuedToken[];
  }>;
  get(id: string): Promise<Client>;
  list(page: { readonly limit: number; readonly after: string | null }): Promise<Page<Client>>;
  /** Grants that it loses take their refresh tokens with them. */
  update(id: string, change: ClientChange): Promise<Client>;
  /** Ends all its access here at once. Gives how long the access tokens that it may have still live. */
  remove(id: string): Promise<{ readonly residualMs: number }>;
  /** A new secret; the one before works for so long yet. */
  rotateSecret(id: string, keepPreviousMs: number): Promise<ClientSecret>;
  /** `dpopJkt` as for a new client. */
  issueToken(id: string, grant: string, dpopJkt?: string): Promise<IssuedToken>;
  tokens(id: string): Promise<readonly ClientToken[]>;
  endToken(id: string, token: string): Promise<void>;
  events(id: string): Promise<readonly ClientEvent[]>;
  /** Those that may use a grant, or the first hundred of them. */
  ofGrant(grant: GrantId): Promise<readonly ClientId[]>;
  /** Whether pages of this origin are some public client's, by its redirect URIs. */
  isOfPages(origin: string): Promise<boolean>;
}

export interface ClientRegistry extends Clients {
  /** Null where there is none. */
  read(id: string): Promise<StoredClient | null>;
}

const MOST_OF_A_GRANT = 100;

/** `onChanged`: requests that were checked earlier have to be checked again. */
export function clientRegistry(
  parts: IssuerParts,
  tokens: ClientTokens,
  events: ClientEvents,
  onChanged: () => void,
): ClientRegistry {
  const { records, keeper } = parts;

  async function stored(id: string): Promise<StoredClient> {
    const found = await registry.read(id);
    if (found) return found;
    throw new EvergrantError('not_found', 'There is no such client.', {
      remedy: 'See which there are: evergrant clients list',
    });
  }

  /** Changes a client, again and again until nobody else was faster. */
  async function change(id: string, how: (client: Client) => Client): Promise<Client> {
    for (;;) {
      const { version, client } = await stored(id);
      const next = how(client);
      const written = await records.update('client', client.id, version, JSON.stringify(next), clientTerms(next));
      onChanged();
      if (written.outcome === 'written') return next;
    }
  }

  async function issue(client: Client, grant: Grant, dpopJkt: string | undefined): Promise<IssuedToken> {
    const { id, text } = await tokens.issue(client, grant.id, grant.expires.absoluteAt, 'operator', dpopJkt ?? null);
    return { id, alias: grant.alias, refreshToken: text };
  }

  const registry: ClientRegistry = {
    async create(wish) {
      const grants = await Promise.all(wish.grants.map((name) => keeper.grants.get(name)));
      const apps = await appsOf(parts, wish.apps ?? []);
      const { client, secret } = newClient(parts, wish, grants, apps);
      assertKey(client, wish.dpopJkt);
      await records.insert('client', client.id, JSON.stringify(client), clientTerms(client));
      const issued: IssuedToken[] = [];
      for (const grant of grants) issued.push(await issue(client, grant, wish.dpopJkt));
      return { client, secret, tokens: issued };
    },

    async get(id) {
      return (await stored(id)).client;
    },

    async list(page) {
      const { items, next } = await records.list('client', page);
      return { items: items.map((item) => readClient(item).client), next };
    },

    async update(id, wish) {
      const grants = wish.grants && (await Promise.all(wish.grants.map((name) => keeper.grants.get(name))));
      const apps = wish.apps && (await appsOf(parts, wish.apps));
      const client = await change(id, (before) => {
        const { name, jwks, redirectUris, rotation, isDpopBound, trustedIssuers } = { ...before, ...wish };
        const bound = grants ? idsOf(grants) : before.grants;
        const next = { ...before, name, jwks, redirectUris, rotation, isDpopBound, trustedIssuers, grants: bound };
        return checked({ ...next, apps: apps ?? before.apps });
      });
      // It is enough that the settings do not name them any more; ended, they stay so if the grant comes back.
      const lost = grants ? (await tokens.list(client.id)).filter((token) => !isStillAllowed(client, token)) : [];
      for (const { id: token } of lost) await tokens.end(token, 'revoked');
      return client;
    },

    async remove(id) {
      const { client } = await stored(id);
      const grants = [...client.grants, ...(await tokens.list(client.id)).map((token) => token.grant)];
      const lives = grants.map((grant) => keeper.tokens.peek(grant, 0)?.leftMs ?? 0);
      // The client first: without it none of its tokens is worth anything.
      await records.remove('client', client.id);
      onChanged();
      await tokens.removeAll(client.id);
      await events.forget(client.id);
      return { residualMs: Math.max(0, ...lives) };
    },

    async rotateSecret(id, keepPreviousMs) {
      const secret = newSecret(parts);
      const now = parts.clock.now();
      await change(id, (client) => {
        if (!hasSecret(client)) throw notPossible('This client has no secret.', 'Its keys are changed with PATCH.');
        const previous = client.secrets.at(-1);
        const endsAt = after(now, keepPreviousMs);
        const kept = previous && keepPreviousMs > 0 ? [{ ...previous, endsAt }] : [];
        return { ...client, secrets: [...kept, { sha256: digestOf(secret.reveal()), endsAt: null }] };
      });
      return secret;
    },

    async issueToken(id, name, dpopJkt) {
      const grant = await keeper.grants.get(name);
      const { client } = await stored(id);
      assertKey(client, dpopJkt);
      if (client.grants.includes(grant.id)) return issue(client, grant, dpopJkt);
      throw notPossible('This client may not use that grant.', 'Add the grant to the client first: PATCH its grants.');
    },

    async tokens(id) {
      return tokens.list((await stored(id)).client.id);
    },

    async endToken(id, token) {
      const { client } = await stored(id);
      const found = await tokens.get(client.id, token);
      if (!found) {
        throw new EvergrantError('not_found', 'This client has no such refresh token.', {
          remedy: "List the client's refresh tokens to see their ids.",
        });
      }
      await tokens.end(found.id, 'revoked');
    },

    async events(id) {
      return events.list((await stored(id)).client.id);
    },

    async ofGrant(grant) {
      const terms = [{ name: 'grant', value: grant }];
      const { items } = await records.list('client', { terms, limit: MOST_OF_A_GRANT, after: null });
      const named = items.map((item) => readClient(item).client.id);
      return [...new Set([...named, ...(await tokens.allowedBy(grant, MOST_OF_A_GRANT))])].slice(0, MOST_OF_A_GRANT);
    },

    async isOfPages(origin) {
      const terms = [{ name: 'origin', value: origin }];
      return (await records.list('client', { terms, limit: 1, after: null })).items.length > 0;
    },

    async read(id) {
      // An id of another form is looked up as well, so that it takes as long as any other that is not there.
      const record = await records.get('client', isId('cli', id) ? id : 'cli_');
      return record && readClient(record);
    },
  };
  return registry;
}

/** Whether it proves itself by a secret. */
export function hasSecret({ authMethod }: Pick<Client, 'authMethod'>): boolean {
  return authMethod === 'client_secret_basic' || authMethod === 'client_secret_post';
}

/** A client that wants its tokens bound to a key gets none for its secret alone, and neither does a thief of that. */
export function isSecretNotEnough(client: Pick<Client, 'authMethod' | 'isDpopBound'>): boolean {
  return client.isDpopBound && hasSecret(client);
}

export function digestOf(text: string): string {
  return hash('sha256', text, 'base64url');
}

function newSecret(parts: IssuerParts): ClientSecret {
  return new Secret('client secret', `evs_${freshText(parts)}`);
}

function newClient(
  parts: IssuerParts,
  wish: NewClient,
  grants: readonly Grant[],
  apps: readonly string[],
): { readonly client: Client; readonly secret: ClientSecret | null } {
  const authMethod = wish.authMethod ?? (wish.type === 'public' ? 'none' : 'client_secret_basic');
  const isPublic = authMethod === 'none';
  const { isDpopBound = false } = wish;
  if (wish.type !== undefined && (wish.type === 'public') !== isPublic) {
    throw notPossible('type: a public client is one whose token_endpoint_auth_method is "none".', 'Leave type out.');
  }
  const secret = hasSecret({ authMethod }) ? newSecret(parts) : null;
  const now: Instant = parts.clock.now();
  const client: Client = {
    id: freshId(parts, 'cli'),
    name: wish.name,
    type: isPublic ? 'public' : 'confidential',
    grants: idsOf(grants),
    apps,
    authMethod,
    secrets: secret ? [{ sha256: digestOf(secret.reveal()), endsAt: null }] : [],
    jwks: wish.jwks ?? null,
    redirectUris: wish.redirectUris ?? [],
    // Of what is bound to a key, no copy is worth anything: it need not change.
    rotation: wish.rotation ?? (isPublic && !isDpopBound ? ROTATING : DURABLE),
    isDpopBound,
    trustedIssuers: wish.trustedIssuers ?? [],
    createdAt: now,
  };
  return { client: checked(client), secret };
}

/** What does not go together is refused when it is set, not when it is used. */
function checked(client: Client): Client {
  const { mode, onReuse } = client.rotation;
  if (client.type === 'public' && !client.isDpopBound && (mode !== 'rotating' || onReuse !== 'revoke')) {
    throw notPossible(
      'rotation: the refresh tokens of a public client rotate, and using a dead one ends the family (RFC 9700).',
      'Leave rotation out, bind its refresh tokens to a key (dpop_bound_refresh_tokens), or make the client confidential.',
    );
  }
  const subjects = client.trustedIssuers.filter(({ subject }) => subject !== null);
  if (client.authMethod === 'private_key_jwt' && !client.jwks && subjects.length === 0) {
    throw notPossible(
      'jwks: a client with private_key_jwt needs public keys, or a trusted issuer with a subject.',
      'Send its JWK Set as jwks.',
    );
  }
  return client;
}

/** A client that sends no proofs could not use what is bound to a key. */
function assertKey(client: Client, dpopJkt: string | undefined): void {
  if (dpopJkt === undefined || bindsTokens(client)) return;
  throw notPossible(
    'dpop_jkt: the refresh tokens of this client are not bound to a key.',
    'Set dpop_bound_refresh_tokens as well, or leave dpop_jkt out.',
  );
}

function idsOf(grants: readonly Grant[]): readonly GrantId[] {
  return [...new Set(grants.map(({ id }) => id))];
}

async function appsOf({ keeper }: IssuerParts, ids: readonly string[]): Promise<readonly string[]> {
  const apps = await Promise.all([...new Set(ids)].map((id) => keeper.apps.get(id)));
  return apps.map(({ id }) => id);
}

function notPossible(detail: string, remedy: string): EvergrantError {
  return new EvergrantError('invalid_request', detail, { remedy });
}
