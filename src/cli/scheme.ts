/**
 * Grants that no person authorizes: what each scheme asks for. User names may stand in arguments; passwords and keys are
 * asked for, or come from EVERGRANT_CREDENTIAL[_FILE], for every process of the machine can read arguments.
 */
import type { Json } from './json.ts';
import { type Asker, asking } from './prompt.ts';
import { readSecret } from './settings.ts';

export const SCHEMES = ['client_credentials', 'jwt_bearer', 'password', 'api_key', 'basic'] as const;
export type SchemeName = (typeof SCHEMES)[number];

export interface CredentialOptions {
  readonly username?: string;
  readonly subject?: string;
}

interface Asks {
  readonly username: boolean;
  /** As the person is asked, and as the API calls it; null: it has none. */
  readonly secret: { readonly question: string; readonly field: 'password' | 'api_key' } | null;
}

const PASSWORD = { question: 'Password', field: 'password' } as const;
const ASKS: Readonly<Record<SchemeName, Asks>> = {
  client_credentials: { username: false, secret: null },
  jwt_bearer: { username: false, secret: null },
  password: { username: true, secret: PASSWORD },
  api_key: { username: false, secret: { question: 'API key', field: 'api_key' } },
  basic: { username: true, secret: PASSWORD },
};

/** Its credential goes to the provider's API as it is, so an app has nothing to prove. */
export const needsNoClient = (scheme: SchemeName): boolean => scheme === 'api_key' || scheme === 'basic';

/** Whether there is anything that other credentials could be. */
export const hasCredentials = (scheme: SchemeName): boolean => ASKS[scheme].secret !== null;

export function isScheme(name: string): name is SchemeName {
  return (SCHEMES as readonly string[]).includes(name);
}

/** The `credentials` of a grant; null where the scheme has none. */
export async function askCredentials(
  scheme: SchemeName,
  { username, subject }: CredentialOptions,
  ask: typeof asking = asking,
): Promise<Json | null> {
  const asks = ASKS[scheme];
  const given: Json = { ...(username ? { username } : {}), ...(subject ? { subject } : {}) };
  const secret = asks.secret;
  if (!secret) return Object.keys(given).length > 0 ? given : null;
  const kept = readSecret('CREDENTIAL', process.env);
  const isNameAsked = asks.username && !username;
  if (kept !== null && !isNameAsked) return { ...given, [secret.field]: kept };
  return ask(async (asker: Asker) => ({
    ...given,
    ...(isNameAsked ? { username: await asker.line('User name') } : {}),
    [secret.field]: kept ?? (await asker.secret(secret.question)),
  }));
}
