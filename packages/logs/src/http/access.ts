import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isLoopback } from './loopback.js';

/** Why a request is not allowed. */
export interface Refusal {
  readonly status: 401 | 403;
  readonly reason: string;
}

type Credentials = Pick<IncomingMessage, 'headers' | 'url'>;

/**
 * Access control. With a token: requests that carry it as `Authorization: Bearer`, as the password of basic
 * authentication (as Grafana's data sources can), as `?token=`, or as the cookie. Without one, on loopback
 * only: requests whose `Host` is a loopback name, which stops DNS rebinding. Requests of pages of another
 * origin are refused.
 */
export class AccessRule {
  readonly #expected: Buffer | null;

  /**
   * @param cookie name of the cookie in which a browser keeps the token of the page's address
   * @param tokenName what users know the token as
   */
  constructor(
    token: string | null,
    readonly cookie: string,
    readonly tokenName: string,
  ) {
    this.#expected = token === null ? null : digest(token);
  }

  /** Never throws, whatever the request holds. @returns null if the request is allowed */
  check(request: Credentials): Refusal | null {
    if (this.#expected === null && !isLocalName(request)) return { status: 403, reason: NOT_LOCAL };
    if (this.#expected !== null && !tokensOf(request, this.cookie).some((token) => this.#isExpected(token)))
      return { status: 401, reason: `${this.tokenName} is needed: ${WAYS_TO_GIVE}` };
    const { host, 'x-forwarded-host': before } = request.headers;
    // Behind a proxy the original host is in a header that pages of other origins cannot set.
    const hosts = this.#expected === null ? [host] : [host, ...[before ?? []].flat()];
    return isOfOrigin(request, hosts) ? null : { status: 403, reason: FOREIGN_ORIGIN };
  }

  #isExpected(token: string): boolean {
    return this.#expected !== null && timingSafeEqual(digest(token), this.#expected);
  }
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

function tokensOf({ headers, url = '' }: Credentials, cookie: string): string[] {
  const [scheme, value = ''] = (headers.authorization ?? '').split(' ');
  const fromHeader = scheme === 'Bearer' ? value : scheme === 'Basic' ? passwordOf(value) : undefined;
  // Not parsed as a URL: it may not be a valid one.
  const fromUrl = new URLSearchParams(/\?(.*)/.exec(url)?.[1]).get('token');
  const fromCookie = (headers.cookie ?? '')
    .split(/;\s*/)
    .find((pair) => pair.startsWith(`${cookie}=`))
    ?.slice(cookie.length + 1);
  return [fromHeader, fromUrl, fromCookie].filter((token) => token !== undefined && token !== null);
}

function passwordOf(basic: string): string {
  const text = Buffer.from(basic, 'base64').toString('utf8');
  return text.slice(text.indexOf(':') + 1);
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
