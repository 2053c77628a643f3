/**
 * The device flow (RFC 8628): a device without a browser gets a code, a person types the short one into a page, and
 * the device asks meanwhile whether it may go on.
 *
 *   waiting ──allowed──▶ approved ──asked──▶ used
 *      └──denied──▶ denied            (each of them expires)
 */
import { after, type Instant } from '../core/instant.ts';
import { authenticate } from './client-authentication.ts';
import type { Allowed } from './codes.ts';
import type { Context } from './context.ts';
import { readTokenRequest } from './token-request.ts';
import { type Outcome, refused } from './upstream.ts';
import { answer, type Reply, type EmulatorRequest, json, originOf } from './wire.ts';

const LIFE_MS = 600_000;
const INTERVAL_MS = 5_000;
/** Consonants without those that look alike, so that no word is made by accident (RFC 8628 section 6.1). */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';

/** Below the authorization endpoint; people open it, and programs that play people. */
export const VERIFICATION = 'device';

export interface DeviceRequest {
  readonly deviceCode: string;
  readonly userCode: string;
  readonly client: string;
  readonly scope: readonly string[];
  readonly realm: string;
  readonly origin: string;
  readonly expiresAt: Instant;
  intervalMs: number;
  askedAt: Instant | null;
  state: 'waiting' | 'denied' | 'used' | Allowed;
}

/** The newest so many are remembered. */
const MOST = 10_000;

export class DeviceRequests {
  readonly #byCode = new Map<string, DeviceRequest>();

  add(request: DeviceRequest): void {
    this.#byCode.set(request.deviceCode, request);
    const [oldest] = this.#byCode.keys();
    if (this.#byCode.size > MOST && oldest !== undefined) this.#byCode.delete(oldest);
  }

  get(deviceCode: string): DeviceRequest | undefined {
    return this.#byCode.get(deviceCode);
  }

  /** One that waits for a person, whatever dashes, spaces and case she types; only a test is so small as to look at all. */
  waiting(userCode: string, now: Instant): DeviceRequest | undefined {
    const plain = (code: string) => code.toUpperCase().replaceAll(/[^A-Z]/g, '');
    const isIt = (one: DeviceRequest) => one.state === 'waiting' && now < one.expiresAt;
    return [...this.#byCode.values()].find((one) => isIt(one) && plain(one.userCode) === plain(userCode));
  }
}

export function deviceEndpoint(context: Context, request: EmulatorRequest): Reply {
  if (request.method !== 'POST') return answer(405, { allow: 'POST' });
  const { upstream, devices } = context;
  const { form, switches, chance } = upstream;
  const realm = form.realm(request.headers.host ?? '', switches);
  const parsed = readTokenRequest(upstream, request, realm);
  const who = parsed && authenticate(context, parsed);
  if (!parsed || !who?.app) {
    const reason = who && !who.app ? 'client-secret-wrong' : 'malformed';
    const details = { now: context.now(), endedAt: null, basic: parsed?.basic ?? false };
    return form.refusal(reason, details, switches);
  }
  const asked = (parsed.fields.get('scope') ?? '').split(form.scope.separator).filter((one) => one !== '');
  const device: DeviceRequest = {
    deviceCode: chance.text('device code', 43),
    userCode: spelled(chance.bytes('user code', 8)),
    client: who.app.clientId,
    scope: asked.length > 0 ? asked : form.scope.byDefault,
    realm,
    origin: originOf(request),
    expiresAt: after(context.now(), LIFE_MS),
    intervalMs: INTERVAL_MS,
    askedAt: null,
    state: 'waiting',
  };
  devices.add(device);
  const place = `${device.origin}${form.paths.authorize}/${VERIFICATION}`;
  return json(200, {
    device_code: device.deviceCode,
    user_code: device.userCode,
    verification_uri: place,
    verification_uri_complete: `${place}?user_code=${device.userCode}`,
    expires_in: LIFE_MS / 1000,
    interval: INTERVAL_MS / 1000,
  });
}

function spelled(bytes: Uint8Array): string {
  const letters = [...bytes].map((byte) => LETTERS[byte % LETTERS.length]).join('');
  return `${letters.slice(0, 4)}-${letters.slice(4)}`;
}

/** The device asks. One that asks sooner than it was told has to wait five seconds more from then on. */
export function redeemDevice(
  { devices, upstream }: Context,
  deviceCode: string,
  client: string,
  now: Instant,
): Outcome {
  const device = devices.get(deviceCode);
  if (!device || device.client !== client || device.state === 'used') return refused('device-unknown');
  if (now >= device.expiresAt) return refused('device-expired', { endedAt: device.expiresAt });
  const isTooFast = device.askedAt !== null && now - device.askedAt < device.intervalMs;
  device.askedAt = now;
  if (device.state === 'denied') return refused('device-denied');
  if (isTooFast) {
    device.intervalMs += INTERVAL_MS;
    return refused('device-too-fast');
  }
  if (device.state === 'waiting') return refused('device-pending');
  const allowed = device.state;
  device.state = 'used';
  return upstream.start(allowed, now);
}
