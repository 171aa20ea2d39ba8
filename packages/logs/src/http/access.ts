import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isLoopback } from './loopback.js';

/** Why a request is refused; null if it may pass. */
export type Refusal = { readonly status: 401 | 403; readonly reason: string } | null;

/** What of a request decides whether it may pass. */
type Credentials = Pick<IncomingMessage, 'headers' | 'url'>;

/**
 * Who may read over HTTP. With a token: whoever gives it, as `Authorization: Bearer`, as password of basic
 * authentication (what a Grafana data source has a field for), as `?token=`, or as the cookie that the page sets.
 * Without one, which only loopback allows: whoever calls this machine by a loopback name, so that no web page elsewhere
 * can read it through a name of its own that resolves to 127.0.0.1 (DNS rebinding). Either way not for a page of
 * another origin.
 */
export class AccessRule {
  readonly #expected: Buffer | null;

  /** @param cookie in which a browser keeps the token after it came once in the address of the page */
  constructor(
    token: string | null,
    readonly cookie: string,
  ) {
    this.#expected = token === null ? null : digest(token);
  }

  /** Never throws, whatever was sent. */
  check(request: Credentials): Refusal {
    if (this.#expected === null && !isLocalName(request)) return { status: 403, reason: NOT_LOCAL };
    if (this.#expected !== null && !tokensOf(request, this.cookie).some((token) => this.#isExpected(token)))
      return { status: 401, reason: NO_TOKEN };
    const { host, 'x-forwarded-host': before } = request.headers;
    // The host may be that of a proxy's making; what it was before is a header that no page elsewhere can set.
    const hosts = this.#expected === null ? [host] : [host, ...[before ?? []].flat()];
    return isOfOrigin(request, hosts) ? null : { status: 403, reason: FOREIGN_ORIGIN };
  }

  #isExpected(token: string): boolean {
    return this.#expected !== null && timingSafeEqual(digest(token), this.#expected);
  }
}

const NOT_LOCAL = 'without a token this server answers only to localhost and loopback addresses';
const NO_TOKEN =
  'a token is needed: Authorization: Bearer TOKEN, the password of basic authentication, or ?token=TOKEN';

const FOREIGN_ORIGIN = 'this server answers only to its own page, not to one from another origin';

/** Browsers let any page open a WebSocket to anywhere and post there; what they cannot forge is where the page is from. */
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
  // Not a URL: it was not looked at yet, and may be none.
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
