/** A small disk of its own, which can be full: a file system in memory, where this user may mount one. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SIZE = '48m';
const BLOCK = Buffer.alloc(65_536, 1);

export interface SmallDisk {
  readonly path: string;
  fill(): void;
  free(): void;
  close(): void;
}

/** Null where nothing may be mounted. */
export function smallDisk(): SmallDisk | null {
  if (process.getuid?.() !== 0) return null;
  const path = mkdtempSync(join(tmpdir(), 'evergrant-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', path]);
  if (mounted.status !== 0) {
    rmdirSync(path);
    return null;
  }
  const filler = join(path, 'filler');
  return {
    path,
    fill() {
      try {
        for (;;) appendFileSync(filler, BLOCK);
      } catch {
        // ENOSPC: full. The rest of the last block, byte by byte less.
      }
    },
    free: () => rmSync(filler, { force: true }),
    close() {
      spawnSync('umount', ['-l', path]);
      rmdirSync(path);
    },
  };
}
