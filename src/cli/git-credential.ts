/**
 * `evergrant git-credential`: git's helper protocol. Git asks with lines `name=value` on stdin, and tells how it went by
 * calling again with `store` or `erase`. A token goes to the host that it is for, and to no other that a repository names.
 */
import { hash } from 'node:crypto';
import { text as textOf } from 'node:stream/consumers';
import type { Command } from 'commander';
import { withApi } from './api.ts';
import { asObject, text } from './json.ts';
import { apiCommand } from './options.ts';
import { print } from './output.ts';

interface CredentialOptions {
  readonly host: string;
  readonly username: string;
}

export function command(): Command {
  return apiCommand('git-credential', "Give git a fresh access token: a credential helper in git's own protocol")
    .argument('<alias>', 'alias or id of the grant')
    .argument('<operation>', 'get, store or erase; git adds it')
    .requiredOption('--host <HOST>', 'the only host that gets the token, as in bitbucket.org')
    .option('--username <NAME>', 'the user name that this host wants beside a token', 'x-token-auth')
    .addHelpText(
      'after',
      "\nIn git's settings: git config credential.https://bitbucket.org.helper \\\n  '!evergrant git-credential ALIAS --host bitbucket.org'",
    )
    .action(run);
}

async function run(alias: string, operation: string, options: CredentialOptions): Promise<void> {
  const asked = read(await textOf(process.stdin));
  const isMeant = asked.get('protocol') === 'https' && asked.get('host') === options.host;
  if (!isMeant || (operation !== 'get' && operation !== 'erase')) return;
  const path = `/v1/grants/${encodeURIComponent(alias)}/token`;
  if (operation === 'get')
    return give(asObject(await withApi({ ...options }, 'none', (api) => api.call('GET', path))), options);
  // The host did not take it: whether it still lives is found out now, not at the next try.
  const refused = asked.get('password');
  if (refused === undefined) return;
  const rejected = hash('sha256', refused, 'base64url');
  await withApi({ ...options }, 'none', (api) => api.call('POST', path, { rejected })).catch(() => null);
}

function read(input: string): ReadonlyMap<string, string> {
  const pairs = input.split('\n').flatMap((line) => {
    const at = line.indexOf('=');
    return at < 1 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const];
  });
  return new Map(pairs);
}

function give(answer: ReturnType<typeof asObject>, { username }: CredentialOptions): void {
  print(`username=${username}`);
  print(`password=${text(answer, 'access_token')}`);
  const end = Date.parse(text(answer, 'expires_at'));
  if (!Number.isNaN(end)) print(`password_expiry_utc=${Math.floor(end / 1000)}`);
}
