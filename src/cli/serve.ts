/** `evergrant serve`: the server, until a signal stops it. */
import { join } from 'node:path';
import { Command } from 'commander';
import type { RunningApp, Settings } from '../app.ts';
import { withSettings } from './options.ts';
import { printJson, say } from './output.ts';
import { type Flags, readConfiguration } from './settings.ts';
import { closeOnSignals } from './stop.ts';

export function command(): Command {
  const serve = new Command('serve').description('Run the server: API, callback, dashboard and keeper');
  return withSettings(serve, 'all')
    .addHelpText('after', '\nEvery setting is explained in docs/settings.md.')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { settings } = await readConfiguration(flags, process.env);
  const { giveBackMemory, startApp } = await import('../app.ts');
  giveBackMemory();
  const app = await startApp(settings, 'all');
  closeOnSignals(app, 'server');
  announce(app, settings, flags.json === true);
}

function announce(app: RunningApp, settings: Settings, asJson: boolean): void {
  const keyFile = settings.adminKey === null ? join(settings.dataFolder, 'admin.key') : null;
  const url = app.publicUrl;
  if (asJson) printJson({ url, listening: app.origin, data: settings.dataFolder, admin_key_file: keyFile });
  say(`Evergrant is ready: ${url}`);
  say(`Data: ${settings.dataFolder}`);
  if (keyFile === null) return;
  say(`Admin API key: ${keyFile}`);
  // Only a person may see it: stderr of a service ends up in a log.
  if (app.adminKey.isNew && process.stderr.isTTY) say(`It is shown this once: ${app.adminKey.text}`);
}
