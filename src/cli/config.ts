/** `evergrant config …`: checks and shows the settings, without starting anything. */
import { Command } from 'commander';
import type { Settings } from '../app.ts';
import { withSettings } from './options.ts';
import { print, printJson, table } from './output.ts';
import { FIELDS, hostAndPort, SETTINGS } from './setting-table.ts';
import { type Configuration, type Flags, readConfiguration } from './settings.ts';

export function command(): Command {
  return new Command('config')
    .description('Check or print the settings')
    .addCommand(withSettings(new Command('check').description('Check every setting'), 'all').action(check))
    .addCommand(
      withSettings(new Command('print').description('Print every setting and where it comes from'), 'all').action(show),
    );
}

async function check(flags: Flags): Promise<void> {
  await readConfiguration(flags, process.env);
  if (flags.json === true) printJson({ ok: true });
  else print('The settings are right.');
}

async function show(flags: Flags): Promise<void> {
  const configuration = await readConfiguration(flags, process.env);
  const rows = FIELDS.map((field) => rowOf(field, configuration));
  if (flags.json === true) {
    printJson(Object.fromEntries(rows.map(({ name, value, from }) => [name, { value, from }])));
  } else {
    const cells = rows.map(({ name, value, from }) => [name, value ?? '', from].map((words) => ({ words })));
    print(table(['SETTING', 'VALUE', 'FROM'], cells));
  }
}

function rowOf(field: keyof Settings, { settings, sources }: Configuration) {
  return { name: SETTINGS[field].name, value: shown(field, settings), from: sources[field] ?? 'default' };
}

/** As it would be written; a secret only as being there. */
function shown(field: keyof Settings, settings: Settings): string | null {
  const value = settings[field];
  if (value === null) return null;
  if (SETTINGS[field].secret) return '(set)';
  if (field === 'listen') return hostAndPort(settings.listen);
  if (field === 'drainMs') return `${settings.drainMs / 1000}s`;
  return typeof value === 'object' ? Object.values(value).join(',') : String(value);
}
