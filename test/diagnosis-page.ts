/** docs/diagnosis.md: what a keeper says of each thing that can happen to a chain. */
import { ALIKE, EXPECTED, HAPPENINGS, PROFILES, type What } from './diagnosis-table.ts';

export function diagnosisPage(): string {
  const rows = (Object.keys(EXPECTED) as What[]).map((what) => {
    const cells = Object.values(EXPECTED[what]).map((outcome) =>
      outcome
        .split(' → ')
        .map((code) => `\`${code}\``)
        .join(' → '),
    );
    return `| ${what} | ${cells.join(' | ')} |`;
  });
  const names = Object.keys(PROFILES);
  const profiles = Object.entries(PROFILES).map(([name, about]) => `- ${name}: ${about}`);
  const happenings = Object.entries(HAPPENINGS).map(([name, about]) => `- ${name}: ${about}`);
  const alike = Object.entries(ALIKE).map(
    ([name, { codes, why }]) => `- ${name}, told as ${codes.map((code) => `\`${code}\``).join(' or ')}: ${why}`,
  );
  return `# Faults, and what is said of them

A provider often has one word for every dead refresh token. What Evergrant says comes from the record of the chain as
well: which token was presented, when and how often, what came back, how old it was, when the grant was authorized. The
chain keeps that for the whole life of a grant, longer than most providers keep their logs.

Each row below is done to a keeper that is joined with an emulated provider, by a test that asks for a token before and
after, and the codes are what the client saw, in order: \`token\` where it got one, the code of the diagnosis or of the
error where it did not. The last one stays. \`in_doubt\` means that a request may or may not have had its effect: the same
token is presented again when the rules of the provider allow it. \`too_early\` before another code is the short pause
before a refusal is believed. The codes that a client sees must be those of the cause that was injected, or stand in the
list of what looks alike below; another test holds that.

A chain that is lost stays lost until a person renews the grant: nothing signs in by itself yet.

| what happens | ${names.join(' | ')} |
|---|${names.map(() => '---|').join('')}
${rows.join('\n')}

The profiles, by what decides here:

${profiles.join('\n')}

Faults are those of \`evergrant emulate --fault\`; but for those of the sign-in pages: they meet a person, and no chain
is there yet. The others are:

${happenings.join('\n')}

Some causes look like another one from outside, and the record cannot tell them apart either:

${alike.join('\n')}
`;
}
