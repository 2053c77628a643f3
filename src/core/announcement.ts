/**
 * The end of an authorization that nothing but a person can prevent, told ahead: some weeks, a week and a day before.
 * Which of these are due, and which were made, follows from the chain alone.
 */
import type { Chain } from './chain.ts';
import type { Announcement } from './chain-event.ts';
import { after, type Instant } from './instant.ts';
import type { RotationPolicy } from './rotation-policy.ts';

const DAY_MS = 86_400_000;
const LEADS_MS = [30 * DAY_MS, 7 * DAY_MS, DAY_MS] as const;
/** Lives that are shorter have shorter leads, in proportion. */
const WHOLE_LIFE_MS = 90 * DAY_MS;
/** The provider may count from a little earlier than the keeper can know. */
const MARGIN_MS = 120_000;

/** When the present authorization ends, however much it is used; null where nothing limits it, or it has ended. */
export function absoluteEnd(chain: Chain, { life }: RotationPolicy): Instant | null {
  if (chain.end || !chain.authorizedAt || !Number.isFinite(life.absoluteMs)) return null;
  return after(chain.authorizedAt.at, life.absoluteMs);
}

/** How long before the end it is announced, longest first. */
function leadsOf({ life }: RotationPolicy): readonly number[] {
  const share = Math.min(1, life.absoluteMs / WHOLE_LIFE_MS);
  return LEADS_MS.map((leadMs) => Math.floor(leadMs * share));
}

/** From then on a person should know. */
export function firstLeadMs(policy: RotationPolicy): number {
  return leadsOf(policy)[0] ?? 0;
}

/**
 * What is to be announced now. Of several that are due, only the last: late ones would tell nothing new. Nothing while the
 * chain is held: a newer authorization may lie in a journal.
 */
export function dueAnnouncement(chain: Chain, policy: RotationPolicy, now: Instant): Announcement | null {
  const endsAt = absoluteEnd(chain, policy);
  if (endsAt === null || chain.hold || now >= endsAt) return null;
  const leadMs = leadsOf(policy).findLast((lead) => now >= endsAt - lead);
  return leadMs !== undefined && leadMs < toldMs(chain, endsAt) ? { endsAt, leadMs } : null;
}

/** When the next one is due, perhaps in the past; null: none will be. */
export function announceAt(chain: Chain, policy: RotationPolicy, now: Instant): Instant | null {
  const endsAt = absoluteEnd(chain, policy);
  if (endsAt === null || chain.hold || now >= endsAt) return null;
  const leadMs = leadsOf(policy).find((lead) => lead < toldMs(chain, endsAt));
  return leadMs === undefined ? null : after(endsAt, -leadMs);
}

/** The shortest lead with which this end was announced; one of another end, by other rules, does not count. */
function toldMs({ announced }: Chain, endsAt: Instant): number {
  return announced?.endsAt === endsAt ? announced.leadMs : Number.POSITIVE_INFINITY;
}

/** Whether somebody who read what was announced knew that a person would be needed by then. */
export function wasAnnounced({ announced }: Chain, at: Instant): boolean {
  return announced !== undefined && at >= announced.endsAt - Math.min(MARGIN_MS, announced.leadMs);
}
