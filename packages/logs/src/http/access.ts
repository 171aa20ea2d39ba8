import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isLoopback } from './loopback.js';

export interface Refusal {
  readonly status: 401 | 403;
  readonly reason: string;
}

type Credentials = Pick<IncomingMessage, 'headers' | 'url'>;

/**
 * Access control. With a token, requests are allowed if they carry it as `Authorization: Bearer`, as the
 * password of basic authentication (as Grafana's data sources can), as `?token=`, or if they have the cookie.
 * Without a token, which is possible on loopback only, requests are allowed if their `Host` is a loopback
 * name, which stops DNS rebinding. Requests of pages of another origin are refused.
 */
export class AccessRule {
  readonly #expected: Buffer | null;
  readonly #cookie: Cookie | null;

  /**
   * @param name name of the program, with which the names of its cookies begin
   * @param tokenName how users know the token
   */
  constructor(
    name: string,
    token: string | null,
    private readonly tokenName: string,
  ) {
    this.#expected = token === null ? null : digest(token);
    this.#cookie = token === null ? null : cookieOf(name, token);
  }

  /** Checks a request; never throws, whatever the request contains. @returns null if the request is allowed */
  check(request: Credentials): Refusal | null {
    if (this.#expected === null && !isLocalName(request)) return { status: 403, reason: NOT_LOCAL };
    if (this.#expected !== null && !this.#isKnown(request))
      return { status: 401, reason: `${this.tokenName} is needed: ${WAYS_TO_GIVE}` };
    const { host, 'x-forwarded-host': before } = request.headers;
    // Behind a proxy the original host is in a header that pages of other origins cannot set.
    const hosts = this.#expected === null ? [host] : [host, ...[before ?? []].flat()];
    return isOfOrigin(request, hosts) ? null : { status: 403, reason: FOREIGN_ORIGIN };
  }

  /**
   * Returns the `Set-Cookie` header for a page opened with `?token=`, so that it can load the rest; null if
   * not needed.
   */
  setCookie({ url = '' }: Credentials): string | null {
    const given = tokenIn(url);
    if (given === null || this.#cookie === null || !this.#isExpected(given)) return null;
    const { name, value } = this.#cookie;
    return `${name}=${value}; HttpOnly; SameSite=Strict; Path=/`;
  }

  #isKnown(request: Credentials): boolean {
    return (
      tokensOf(request).some((token) => this.#isExpected(token)) ||
      cookiesOf(request).some(
        ({ name, value }) => name === this.#cookie?.name && isEqual(value, this.#cookie.value),
      )
    );
  }

  #isExpected(token: string): boolean {
    return this.#expected !== null && timingSafeEqual(digest(token), this.#expected);
  }
}

interface Cookie {
  readonly name: string;
  readonly value: string;
}

/**
 * Browsers send the cookies of a host to all its ports. So each token has a separate cookie name, and the
 * cookie's value opens only this server and does not reveal the token.
 */
function cookieOf(name: string, token: string): Cookie {
  const derive = (what: string) => createHmac('sha256', token).update(what).digest('base64url');
  return { name: `${name}-${derive('name').slice(0, 8)}`, value: derive('value') };
}

const NOT_LOCAL = 'without a token this server answers only to localhost and loopback addresses';
const WAYS_TO_GIVE = 'Authorization: Bearer TOKEN, the password of basic authentication, or ?token=TOKEN';

const FOREIGN_ORIGIN = 'this server answers only to its own page, not to one from another origin';

/** Browsers let any page open WebSockets and post forms to any host, but set `Origin` truthfully. */
function isOfOrigin({ headers: { origin } }: Credentials, hosts: readonly (string | undefined)[]): boolean {
  if (origin === undefined) return true;
  const from = origin.replace(/^https?:\/\//i, '').toLowerCase();
  return hosts.some((host) => host?.toLowerCase() === from);
}

function isLocalName({ headers }: Credentials): boolean {
  const host = headers.host ?? '';
  return isLoopback(host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1'));
}

function tokensOf({ headers, url = '' }: Credentials): string[] {
  const [scheme, value = ''] = (headers.authorization ?? '').split(' ');
  const fromHeader = scheme === 'Bearer' ? value : scheme === 'Basic' ? passwordOf(value) : undefined;
  return [fromHeader, tokenIn(url)].filter((token) => token !== undefined && token !== null);
}

/** Finds the token without parsing, as the address may not be a valid URL. */
function tokenIn(url: string): string | null {
  return new URLSearchParams(/\?(.*)/.exec(url)?.[1]).get('token');
}

function cookiesOf({ headers: { cookie = '' } }: Credentials): Cookie[] {
  return cookie.split(/;\s*/).map((pair) => {
    const [name = '', ...value] = pair.split('=');
    return { name, value: value.join('=') };
  });
}

function isEqual(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function passwordOf(basic: string): string {
  const text = Buffer.from(basic, 'base64').toString('utf8');
  return text.slice(text.indexOf(':') + 1);
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
