import { connect } from 'node:net';
import { TrainerError } from '../errors.js';

export { isLoopback } from '@locmoe/logs/loopback';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Parses `HOST:PORT`, with brackets around an IPv6 address.
 *
 * @param option named in the error
 * @param defaultPort for a text without a port; if undefined, the port is required
 * @throws TrainerError `BAD_INPUT` if the text is no address
 */
export function parseAddress(option: string, text: string, defaultPort?: number): Address {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port === undefined || port > 65_535)
    throw new TrainerError(
      'BAD_INPUT',
      `${option} ${text}: expected HOST${defaultPort === undefined ? ':PORT' : '[:PORT]'}, e.g. ` +
        '0.0.0.0:50051, coordinator:50051 or [::1]:50051',
    );
  return { host, port };
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Tells whether an address stands for all interfaces: a server can listen at it, but no client can dial it. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}

/**
 * Returns the address at which others reach a server that listens at `bound`: `advertise` if given, else `bound`
 * itself, with the host from `hostFor` if `bound` is a wildcard.
 *
 * @throws TrainerError `BAD_INPUT` if `advertise` is no address, or one that nobody can dial
 */
export async function advertisedAddress(
  bound: Address,
  advertise: string | undefined,
  hostFor: () => string | Promise<string>,
): Promise<Address> {
  if (advertise === undefined) return isWildcard(bound.host) ? { ...bound, host: await hostFor() } : bound;
  const address = parseAddress('--advertise', advertise, bound.port);
  if (isWildcard(address.host) || address.port === 0)
    throw new TrainerError('BAD_INPUT', `--advertise ${advertise}: nobody can connect to that address`);
  return address;
}

const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name cannot be resolved',
  EAI_AGAIN: 'its name cannot be resolved now',
  ECONNREFUSED: 'nothing listens on that port',
  EHOSTUNREACH: 'there is no route to that host',
  ENETUNREACH: 'there is no route to that network',
  ECONNRESET: 'the connection was closed at once',
};

/** Describes a socket's error in words. */
export function describeSocketError({ code = '', message }: NodeJS.ErrnoException): string {
  return WORDS[code] ?? message;
}

/**
 * Returns this machine's address on the interface that the route to `target` takes.
 *
 * @throws TrainerError `UNAVAILABLE` if nothing answers there
 */
export function localAddressTowards(target: Address, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: target.host, port: target.port, timeout: timeoutMs });
    const fail = (why: string) => {
      socket.destroy();
      reject(new TrainerError('UNAVAILABLE', `nothing answers at ${formatAddress(target)} (${why})`));
    };
    socket.once('connect', () => {
      const local = socket.localAddress ?? '';
      socket.destroy();
      // An IPv4-mapped IPv6 address.
      resolve(local.replace(/^::ffff:/, ''));
    });
    socket.once('timeout', () => fail(`no answer within ${timeoutMs / 1000} s`));
    socket.once('error', (error) => fail(describeSocketError(error)));
  });
}
