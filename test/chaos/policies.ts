/** The rules that real servers are harmed under: one provider of each class of policy. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseProvider } from '../../src/catalogue/parse.ts';
import { classOf, type PolicyClass, type RotationPolicy } from '../../src/core/rotation-policy.ts';
import { type Emulator, emulator } from '../../src/emulator.ts';
import type { Switches } from '../../src/emulator.ts';
import type { ShiftedClock } from '../support/shifted-clock.ts';

/** Short, so that every chain wants an exchange after a small jump of time. */
const ACCESS_MS = 600_000;

/** No provider is known to keep the last three: its file is made up. */
const LAST_THREE = {
  id: 'last-three',
  name: 'Last three',
  authorization_endpoint: 'https://last-three.example/authorize',
  token_endpoint: 'https://last-three.example/token',
  token_endpoint_auth_methods: ['client_secret_post'],
  policy: {
    rotate: { mode: 'always' },
    overlap: { window: null, depth: 3 },
    on_reuse: { refresh: 'reject', access: 'keep' },
    life: { access_token: 600 },
  },
};

interface Spec {
  readonly emulated: string;
  readonly class: PolicyClass['class'];
  readonly switches?: Partial<Switches>;
  /** What is asked of the API; where not said, its first address. */
  readonly api?: string;
}

const SPECS = {
  durable: { emulated: 'google', class: 'durable' },
  window: { emulated: 'auth0', class: 'window', switches: { leewayMs: 60_000 } },
  'until-successor-used': { emulated: 'silverfin', class: 'until-successor-used' },
  'exact-online': {
    emulated: 'exact-online',
    class: 'until-successor-used-within',
    api: '/api/v1/current/Me',
  },
  'last-n': { emulated: 'last-three.json', class: 'last-n' },
  'one-time': { emulated: 'truelayer-2019', class: 'one-time' },
  'one-time-revoking': { emulated: 'airtable', class: 'one-time-revoking' },
} as const satisfies Record<string, Spec>;

export type PolicyName = keyof typeof SPECS;
export const POLICY_NAMES = Object.keys(SPECS) as readonly PolicyName[];

/** A provider that is up, with the rules that a keeper is told of. */
export interface Provider {
  readonly name: PolicyName;
  readonly emulator: Emulator;
  readonly policy: RotationPolicy;
  /** Calls the API once with this access token, and says whether it was taken. */
  accepts(accessToken: string): Promise<boolean>;
}

/** Starts it, and writes its file into `folder/providers` for the servers. */
export async function startProvider(
  name: PolicyName,
  { folder, seed, clock }: { readonly folder: string; readonly seed: string; readonly clock: ShiftedClock },
): Promise<Provider> {
  const spec: Spec = SPECS[name];
  const own = join(folder, LAST_THREE.id);
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'last-three.json'), JSON.stringify(LAST_THREE));
  const emulated = await emulator(spec.emulated.endsWith('.json') ? join(own, spec.emulated) : spec.emulated, {
    seed: `${seed} ${name}`,
    clock,
    sleep: (ms) => clock.sleep(ms),
    switches: { accessTokenMs: ACCESS_MS, ...spec.switches },
  });
  mkdirSync(join(folder, 'providers'), { recursive: true });
  writeFileSync(join(folder, 'providers', `${name}.json`), JSON.stringify(emulated.providerFile));
  const { policy } = parseProvider(name, emulated.providerFile, 'local');
  const { class: found } = classOf(policy);
  if (found !== spec.class) throw new Error(`${spec.emulated} has rules of the class ${found}, not ${spec.class}`);
  return { name, emulator: emulated, policy, accepts: (token) => callApi(emulated, spec, token) };
}

async function callApi({ handle, baseUrl, providerFile }: Emulator, { api }: Spec, token: string): Promise<boolean> {
  const [first] = providerFile.api_base_urls as readonly string[];
  const url = api ?? new URL(first ?? baseUrl).pathname;
  const headers = { host: new URL(baseUrl).host, authorization: `Bearer ${token}` };
  const { status } = await handle({ method: 'GET', url, headers, body: new Uint8Array() });
  if (status === 404) throw new Error(`${url} is not an address of this API`);
  return status !== 401;
}
