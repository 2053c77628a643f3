/** The switches as a control request, a command line and the documentation spell them: snake_case, durations in seconds. */
import { z } from 'zod';
import { COUNTRIES, type SwitchName, type Switches } from './switches.ts';

const count = z.int().min(1).nullable();
const seconds = z.number().min(0);
const limit = seconds.nullable();

/** A limit that is null is none. */
export const SETTINGS = z
  .strictObject({
    spacing: seconds,
    code: seconds,
    access_token: seconds,
    idle: limit,
    absolute: limit,
    leeway: limit,
    consent: limit,
    in_use: limit,
    log_retention: limit,
    rotation: z.boolean(),
    testing: z.boolean(),
    tokens_per_user_and_app: count,
    token_calls_per_day: count,
    api_calls_per_minute: count,
    api_calls_per_day: count,
    errors_per_hour: count,
    allow_old_refresh_tokens: z.boolean(),
    spacing_exempt: z.boolean(),
    spacing_counts: z.enum(['issued', 'delivered']),
    early_refresh: z.enum(['error', 'error-and-advance', 'dead-token']),
    error_order: z.enum(['chain-first', 'spacing-first']),
    too_early_status: z.union([z.literal(400), z.literal(401)]),
    code_format: z.enum(['stamp', 'jwt', 'opaque']),
    previous_dies_on: z.enum(['successor-use', 'window', 'both']),
    country: z.enum(COUNTRIES),
  })
  .partial();

const DURATIONS: ReadonlySet<string> = new Set([
  'spacing',
  'code',
  'access_token',
  'idle',
  'absolute',
  'leeway',
  'consent',
  'in_use',
  'log_retention',
]);

/** `{spacing: 10}` of the wire is `{spacingMs: 10_000}` inside. */
export function switchesOf(given: z.infer<typeof SETTINGS>): Partial<Switches> {
  const entries = Object.entries(given).map(([name, value]) => {
    const inside = DURATIONS.has(name) && value !== null ? Number(value) * 1000 : (value ?? Number.POSITIVE_INFINITY);
    return [switchNamed(name), inside];
  });
  return Object.fromEntries(entries) as Partial<Switches>;
}

function switchNamed(name: string): string {
  const camel = name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return DURATIONS.has(name) ? `${camel}Ms` : camel;
}

/** The other way round: how a switch is called outside. */
export function settingName(name: SwitchName): string {
  return name.replace(/Ms$/, '').replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** One `NAME=VALUE` of a command line; null when it is none. */
export function settingOf(text: string): Partial<Switches> | null {
  const [, name = '', value = ''] = /^([\w-]+)=(.+)$/.exec(text) ?? [];
  const parsed = SETTINGS.safeParse({ [name.replaceAll('-', '_')]: readValue(value) });
  return name !== '' && parsed.success ? switchesOf(parsed.data) : null;
}

function readValue(text: string): unknown {
  if (text === 'none') return null;
  if (text === 'true' || text === 'false') return text === 'true';
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
