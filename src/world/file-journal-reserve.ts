/**
 * Space that an append may take when the disk has none left.
 *
 * State: held, or given free; then it is made again, but a full disk is not asked for it at every append.
 */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Disk } from './file-journal-disk.ts';
import { codeOf } from './new-file.ts';

const NAME = 'reserve';
const BYTES = 1024 * 1024;
const RETRY_MS = 60_000;

interface Parts {
  readonly clock: Clock;
  readonly log: Log;
  readonly disk: Disk;
}

export class Reserve {
  readonly #path: string;
  readonly #parts: Parts;
  #isHeld = false;
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(folder: string, parts: Parts) {
    this.#path = join(folder, NAME);
    this.#parts = parts;
  }

  /** Never rejects. */
  async make(): Promise<void> {
    const { clock, log, disk } = this.#parts;
    if (this.#isHeld || clock.now() < this.#nextAt) return;
    this.#nextAt = clock.now() + RETRY_MS;
    try {
      const file = await open(this.#path, 'w', 0o600);
      try {
        await disk.write(file, Buffer.alloc(BYTES), 0);
        this.#isHeld = true;
      } finally {
        await file.close();
      }
    } catch (error) {
      log.warn('journal: no space could be reserved', { reason: codeOf(error) });
      // What was written of it would only fill the disk.
      await this.free().catch(() => undefined);
    }
  }

  async free(): Promise<void> {
    this.#isHeld = false;
    await rm(this.#path, { force: true });
  }
}
