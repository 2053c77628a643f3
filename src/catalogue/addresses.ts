/**
 * Which addresses a provider may name: https and public ones, unless an operator added its file. And which variables may
 * stand in them, and in the parameters of requests.
 */
import type { Reach } from '../ports/network.ts';
import type { ProviderFile } from './schema.ts';
import { fill, variablesIn } from './templates.ts';
import type { Fault } from './wrong-file.ts';

/** Every address of a file, with its place. */
function addressesOf(file: ProviderFile): readonly (readonly [at: string, address: string])[] {
  const named: readonly (readonly [string, string | null | undefined])[] = [
    ['/issuer', file.issuer],
    ['/authorization_endpoint', file.authorization_endpoint],
    ['/token_endpoint', file.token_endpoint],
    ['/refresh_endpoint', file.refresh_endpoint],
    ['/revocation_endpoint', file.revocation_endpoint],
    ['/device_authorization_endpoint', file.device_authorization_endpoint],
    ['/identity/endpoint', file.identity?.endpoint],
    ...(file.api_base_urls ?? []).map((address, i) => [`/api_base_urls/${i}`, address] as const),
    ...(file.login?.origins ?? []).map((address, i) => [`/login/origins/${i}`, address] as const),
  ];
  return named.flatMap(([at, address]) => (address ? [[at, address] as const] : []));
}

export function addressFaults(file: ProviderFile, reach: Reach): readonly Fault[] {
  const addresses = addressesOf(file);
  const faults = addresses.flatMap(([at, address]) => faultsOfAddress(at, address, file, reach));
  return [...faults, ...endpointFaults(file), ...parameterFaults(file), ...variableFaults(file, addresses)];
}

/** Where no one can authorize, there is no page for it either. */
function endpointFaults(file: ProviderFile): readonly Fault[] {
  const hasCodes = file.grant_types_supported?.includes('authorization_code') ?? true;
  const { api_key: key, basic } = file.credentials ?? {};
  const hasTokens = Boolean(file.token_endpoint ?? file.authorization_endpoint);
  if ((key ?? basic) && !hasTokens && !file.grant_types_supported) return [];
  if (file.issuer || (file.token_endpoint && (file.authorization_endpoint || !hasCodes))) return [];
  return [{ at: '', reason: 'names neither an issuer nor both authorization_endpoint and token_endpoint' }];
}

/** Every parameter of a request that may hold variables, with its place. */
function parametersOf(file: ProviderFile): readonly (readonly [at: string, value: string])[] {
  const groups = {
    '/authorization_parameters': file.authorization_parameters,
    '/token_request/parameters': file.token_request?.parameters,
    '/token_request/refresh_parameters': file.token_request?.refresh_parameters,
    '/credentials/client_credentials/parameters': file.credentials?.client_credentials?.parameters,
    '/credentials/jwt_bearer/parameters': file.credentials?.jwt_bearer?.parameters,
    '/credentials/password/parameters': file.credentials?.password?.parameters,
  };
  return Object.entries(groups).flatMap(([at, parameters]) =>
    Object.entries(parameters ?? {}).map(([name, value]) => [`${at}/${name}`, value] as const),
  );
}

const VARIABLE_NAME = /^[a-z][a-z0-9_]*$/;

/** What else stands between braces is the provider's own, as in the JSON of a `claims` parameter. */
function parameterFaults(file: ProviderFile): readonly Fault[] {
  return parametersOf(file).flatMap(([at, value]) => {
    const known = at.startsWith('/token_request/refresh_parameters') ? ['redirect_uri'] : [];
    const names = variablesIn(value).filter((name) => VARIABLE_NAME.test(name) && !known.includes(name));
    const unknown = names.filter((name) => !Object.hasOwn(file.variables ?? {}, name));
    return unknown.map((name) => ({ at, reason: `the variable {${name}} is not in /variables` }));
  });
}

function faultsOfAddress(at: string, address: string, file: ProviderFile, reach: Reach): Fault[] {
  const unknown = variablesIn(address).filter((name) => !Object.hasOwn(file.variables ?? {}, name));
  if (unknown.length > 0) return unknown.map((name) => ({ at, reason: `the variable {${name}} is not in /variables` }));
  const sample = fill(address, samplesOf(file));
  const problem = problemOfUrl(sample, reach);
  return problem === null ? [] : [{ at, reason: problem }];
}

/** Some value for each variable, to see what kind of address comes of it. */
function samplesOf(file: ProviderFile): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(file.variables ?? {}).map(([name, variable]) => {
      const [choice] = Object.values(variable.choices ?? {});
      return [name, variable.is_issuer ? 'https://issuer.example' : (choice ?? 'label')];
    }),
  );
}

/** Why an address may not be used with this reach; null where it may. Which IP a name leads to is the network's to check. */
export function problemOfUrl(address: string, reach: Reach): string | null {
  const url = URL.parse(address);
  if (!url) return `${address} is not an address`;
  if (url.username || url.password) return 'must not hold a user name or password';
  if (reach === 'local') return url.protocol === 'https:' || url.protocol === 'http:' ? null : 'must be http or https';
  if (url.protocol !== 'https:') return 'must be https; only files in the folder of --providers may use http';
  return isLoopback(url.hostname) ? 'must not be this machine; only files in the folder of --providers may' : null;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || /^127\.|^\[::1\]$|^0\.0\.0\.0$/.test(host);
}

function variableFaults(file: ProviderFile, addresses: readonly (readonly [string, string])[]): readonly Fault[] {
  const inAddresses = new Set(addresses.flatMap(([, address]) => variablesIn(address)));
  const inParameters = new Set(parametersOf(file).flatMap(([, value]) => variablesIn(value)));
  return Object.entries(file.variables ?? {}).flatMap(([name, variable]) => {
    const at = `/variables/${name}`;
    const chosen = variable.default ?? null;
    const isChoice = chosen === null || !variable.choices || Object.hasOwn(variable.choices, chosen);
    return [
      ...(inAddresses.has(name) || inParameters.has(name) ? [] : [{ at, reason: 'is used in no address' }]),
      ...(inAddresses.has(name) && variable.is_text
        ? [{ at: `${at}/is_text`, reason: 'any text could lead an address anywhere; it may stand in parameters alone' }]
        : []),
      ...(variable.of_resource === undefined || Object.hasOwn(file.variables ?? {}, variable.of_resource)
        ? []
        : [{ at: `${at}/of_resource`, reason: `there is no variable ${variable.of_resource}` }]),
      ...(isChoice ? [] : [{ at: `${at}/default`, reason: 'is not one of the choices' }]),
    ];
  });
}
