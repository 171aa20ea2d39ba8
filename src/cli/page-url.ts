import { fstatSync } from 'node:fs';
import { fromHere } from '../os/command-line.js';
import { formatAddress, isWildcard, parseAddress } from '../rpc/address.js';

const OTHERS_READ = 0o044;

/**
 * Returns the address of a run's page; 127.0.0.1 for a server that listens at all addresses.
 *
 * @param address host:port of the server
 * @param token token with which the page opens without asking; null for an address without a token
 */
export function pageUrl(address: string, runId: string, token: string | null): string {
  return `${httpUrl(address, token)}#run=${encodeURIComponent(runId)}`;
}

/** Returns the root address of a server, as `pageUrl` does for one run. */
export function httpUrl(address: string, token: string | null): string {
  const { host, port } = parseAddress('http', address);
  const place = formatAddress({ host: isWildcard(host) ? '127.0.0.1' : host, port });
  return `http://${place}/${token === null ? '' : `?token=${encodeURIComponent(token)}`}`;
}

/** Says where to find the token that an address was printed without: in a file of the run, or (null) in --token-file. */
export function tokenLine(file: string | null): string {
  return `it asks for the token ${file === null ? 'of --token-file' : `in ${fromHere(file)}`}`;
}

/** Returns the token if it may be printed; null if standard output is a file that other users can read. */
export function printed(token: string): string | null {
  const output = fstatSync(process.stdout.fd);
  return output.isFile() && (output.mode & OTHERS_READ) !== 0 ? null : token;
}
