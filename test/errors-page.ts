/** docs/errors.md: every error and diagnosis of ours, with what other systems say for it. */
import { DIAGNOSES } from '../src/core/diagnosis.ts';
import { ERRORS } from '../src/core/errors.ts';
import { FOREIGN_CODES, type ForeignCode } from '../src/core/foreign-codes.ts';
import { ERROR_HELP } from './error-help.ts';

export function errorsPage(): string {
  return `# Errors and diagnoses

Every error of the API is an \`application/problem+json\` (RFC 9457) with a stable \`code\`; a command prints the same
with its remedy, and on stderr as JSON with \`--json\`. A diagnosis says why a chain stands still; it is part of the
grant, and of the error that its clients get. \`evergrant doctor ALIAS\` tells a grant's whole story, and
\`evergrant doctor --provider ID --status N --body TEXT\` reads the error text of any provider, or of any other program
of the last table.

Exit codes of commands: 0 done · 1 failed, not found or not allowed · 2 wrong usage · 3 a person is needed · 75 try
later · 78 wrong setting, key, folder, port or Node version.

## Errors

${Object.keys(ERRORS).map(errorSection).join('\n')}
## Diagnoses

A grant that is \`broken\` answers with \`authorization_required\` (HTTP 409, exit code 3) and its diagnosis; one that
waits answers with \`too_early\` or \`upstream_unavailable\` (HTTP 503, exit code 75) and its diagnosis. How each is told
from the others is the subject of [diagnosis.md](diagnosis.md).

${Object.keys(DIAGNOSES).map(diagnosisSection).join('\n')}
## What other systems say

\`POST /v1/diagnose\` and \`evergrant doctor --body\` find these codes and texts in whatever is pasted. "From memory": no
source was read, so it may be wrong. What each provider of the catalogue says stands on its own page, in
[providers](providers/).

| code or text | of | here | what it says |
|---|---|---|---|
${FOREIGN_CODES.map(foreignRow).join('\n')}
`;
}

function errorSection(code: string): string {
  const { status, exit, title } = ERRORS[code as keyof typeof ERRORS];
  const { meaning = '', remedy = '' } = ERROR_HELP[code] ?? {};
  return `### ${code}\n\n${title}. ${meaning}\n\n- HTTP status ${status}, exit code ${exit}\n- Remedy: ${remedy}\n${elsewhere(Object.hasOwn(DIAGNOSES, code) ? null : code)}`;
}

function diagnosisSection(code: string): string {
  const { cause, remedy, retry } = DIAGNOSES[code as keyof typeof DIAGNOSES];
  const passes = retry ? 'It may pass without a person.' : 'It does not pass by itself.';
  const seen = retry ? 'HTTP status 503, exit code 75' : 'HTTP status 409, exit code 3';
  return `### ${anchor(code)}\n\n${cause} ${passes}\n\n- ${seen}\n- Remedy: ${remedy}\n${elsewhere(code)}`;
}

/** A code that is an error and a diagnosis has two sections; their headings differ. */
function anchor(code: string): string {
  return Object.hasOwn(ERRORS, code) ? `${code} (diagnosis)` : code;
}

function elsewhere(code: string | null): string {
  const names = FOREIGN_CODES.filter((one) => one.means === code).map((one) => `\`${one.code}\` (${one.system})`);
  return names.length === 0 ? '' : `- Elsewhere: ${names.join(', ')}\n`;
}

function foreignRow({ code, system, means, note, source, grade, remedy }: ForeignCode): string {
  const told = [note, remedy ? `Remedy: ${remedy}` : '', grade === 'memory' ? 'From memory.' : `Source: ${source}`];
  const words = told
    .filter((word) => word !== '')
    .join(' ')
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;');
  return `| \`${code}\` | ${system} | \`${means}\` | ${words} |`;
}
