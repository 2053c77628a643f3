/** Exact Online's API, as far as a keeper of grants meets it: who am I, and an echo in the shape of OData. */
import type { Instant } from '../core/instant.ts';
import type { Access, Identity } from './form.ts';
import { bodyText, type Reply, type EmulatorRequest, json, urlOf } from './wire.ts';

export function api(request: EmulatorRequest, { user, now, withheld }: Access): Reply {
  const url = urlOf(request);
  const path = url.pathname.replace(/^\/api\/v1\//, '');
  if (/^current\/Me$/i.test(path)) return me(url, user, now);
  const division = /^(\d+)\/(.+)$/.exec(path);
  if (!division) return notFound(path);
  if (withheld.includes(division[1] ?? '')) return odataError(403, 'Forbidden: this company was not allowed.');
  return echo(request, url, division[2] ?? '');
}

function me(url: URL, user: Identity, now: Instant): Reply {
  const fields: Record<string, unknown> = {
    UserID: user.id,
    UserName: user.username,
    FullName: user.fullName,
    Email: user.username.includes('@') ? user.username : `${user.username}@example.com`,
    CurrentDivision: user.division,
    AccountingDivision: user.division,
    DivisionCustomerName: 'Emulated Books',
    LanguageCode: 'en-GB',
    ServerTime: `/Date(${now})/`,
    ServerUtcOffset: 0,
  };
  const type = 'Exact.Web.Api.System.Me';
  const uri = `/api/v1/current/Me(guid'${user.id}')`;
  return results([{ __metadata: { uri, type }, ...selected(fields, url.searchParams.get('$select')) }]);
}

function selected(fields: Record<string, unknown>, select: string | null): Record<string, unknown> {
  if (select === null) return fields;
  const wanted = new Set(select.split(',').map((name) => name.trim()));
  return Object.fromEntries(Object.entries(fields).filter(([name]) => wanted.has(name)));
}

/** Any endpoint of a division says what it was asked. */
function echo(request: EmulatorRequest, url: URL, endpoint: string): Reply {
  const asked = {
    __metadata: { uri: url.pathname, type: `Echo.${endpoint.replaceAll('/', '.')}` },
    Method: request.method,
    Query: url.search,
    Body: bodyText(request),
  };
  return request.method === 'POST' ? json(201, { d: asked }) : results([asked]);
}

const results = (rows: readonly unknown[]) => json(200, { d: { results: rows } });

const odataError = (status: number, value: string) =>
  json(status, { error: { code: '', message: { lang: '', value } } });

const notFound = (path: string) => odataError(404, `Resource not found for the segment '${path}'.`);
