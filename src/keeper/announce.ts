/** Tells ahead that an authorization ends and a person has to renew it: in the log, and as an event of its chain. */
import { dueAnnouncement } from '../core/announcement.ts';
import type { ChainEvent } from '../core/chain.ts';
import { toRfc3339 } from '../core/instant.ts';
import type { ChainMinder } from './minder.ts';
import type { KeeperParts } from './parts.ts';

const DAY_MS = 86_400_000;

/**
 * Announces what is due. The event is appended under the version it was decided on: however many nodes look at once, and
 * whenever one is stopped, each announcement is made once.
 */
export async function announceEnd(
  parts: Pick<KeeperParts, 'store' | 'clock' | 'log'>,
  minder: Pick<ChainMinder, 'grant' | 'upstream' | 'forget'>,
): Promise<void> {
  const { grant } = minder;
  const { policy, id: provider } = (await minder.upstream()).provider;
  if (!Number.isFinite(policy.life.absoluteMs)) return;
  for (;;) {
    const { chain, version } = await parts.store.chains.read(grant);
    const at = parts.clock.moment();
    const announcement = dueAnnouncement(chain, policy, at.at);
    if (!announcement) return;
    const announced: ChainEvent = { type: 'announced', at, announcement };
    const { outcome } = await parts.store.chains.append(grant, version, announced);
    if (outcome === 'conflict') continue;
    minder.forget();
    const { endsAt } = announcement;
    parts.log.warn('An authorization ends, and only a person can renew it.', {
      grant,
      provider,
      ends: toRfc3339(endsAt),
      days: Math.round(((endsAt - at.at) / DAY_MS) * 10) / 10,
      renew: `evergrant grants renew ${grant}`,
    });
    return;
  }
}
