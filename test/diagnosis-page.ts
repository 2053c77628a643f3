/** docs/diagnosis.md: what a keeper says of each thing that can happen to a chain. */
import { ALIKE, EXPECTED, HAPPENINGS, PROFILES } from './diagnosis-table.ts';

export function diagnosisPage(): string {
  const rows = Object.entries(EXPECTED).map(([what, byProfile]) => {
    const cells = PROFILES.map((profile) => {
      const outcome = byProfile[profile];
      return outcome === undefined
        ? ''
        : outcome
            .split(' → ')
            .map((code) => `\`${code}\``)
            .join(' → ');
    });
    return `| ${what} | ${cells.join(' | ')} |`;
  });
  const happenings = Object.entries(HAPPENINGS).map(([name, about]) => `- ${name}: ${about}`);
  const alike = Object.entries(ALIKE).map(([name, why]) => `- ${name}: ${why}`);
  return `# Faults, and what is said of them

A provider often has one word for every dead refresh token. What Evergrant says comes from the record of the chain as
well: which token was presented, when and how often, what came back, how old it was, when the grant was authorized. The
chain keeps that for the whole life of a grant, longer than most providers keep their logs.

Each row below is done to a keeper that is joined with an emulated provider, by a test that asks for a token before and
after, and the codes are what the client saw, in order: \`token\` where it got one, the code of the diagnosis or of the
error where it did not. The last one stays. An empty cell: nothing happens there that is worth a row. \`in_doubt\` means
that a request may or may not have had its effect: the same token is presented again when the rules of the provider allow
it. \`too_early\` before another code is the short pause before a refusal is believed.

| what happens | ${PROFILES.join(' | ')} |
|---|${PROFILES.map(() => '---|').join('')}
${rows.join('\n')}

Faults are those of \`evergrant emulate --fault\`; the others are:

${happenings.join('\n')}

Some causes look the same from outside, and the record cannot tell them apart either:

${alike.join('\n')}
`;
}
