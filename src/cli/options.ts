/** Options that many commands share, made from the table of settings. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { FIELDS, flagOf, hasFlag, SETTINGS, type Setting, variableOf } from './setting-table.ts';

/** Adds every setting as a flag; `shown` names those that stand in the help. */
export function withSettings(command: Command, shown: 'all' | readonly string[]): Command {
  command.option('--config <FILE>', 'settings file (default: evergrant.yaml, where it is there)');
  for (const field of FIELDS) {
    const setting = SETTINGS[field];
    if (!hasFlag(setting)) continue;
    const option = asOption(setting);
    if (shown !== 'all' && !shown.includes(setting.name)) option.hideHelp();
    command.addOption(option);
  }
  return command;
}

/** A command that talks to the API. */
export function apiCommand(name: string, about: string): Command {
  const command = new Command(name)
    .description(about)
    .option('--server <URL>', 'the server to talk to (EVERGRANT_SERVER; default: the listen address)');
  return withSettings(command, ['data']);
}

function asOption(setting: Setting<unknown>): Option {
  const argument = setting.argument === null ? '' : ` <${setting.argument}>`;
  const about = `${setting.about.replaceAll('`', '')} (${variableOf(setting)}; default: ${setting.byDefault.replaceAll('`', '')})`;
  const option = new Option(`${flagOf(setting)}${argument}`, about);
  return setting.list ? option.argParser(collect) : option;
}

/** Gathers a repeatable option. */
export function collect(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value];
}

/** Gathers `key=value` options into one object. */
export function collectPairs(
  value: string,
  earlier: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const at = value.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Expected key=value.');
  return { ...earlier, [value.slice(0, at)]: value.slice(at + 1) };
}

/** A whole number of seconds. */
export function seconds(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('Expected a whole number of seconds.');
  return Number(value);
}
