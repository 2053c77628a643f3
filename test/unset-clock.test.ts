import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startApp } from '../src/app.ts';
import type { Instant } from '../src/core/instant.ts';
import { systemClock } from '../src/world/system-clock.ts';
import { settingsFor } from './support/settings.ts';

test('a machine whose clock was never set starts no server, and nothing is written', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'evergrant-unset-'));
  const data = join(folder, 'data');
  const clock = { ...systemClock, now: () => 10_000 as Instant };
  await expect(startApp(settingsFor(data), 'none', { clock })).rejects.toMatchObject({
    code: 'server_unavailable',
    exitCode: 75,
    message: expect.stringContaining('1970-01-01T00:00:10') as string,
  });
  expect(existsSync(data)).toBe(false);
  rmSync(folder, { recursive: true });
});
