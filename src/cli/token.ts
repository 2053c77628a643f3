/** `evergrant token`: a fresh access token and nothing else. Its plain form is read by `print-token.ts`, which is faster. */
import { type Command, Option } from 'commander';
import { apiCommand, seconds } from './options.ts';
import { FORMATS, printToken } from './print-token.ts';

export function command(): Command {
  return apiCommand('token', 'Print a fresh access token and nothing else')
    .argument('<alias>', 'alias or id of the grant')
    .option('--min-ttl <S>', 'it must live at least so many seconds', seconds)
    .option('--wait <S>', 'wait at most so many seconds for it', seconds)
    .addOption(new Option('--format <FORMAT>', 'how it is printed').choices(FORMATS).default('raw'))
    .action(printToken);
}
