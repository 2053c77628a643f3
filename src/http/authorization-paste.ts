/**
 * An authorization without a browser of ours: the person opens the provider's page anywhere and pastes the address it
 * ends at. The API key of the caller stands in for the cookie.
 */
import { z } from 'zod';
import type { CallbackParameters } from '../keeper/keeper.ts';
import { callbackParameters } from './callback.ts';
import { GrantJson, grantJson } from './grant-json.ts';
import type { HttpParts, Routes } from './parts.ts';
import { invalidRequest } from './problem.ts';
import { Name, named, printable, problems } from './schemas.ts';

const Ticket = printable(2048).describe('The ticket, or the whole authorization_url.');
const Params = z.object({ grant: Name });

const Outcome = named(
  'AuthorizationOutcome',
  z.object({
    outcome: z.enum(['done', 'failed']),
    grant: GrantJson.optional(),
    joined: z.boolean().optional().describe('An earlier grant of the same account took it over.'),
    reason: z.string().optional(),
    remedy: z.string().optional(),
  }),
);

const Opened = named('OpenedAuthorization', z.object({ location: z.string() }));

export function authorizationPasteRoutes(routes: Routes, { keeper }: HttpParts): void {
  const openBody = z.strictObject({ ticket: Ticket });
  const openSummary = "Open a link without a browser: gives the provider's address";
  routes.post(
    '/v1/grants/:grant/authorization/open',
    { schema: { summary: openSummary, params: Params, body: openBody, response: { 200: Opened, ...problems } } },
    async ({ params, body }) => keeper.authorizations.openWithoutBrowser(params.grant, ticketOf(body.ticket)),
  );

  const body = z.strictObject({ ticket: Ticket, url: printable(16_384).describe('The whole return URL.') });
  routes.post(
    '/v1/grants/:grant/authorization/paste',
    {
      schema: {
        summary: 'Finish an authorization with the pasted return URL',
        params: Params,
        body,
        response: { 200: Outcome, ...problems },
      },
    },
    async ({ params, body: { ticket, url } }) => {
      const result = await keeper.authorizations.finishPasted(params.grant, ticketOf(ticket), parametersOf(url));
      if (result.outcome === 'done')
        return { outcome: result.outcome, grant: grantJson(result.grant), joined: result.joined };
      return { outcome: result.outcome, reason: result.reason, remedy: result.remedy };
    },
  );
}

function ticketOf(ticketOrUrl: string): string {
  return ticketOrUrl.slice(ticketOrUrl.lastIndexOf('/') + 1);
}

function parametersOf(pasted: string): CallbackParameters {
  const url = URL.parse(pasted.trim());
  const parameters = url && callbackParameters(url.searchParams);
  if (!parameters || (parameters.code === null && parameters.error === null)) {
    throw invalidRequest(
      'url: it carries neither a code nor an error of the provider.',
      'Paste the whole address of the page on which the provider ended, with everything after the question mark.',
    );
  }
  return parameters;
}
