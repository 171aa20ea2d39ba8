import { createPrivateKey, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import path from 'node:path';
import { type ConnectionOptions, createSecureContext, type TlsOptions } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { asTrainerError, TrainerError } from '../errors.js';
import { type Address, formatAddress, isLoopback } from './address.js';
import { sendToken } from './join-token.js';

/**
 * The name in every certificate. It stands for "a member of this cluster", not for a host: containers get new
 * names and addresses when they are replaced, so both sides verify this name instead of the one they dialled.
 */
export const CLUSTER_NAME = 'locmoe';

const MIN_TOKEN_CHARS = 16;
const TOKEN_BYTES = 32;

export interface SecurityOptions {
  /** Folder with `ca.pem`, `cert.pem` and `key.pem`. */
  readonly tls?: string | undefined;
  readonly tokenFile?: string | undefined;
}

/** Checked PEM files of one member. */
export interface TlsFiles {
  readonly directory: string;
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Credentials of a process, on both planes. */
export interface Security {
  readonly tls: TlsFiles | null;
  readonly token: string | null;
  readonly channelCredentials: grpc.ChannelCredentials;
  /** Options of every client: the expected name of the server, and the token with each call. */
  readonly clientOptions: grpc.ClientOptions;
  /** True if the token is that of a run of this user on this machine, for processes of this user alone. */
  readonly isOwn?: true;
}

/** Credentials for plain text, without a token. */
export const NO_SECURITY: Security = {
  tls: null,
  token: null,
  channelCredentials: grpc.credentials.createInsecure(),
  clientOptions: {},
};

/**
 * Reads and checks certificates and token.
 *
 * @throws TrainerError `UNAUTHENTICATED`, naming the file that is missing, damaged, expired or does not fit
 */
export function loadSecurity(options: SecurityOptions): Security {
  const tls = options.tls ? loadTls(options.tls) : null;
  const token = options.tokenFile ? loadToken(options.tokenFile) : null;
  return tls === null && token === null ? NO_SECURITY : securityWith(tls, token);
}

/** Returns credentials for plain text, with the token of a run of this user on this machine. */
export function withOwnToken(token: string): Security {
  return Object.assign(securityWith(null, token), { isOwn: true as const });
}

/** Creates a token that nobody can guess. */
export function randomToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

function securityWith(tls: TlsFiles | null, token: string | null): Security {
  return {
    tls,
    token,
    channelCredentials:
      tls === null
        ? grpc.credentials.createInsecure()
        : grpc.credentials.createFromSecureContext(createSecureContext({ ...tls, minVersion: 'TLSv1.3' })),
    clientOptions: {
      ...(tls === null ? {} : { 'grpc.ssl_target_name_override': CLUSTER_NAME }),
      ...(token === null ? {} : { interceptors: [sendToken(token)] }),
    },
  };
}

/** Returns options of mutual TLS, which rejects clients without a certificate of the authority; null for plain text. */
export function tlsOptions({ tls }: Security): TlsOptions | null {
  return tls && { ...tls, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' };
}

/** Returns the TLS options of a client that does not use grpc-js. */
export function clientTls({ ca, cert, key }: TlsFiles): ConnectionOptions {
  return { ca, cert, key, servername: CLUSTER_NAME, minVersion: 'TLSv1.3', ALPNProtocols: ['h2'] };
}

/**
 * Checks that the address is on loopback, or has TLS, or a token where the user asked for plain text.
 *
 * @throws TrainerError `BAD_INPUT` with advice on what to do instead
 */
export function assertMayListen(address: Address, { tls, token }: Security, insecure: boolean): void {
  if (isLoopback(address.host) || tls !== null || (insecure && token !== null)) return;
  throw new TrainerError(
    'BAD_INPUT',
    insecure
      ? `--listen ${formatAddress(address)}: --insecure still asks for a join token (--token-file FILE; ` +
          'locmoe certs makes one)'
      : `--listen ${formatAddress(address)} can be reached from other machines: give --tls DIR (locmoe ` +
          'certs --out DIR makes the files), or --insecure with --token-file FILE on a network that you ' +
          'trust',
  );
}

function refuse(file: string, why: string): never {
  throw new TrainerError('UNAUTHENTICATED', `${file}: ${why}`);
}

function read(file: string): Buffer {
  try {
    return readRegularFile(file);
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    return refuse(file, `cannot be read (${(error as NodeJS.ErrnoException).code}); locmoe certs makes it`);
  }
}

function parse<T>(file: string, what: string, parser: () => T): T {
  try {
    return parser();
  } catch (error) {
    return refuse(file, `is no ${what} (${asTrainerError(error).message})`);
  }
}

function loadTls(directory: string): TlsFiles {
  const file = (name: string) => path.join(directory, name);
  const files = { ca: read(file('ca.pem')), cert: read(file('cert.pem')), key: read(file('key.pem')) };
  const ca = parse(file('ca.pem'), 'certificate in PEM', () => new X509Certificate(files.ca));
  const cert = parse(file('cert.pem'), 'certificate in PEM', () => new X509Certificate(files.cert));
  const key: KeyObject = parse(file('key.pem'), 'private key in PEM', () => createPrivateKey(files.key));
  assertInTime(file('ca.pem'), ca);
  assertInTime(file('cert.pem'), cert);
  if (!cert.checkPrivateKey(key)) refuse(file('key.pem'), 'is not the key of cert.pem');
  if (!cert.checkIssued(ca) || !cert.verify(ca.publicKey))
    refuse(file('cert.pem'), 'was not signed by ca.pem');
  if (cert.checkHost(CLUSTER_NAME) === undefined)
    refuse(file('cert.pem'), `is not for the name ${CLUSTER_NAME}; locmoe certs makes one that is`);
  return { directory, ...files };
}

function assertInTime(file: string, { validFrom, validTo }: X509Certificate): void {
  if (Date.parse(validTo) <= Date.now())
    refuse(file, `expired on ${validTo}; make new ones with locmoe certs`);
  if (Date.parse(validFrom) > Date.now())
    refuse(file, `is not valid before ${validFrom}; is the clock right?`);
}

/** @throws TrainerError `UNAUTHENTICATED` if the file cannot be read, or holds no token */
export function loadToken(file: string): string {
  const token = read(file).toString('utf8').trim();
  if (!/^[\x21-\x7e]+$/.test(token) || token.length < MIN_TOKEN_CHARS)
    refuse(
      file,
      `holds no join token: one line of at least ${MIN_TOKEN_CHARS} printable characters without spaces`,
    );
  return token;
}
