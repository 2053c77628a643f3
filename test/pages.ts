/** The pages of docs/ that are made from code, so that they cannot say anything else than the code does. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  FIELDS,
  flagOf,
  hasFlag,
  OTHER_VARIABLES,
  SETTINGS,
  type Setting,
  variableOf,
} from '../src/cli/setting-table.ts';
import { keysOf } from '../src/cli/settings.ts';
import { emulatorPage } from './emulator-page.ts';
import { diagnosisPage } from './diagnosis-page.ts';
import { errorsPage } from './errors-page.ts';
import { PROMISES, taggedTests } from './promises.ts';
import { providerPages } from './provider-pages.ts';

const MADE = '<!-- Made by `npm run docs`; a test holds it equal to the code. -->\n';

/** Each page by its path in the repository. */
export const PAGES: Readonly<Record<string, () => string>> = {
  'docs/settings.md': settingsPage,
  'docs/diagnosis.md': () => `${MADE}\n${diagnosisPage()}`,
  'docs/errors.md': () => `${MADE}\n${errorsPage()}`,
  'docs/emulator.md': () => emulatorPage(MADE),
  'docs/promises.md': promisesPage,
  ...providerPages(MADE),
};

export function writePages(): void {
  for (const [path, make] of Object.entries(PAGES)) writeFileSync(join(import.meta.dirname, '..', path), make());
}

function settingsPage(): string {
  const rows = FIELDS.map((field) => settingRow(SETTINGS[field]));
  const others = Object.entries(OTHER_VARIABLES).map(([name, about]) => `| \`${name}\` | ${about} |`);
  return `${MADE}
# Settings

A flag beats an environment variable beats \`evergrant.yaml\` in the working folder (or the file that \`--config\` or
\`EVERGRANT_CONFIG\` names; JSON is YAML too) beats the default. An unknown or wrong setting stops the start with exit
code 78, its name and what is expected. \`evergrant config check\` tries them, \`evergrant config print\` shows each
with its source and without secrets. An empty variable counts as not set.

A secret also comes from a file: its variable with \`_FILE\`, its key with \`-file\`. Only the owner may be able to read
that file (\`chmod 600\`).

| flag | variable | in evergrant.yaml | what it is | expected | default |
|---|---|---|---|---|---|
${rows.join('\n')}

Variables that only commands read:

| variable | what it is |
|---|---|
${others.join('\n')}

Beyond loopback (\`--listen 0.0.0.0:8787\`, say) a start is refused while the public URL is http, because tokens would
travel in clear text: put a reverse proxy with TLS in front and name its https address as \`--public-url\`, or allow it
with \`--insecure-http\`.
`;
}

function settingRow(setting: Setting<unknown>): string {
  const argument = setting.argument === null ? '' : ` ${setting.argument}`;
  const flag = hasFlag(setting) ? `\`${flagOf(setting)}${argument}\`` : 'none, a secret';
  const variable = variableOf(setting);
  const variables = setting.secret ? `\`${variable}\`, \`${variable}_FILE\`` : `\`${variable}\``;
  const keys = keysOf(setting).map((key) => `\`${key}\``);
  const about = setting.list ? `${setting.about} May be repeated, or separated by commas.` : setting.about;
  return `| ${flag} | ${variables} | ${keys.join(', ')} | ${about} | ${setting.expects} | ${setting.byDefault} |`;
}

function promisesPage(): string {
  const byTag = Map.groupBy(taggedTests(), ({ tag }) => tag);
  const rows = [...byTag].map(([tag, tests]) => {
    const held = tests.map(({ name, file }) => `${escaped(name)} ([${file}](../${file}))`);
    return `| ${tag} | ${escaped(PROMISES[tag] ?? '')} | ${held.join('<br>')} |`;
  });
  return `${MADE}
# What Evergrant promises, and the tests that hold it

| number | promise | tests |
|---|---|---|
${rows.join('\n')}
`;
}

function escaped(words: string): string {
  return words.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
