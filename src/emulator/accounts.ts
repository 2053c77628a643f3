/** Who is known at one emulated server: apps that were registered, and users with their ways to sign in. */
import { toBase32 } from '../core/totp.ts';
import type { Chance } from './chance.ts';
import { ClientKeys } from './client-assertion.ts';
import type { Identity } from './form.ts';
import type { Country } from './switches.ts';

export interface App {
  readonly clientId: string;
  clientSecret: string;
  readonly name: string;
  readonly redirectUris: readonly string[];
  /** With keys it proves itself by `private_key_jwt`, and its secret is good for nothing. */
  readonly keys: ClientKeys | null;
}

export interface User extends Identity {
  password: string;
  /** base32 */
  totpSecret: string;
  /** At Exact Online, the country whose host alone knows this account; null: every one. */
  readonly country: Country | null;
  /** The last step whose code was used: a code works once. */
  lastTotpStep: number;
}

export interface UserWish {
  readonly username: string;
  readonly password?: string;
  readonly fullName?: string;
  readonly country?: Country;
}

export class Accounts {
  readonly apps = new Map<string, App>();
  /** By user name in lower case. */
  readonly users = new Map<string, User>();
  readonly #usersById = new Map<string, User>();
  readonly #chance: Chance;

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  addApp(name: string, redirectUris: readonly string[], jwks: unknown = null): App {
    const app = {
      clientId: this.#chance.guid('client id'),
      clientSecret: this.#chance.text('client secret', 16),
      name,
      redirectUris,
      keys: jwks === null ? null : new ClientKeys(jwks),
    };
    this.apps.set(app.clientId, app);
    return app;
  }

  addUser(wish: UserWish): User {
    const chance = this.#chance;
    const user: User = {
      id: chance.guid('user id'),
      username: wish.username,
      fullName: wish.fullName ?? wish.username,
      division: 100_000 + Math.floor(chance.fraction('division') * 900_000),
      password: wish.password ?? chance.text('password', 16),
      totpSecret: toBase32(chance.bytes('totp secret', 20)),
      country: wish.country ?? null,
      lastTotpStep: -1,
    };
    this.users.set(user.username.toLowerCase(), user);
    this.#usersById.set(user.id, user);
    return user;
  }

  /** A new secret, as after losing the phone: codes of the old one are wrong from now on. */
  resetTotp(user: User): void {
    user.totpSecret = toBase32(this.#chance.bytes('totp secret', 20));
    user.lastTotpStep = -1;
  }

  /** By name, where the part of the provider that is asked knows the account. */
  userAt(username: string, realm: string): User | undefined {
    const user = this.users.get(username.toLowerCase());
    return user && (user.country === null || user.country === realm) ? user : undefined;
  }

  userById(id: string): User | undefined {
    return this.#usersById.get(id);
  }
}
