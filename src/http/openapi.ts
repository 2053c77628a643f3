/** `/openapi.json`: the API, described from the same schemas that check it. */
import swagger from '@fastify/swagger';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { HttpParts, Routes } from './parts.ts';

/** Must be awaited before any route that is to be described. */
export async function describeRoutes(app: Routes, { settings }: HttpParts): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Evergrant',
        version: settings.version,
        description: 'Keeps OAuth 2 grants alive. Errors are application/problem+json and name their remedy.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: settings.publicUrl }],
      components: { securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } } },
      security: [{ apiKey: [] }],
    },
    transform: jsonSchemaTransform,
    transformObject: (document) => oneNameEach(jsonSchemaTransformObject(document)),
  });
}

interface Described {
  readonly paths?: unknown;
  readonly components?: { readonly schemas?: Readonly<Record<string, unknown>> };
}

const REFERENCE = /"#\/components\/schemas\/(\w+)"/g;

/**
 * Every shape is described twice, as input and as output, the former with `Input` behind its name. Here what no path
 * leads to goes, and what is used on one side only has its plain name.
 */
export function oneNameEach<T extends object>(document: T): T {
  const { paths, components: parts = {} }: Described = document;
  const schemas = parts.schemas ?? {};
  const used = reachedFrom(paths, schemas);
  const plain = (name: string) => {
    const base = name.replace(/Input$/, '');
    return used.has(base) ? name : base;
  };
  const kept = Object.fromEntries([...used].toSorted().map((name) => [plain(name), schemas[name]]));
  const text = JSON.stringify({ ...document, components: { ...parts, schemas: kept } });
  return JSON.parse(text.replaceAll(REFERENCE, (_, name: string) => `"#/components/schemas/${plain(name)}"`));
}

function reachedFrom(paths: unknown, schemas: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const reached = new Set<string>();
  const open: unknown[] = [paths];
  while (open.length > 0) {
    for (const [, name] of JSON.stringify(open.pop() ?? null).matchAll(REFERENCE)) {
      if (name === undefined || reached.has(name)) continue;
      reached.add(name);
      open.push(schemas[name]);
    }
  }
  return reached;
}

export function openapiRoutes(routes: Routes): void {
  routes.get('/openapi.json', { schema: { hide: true } }, async (_, reply) => reply.send(routes.swagger()));
}
