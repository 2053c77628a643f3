/**
 * Writes that wait together go into one transaction, and share its fsync. A transaction begins and ends within one call,
 * so whoever reads sees what is committed, and nothing else.
 *
 * A write that throws harms no other: all is rolled back, and each is done again alone. Where the transaction cannot
 * begin (another process writes) or cannot end (the disk is full), all that were in it are rejected.
 *
 * States: idle ──write──▶ gathering (until all that is ready to write has said so) ──▶ committing, in one go ──▶ idle
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';

/** So that one commit does not keep everything else of this process waiting for long. */
const MOST_AT_ONCE = 128;

/** Who must know at once how a transaction ended. */
export interface CommitListener {
  committed(): void;
  rolledBack(): void;
}

/** For how long more may come. */
const MOST_TURNS = 16;

interface Waiting {
  readonly work: () => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class GroupCommit {
  readonly #db: DatabaseSync;
  readonly #gather: () => Promise<void>;
  readonly #listener: CommitListener | null;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollback: StatementSync;
  readonly #waiting: Waiting[] = [];
  #isGathering = false;

  /** `gather` resolves once everything that is ready to write has said so. */
  constructor(db: DatabaseSync, gather: () => Promise<void>, listener: CommitListener | null = null) {
    this.#db = db;
    this.#gather = gather;
    this.#listener = listener;
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
    this.#rollback = db.prepare('ROLLBACK');
  }

  /** Resolves once what `work` wrote is on disk. `work` may be called again after a rollback. */
  write<T>(work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let give = (): void => undefined;
    this.#waiting.push({
      work: () => {
        const result = work();
        give = () => resolve(result);
      },
      resolve: () => give(),
      reject,
    });
    if (!this.#isGathering) void this.#commitSoon();
    return promise;
  }

  /** Writes what waits, now. */
  flush(): void {
    while (this.#waiting.length > 0) this.#commitSome();
  }

  async #commitSoon(): Promise<void> {
    this.#isGathering = true;
    while (this.#waiting.length > 0) {
      await this.#gatherAll();
      this.#commitSome();
    }
    this.#isGathering = false;
  }

  /** As long as every turn brings more, the next one may too. One that is alone is held up by one turn. */
  async #gatherAll(): Promise<void> {
    for (let turn = 0, known = 0; turn < MOST_TURNS && this.#waiting.length > known; turn++) {
      known = this.#waiting.length;
      if (known >= MOST_AT_ONCE) return;
      await this.#gather();
    }
  }

  #commitSome(): void {
    const batch = this.#waiting.splice(0, MOST_AT_ONCE);
    if (batch.length === 0 || this.#commitAll(batch, batch.length > 1)) return;
    for (const one of batch) this.#commitAll([one], false);
  }

  /**
   * One transaction; true once whoever waits for it knows how it ended. Where a write throws and `mayRepeat`, nobody is
   * told and nothing was done.
   */
  #commitAll(batch: readonly Waiting[], mayRepeat: boolean): boolean {
    let isWorking = false;
    try {
      this.#begin.run();
      isWorking = true;
      for (const { work } of batch) work();
      isWorking = false;
      this.#commit.run();
    } catch (error) {
      // Some errors (a full disk) have rolled back already.
      if (this.#db.isOpen && this.#db.isTransaction) this.#rollback.run();
      this.#listener?.rolledBack();
      if (isWorking && mayRepeat) return false;
      for (const { reject } of batch) reject(error);
      return true;
    }
    this.#listener?.committed();
    for (const { resolve } of batch) resolve();
    return true;
  }
}
