/** `/v1/diagnose`: what an answer of a token endpoint means that somebody shows us. Nothing of it is kept or repeated. */
import { z } from 'zod';
import type { Provider } from '../catalogue/provider.ts';
import { STANDARD_TOKEN_RESPONSE } from '../catalogue/standard.ts';
import { EvergrantError } from '../core/errors.ts';
import type { AnswerShape, RawAnswer } from '../oauth/token-response.ts';
import { diagnoseAnswer, type Finding } from '../oauth/diagnose-answer.ts';
import type { HttpParts, Routes } from './parts.ts';
import { Name, named, problems } from './schemas.ts';

const MOST_BODY = 65_536;

const DiagnoseBody = z.strictObject({
  provider: Name.optional().describe('Whose table of errors is used first; without it, RFC 6749.'),
  status: z.int().min(100).max(599).describe('HTTP status of the answer.'),
  headers: z
    .record(z.string().max(100), z.string().max(8192))
    .refine((headers) => Object.keys(headers).length <= 100, 'at most 100 headers')
    .optional(),
  body: z.string().max(MOST_BODY, 'at most 64 KiB'),
});

const FindingJson = named(
  'Finding',
  z.object({
    code: z.string(),
    cause: z.string(),
    remedy: z.string(),
    retry: z.boolean().describe('Whether asking again, unchanged, may help.'),
    sources: z.array(z.object({ source: z.string(), grade: z.string(), note: z.string().nullable() })),
  }),
);

export function diagnoseRoutes(routes: Routes, { catalogue, clock }: HttpParts): void {
  routes.post(
    '/v1/diagnose',
    {
      schema: {
        summary: "Explain a provider's answer: cause and remedy",
        body: DiagnoseBody,
        response: { 200: FindingJson, ...problems },
      },
    },
    async ({ body: shown }) => {
      const provider = shown.provider === undefined ? null : (catalogue.get(shown.provider) ?? unknown());
      const answer = rawAnswer(shown.status, shown.headers ?? {}, shown.body);
      return findingJson(diagnoseAnswer(answer, provider ?? STANDARD, clock.now()), provider);
    },
  );
}

function unknown(): never {
  throw new EvergrantError('unknown_provider', 'There is no provider of that id in the catalogue.', {
    remedy: 'See evergrant providers list; or leave the provider out, to read the answer by RFC 6749.',
  });
}

const STANDARD: AnswerShape = { tokenResponse: STANDARD_TOKEN_RESPONSE, errors: [] };

function rawAnswer(status: number, headers: Readonly<Record<string, string>>, body: string): RawAnswer {
  const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return { status, headers: Object.fromEntries(lower), body: new TextEncoder().encode(body), complete: true };
}

function findingJson(finding: Finding, provider: Provider | null): z.infer<typeof FindingJson> {
  const { code, cause, remedy, retry, entry } = finding;
  const facts = (provider?.facts ?? []).filter((fact) => entry !== null && fact.about === `/errors/${entry}`);
  const sources = [
    ...finding.sources.map(({ source, grade, note }) => ({ source, grade, note })),
    ...facts.map(({ source, grade, note }) => ({ source, grade, note: note ?? null })),
  ];
  return { code, cause, remedy, retry, sources };
}
