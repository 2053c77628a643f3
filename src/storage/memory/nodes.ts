/**
 * The nodes of a store in memory. Leases end by the clock that the store was given; without one, time stands still.
 *
 * States of a node: here (its lease lasts) → gone (it ended, or was given back) → here again by `join`.
 */
import type { NodeId } from '../../core/id.ts';
import { after, type Instant } from '../../core/instant.ts';
import type { ClusterView, NodeRun, Nodes } from '../../ports/store.ts';
import { restoredAt, restoreName } from '../restore-name.ts';

interface Row {
  readonly run: string;
  readonly folder: string;
  readonly until: Instant;
  readonly merged: number;
  readonly mergedFor: string | null;
  readonly isGivenUp: boolean;
}

export interface NodeTable {
  readonly rows: Map<NodeId, Row>;
  restores: number;
  restore: string | null;
  wokenAt: Instant | null;
}

export function holdsLease(table: NodeTable, { id, run }: NodeRun, now: Instant): boolean {
  const row = table.rows.get(id);
  return row !== undefined && row.run === run && row.until > now;
}

export function nodesIn(table: NodeTable, now: () => Instant): Nodes {
  const { rows } = table;
  const view = (): ClusterView => ({
    now: now(),
    nodes: [...rows].map(([id, { run, until, merged, mergedFor, isGivenUp }]) => {
      return { id, run, leaseLeftMs: Math.max(0, until - now()), merged, mergedFor, isGivenUp };
    }),
    restore: table.restore,
    restoredAt: restoredAt(table.restore),
    wokenAt: table.wokenAt,
  });
  const change = (id: NodeId, how: (row: Row) => Row): boolean => {
    const row = rows.get(id);
    if (row) rows.set(id, how(row));
    return row !== undefined;
  };
  return {
    async join({ id, run }, folder, leaseMs) {
      const row = rows.get(id);
      if (row && row.until > now() && row.folder !== folder && row.run !== run) return { outcome: 'in_use' };
      if (![...rows].some(([other, { until }]) => other !== id && until > now())) table.wokenAt = now();
      const { merged, mergedFor } = row ?? { merged: 0, mergedFor: null };
      rows.set(id, { run, folder, until: after(now(), leaseMs), merged, mergedFor, isGivenUp: false });
      return { outcome: 'joined', view: view() };
    },
    async beat(me, leaseMs) {
      if (!rows.has(me.id) || rows.get(me.id)?.run !== me.run) return { outcome: 'lost', view: view() };
      change(me.id, (row) => ({ ...row, until: after(now(), leaseMs) }));
      return { outcome: 'kept', view: view() };
    },
    async merged(node, upTo) {
      change(node, (row) => ({ ...row, merged: Math.max(row.merged, upTo) }));
    },
    async declareRestore() {
      table.restores += 1;
      table.restore = restoreName(now(), String(table.restores));
      return table.restore;
    },
    async mergedFor(node, restore) {
      change(node, (row) => ({ ...row, mergedFor: restore }));
    },
    giveUp: async (node) => change(node, (row) => ({ ...row, isGivenUp: true })),
    async leave({ id, run }) {
      if (rows.get(id)?.run === run) change(id, (row) => ({ ...row, until: now() }));
    },
    view: async () => view(),
  };
}
