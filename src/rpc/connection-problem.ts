import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Address, describeSocketError } from './address.js';
import { CLUSTER_NAME, clientTls, type Security, type TlsFiles } from './security.js';

// gRPC reports every failed connection as "No connection established"; this connects by hand to find out why.

export interface ConnectionProblem {
  readonly text: string;
  /** `absent`: nothing answers (yet). `refused`: certificates, or TLS and plain text, do not match, for good. */
  readonly kind: 'absent' | 'refused';
}

const TIMEOUT_MS = 3_000;
const HTTP2_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';

/** Tries to connect; returns null if a server accepts the connection. */
export async function findConnectionProblem(
  address: Address,
  { tls }: Pick<Security, 'tls'>,
): Promise<ConnectionProblem | null> {
  if (tls === null) {
    const outcome = await firstWords(connectPlain(address), 'connect');
    if (outcome === 'answered') return null;
    // A TLS server just closes on plain text: try a handshake.
    if (outcome === 'closed' && (await speaksTls(address)))
      return { kind: 'refused', text: 'it asks for TLS: give --tls DIR or set LOCMOE_TLS_DIR' };
    return { kind: 'absent', text: describe(outcome) };
  }
  const outcome = await firstWords(connectTls({ ...address, ...clientTls(tls) }), 'secureConnect');
  if (outcome === 'answered') return null;
  // Node closes without an alert on an untrusted client certificate; so does a server that is shutting down.
  if (outcome === 'closed')
    return {
      kind: 'absent',
      text: `it ended the connection after the handshake; does it trust ${tls.directory}/cert.pem?`,
    };
  const refusal = typeof outcome === 'string' ? null : explainTls(outcome, tls);
  return refusal === null ? { kind: 'absent', text: describe(outcome) } : { kind: 'refused', text: refusal };
}

async function speaksTls(address: Address): Promise<boolean> {
  const socket = connectTls({ ...address, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  const outcome = await new Promise((resolve) => {
    socket.once('secureConnect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.setTimeout(TIMEOUT_MS, () => resolve(false));
  });
  socket.destroy();
  return outcome === true;
}

type Outcome = 'answered' | 'closed' | 'silent' | NodeJS.ErrnoException;

/** Waits for the server's HTTP/2 preface: with TLS 1.3 nothing else shows that it accepted the client. */
async function firstWords(socket: Socket, connected: string): Promise<Outcome> {
  const outcome = await new Promise<Outcome>((resolve) => {
    socket.once(connected, () => socket.write(HTTP2_PREFACE));
    // First byte 0x15: a TLS alert, not HTTP/2.
    socket.once('data', (data) => resolve(data[0] === 0x15 ? 'closed' : 'answered'));
    socket.once('error', resolve);
    socket.once('close', () => resolve('closed'));
    socket.setTimeout(TIMEOUT_MS, () => resolve('silent'));
  });
  socket.on('error', () => undefined);
  socket.destroy();
  return outcome;
}

function describe(outcome: Outcome): string {
  if (outcome === 'silent') return `no answer within ${TIMEOUT_MS / 1000} s`;
  return typeof outcome === 'string' ? 'the connection was closed at once' : describeSocketError(outcome);
}

/** Explains a failed handshake; null if the failure is not about trust. */
function explainTls({ code = '', message }: NodeJS.ErrnoException, { directory }: TlsFiles): string | null {
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/.test(code))
    return 'it speaks plain text, not TLS: leave out --tls and LOCMOE_TLS_DIR, or serve with --tls';
  if (code === 'CERT_HAS_EXPIRED') return 'its certificate has expired; make new ones with locmoe certs';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `its certificate is not for the name ${CLUSTER_NAME}`;
  if (/SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|CERT_SIGNATURE_FAILURE/.test(code))
    return `its certificate was not signed by ${directory}/ca.pem: it has another authority`;
  return /^ERR_SSL|CERT/.test(code) ? `the TLS handshake failed: ${message}` : null;
}
