import { copyFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { connect, type SecureVersion, type TLSSocket } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Address, formatAddress } from '../../src/rpc/address.js';
import { makeCertificates } from '../../src/rpc/certificates.js';
import { findConnectionProblem } from '../../src/rpc/connection-problem.js';
import { CoordinatorClient } from '../../src/rpc/coordinator-client.js';
import { checkHealth } from '../../src/rpc/health.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { assertMayListen, loadSecurity, NO_SECURITY, type Security } from '../../src/rpc/security.js';
import { createRpcServer, listen } from '../../src/rpc/server.js';
import { certificateFolder } from './certificate-folder.js';

const tokenFile = (folder: string) => path.join(folder, 'token');

async function clusterSecurity(): Promise<{ folder: string; security: Security }> {
  const folder = await certificateFolder();
  return { folder, security: loadSecurity({ tls: folder, tokenFile: tokenFile(folder) }) };
}

/** A coordinator on which every admitted call succeeds. */
async function serveAll(security: Security): Promise<{ address: Address; refusals: string[] }> {
  const rpc = createRpcServer(security);
  const refusals: string[] = [];
  rpc.onRefused = (line) => refusals.push(line);
  const reply: grpc.handleUnaryCall<object, object> = (_, callback) => callback(null, {});
  const stream = (call: { end(): void }) => call.end();
  rpc.server.addService(loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator'), {
    Join: reply,
    GetStatus: reply,
    Stop: reply,
    Session: stream,
    StreamLogs: stream,
  });
  onTestFinished(() => rpc.close());
  return { address: await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen'), refusals };
}

function status(address: Address, security: Security): Promise<unknown> {
  const client = new CoordinatorClient(formatAddress(address), security);
  return client.status().finally(() => client.close());
}

describe('certs', () => {
  it('makes files that load, with keys for the owner alone, and overwrites nothing', async () => {
    const { folder, security } = await clusterSecurity();
    expect(security.tls?.directory).toBe(folder);
    expect(Buffer.from(security.token!, 'base64url')).toHaveLength(32);
    for (const secret of ['key.pem', 'ca-key.pem', 'token'])
      expect(statSync(path.join(folder, secret)).mode & 0o777).toBe(0o600);
    rmSync(path.join(folder, 'ca.pem'));
    await expect(makeCertificates(folder, 1)).rejects.toThrow(/ca-key\.pem exists and is not overwritten/);
  });
});

describe('loading refuses, naming the file,', () => {
  it.each([
    ['ca.pem', 'a missing file', (file: string) => rmSync(file), /cannot be read \(ENOENT\)/],
    [
      'cert.pem',
      'what is no certificate',
      (file: string) => writeFileSync(file, 'hello'),
      /is no certificate/,
    ],
    ['key.pem', 'what is no key', (file: string) => writeFileSync(file, 'hello'), /is no private key/],
  ])('%s: %s', async (name, _what, damage, message) => {
    const folder = await certificateFolder();
    damage(path.join(folder, name));
    expect(() => loadSecurity({ tls: folder })).toThrow(`${folder}/${name}: `);
    expect(() => loadSecurity({ tls: folder })).toThrow(message);
  });

  it.each([
    ['key.pem', /key\.pem: is not the key of cert\.pem/],
    ['ca.pem', /cert\.pem: was not signed by ca\.pem/],
  ])('a foreign %s', async (name, message) => {
    const [folder, other] = [await certificateFolder(), await certificateFolder()];
    copyFileSync(path.join(other, name), path.join(folder, name));
    expect(() => loadSecurity({ tls: folder })).toThrow(message);
  });

  it('what has expired, or is not valid yet', async () => {
    const folder = await certificateFolder(1);
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    vi.setSystemTime(Date.now() + 2 * 86_400_000);
    expect(() => loadSecurity({ tls: folder })).toThrow(/ca\.pem: expired on .*locmoe certs/);
    vi.setSystemTime(Date.now() - 9 * 86_400_000);
    expect(() => loadSecurity({ tls: folder })).toThrow(/ca\.pem: is not valid before .*clock/);
  });

  it.each(['', 'short', 'two words of a token'])('the token %j, without showing it', async (token) => {
    const folder = await certificateFolder();
    writeFileSync(tokenFile(folder), token);
    expect(() => loadSecurity({ tokenFile: tokenFile(folder) })).toThrow(
      /token: holds no join token: one line/,
    );
  });

  it('nothing where empty variables stand for unset ones', () => {
    expect(loadSecurity({ tls: '', tokenFile: '' })).toBe(NO_SECURITY);
  });
});

describe('listening', () => {
  const everywhere = { host: '0.0.0.0', port: 1 };

  it('beyond loopback asks for TLS, or for --insecure with a token', async () => {
    const { folder, security } = await clusterSecurity();
    const tokenOnly = loadSecurity({ tokenFile: tokenFile(folder) });
    expect(() => assertMayListen(everywhere, NO_SECURITY, false)).toThrow(/--tls DIR \(locmoe certs/);
    expect(() => assertMayListen(everywhere, tokenOnly, false)).toThrow(/--insecure/);
    expect(() => assertMayListen(everywhere, NO_SECURITY, true)).toThrow(/still asks for a join token/);
    assertMayListen(everywhere, tokenOnly, true);
    assertMayListen(everywhere, security, false);
    assertMayListen({ host: '127.0.0.2', port: 1 }, NO_SECURITY, false);
  });
});

describe('a member', () => {
  it('with certificate and token is let in, in plain text too', async () => {
    const { folder, security } = await clusterSecurity();
    expect(await status((await serveAll(security)).address, security)).toBeDefined();
    const tokenOnly = loadSecurity({ tokenFile: tokenFile(folder) });
    expect(await status((await serveAll(tokenOnly)).address, tokenOnly)).toBeDefined();
  });

  it('without the token is refused by every method, and the server tells the address but not the token', async () => {
    const { folder, security } = await clusterSecurity();
    writeFileSync(tokenFile(folder), 'a-wrong-token-of-good-length');
    for (const method of ['Join', 'Session', 'GetStatus', 'StreamLogs', 'Stop']) {
      const { address, refusals } = await serveAll(security);
      for (const wrong of [{ tls: folder }, { tls: folder, tokenFile: tokenFile(folder) }])
        expect(await codeOf(method, address, loadSecurity(wrong))).toBe(grpc.status.UNAUTHENTICATED);
      const line = `^refused .*/${method} of 127\\.0\\.0\\.1:\\d+: wrong join token`;
      expect(refusals[0]).toMatch(new RegExp(line));
      expect(refusals.join()).not.toContain('a-wrong-token');
    }
  });

  it('that cannot be trusted is told why', async () => {
    const { folder, security } = await clusterSecurity();
    const stranger = (await clusterSecurity()).security;
    const { address } = await serveAll(security);
    const plain = loadSecurity({ tokenFile: tokenFile(folder) });
    await expect(status(address, loadSecurity({ tls: folder }))).rejects.toThrow(
      /refused the join token: none was given; pass --token-file/,
    );
    await expect(status(address, stranger)).rejects.toThrow(
      /was not signed by .*ca\.pem: it has another authority/,
    );
    await expect(status(address, plain)).rejects.toThrow(/it asks for TLS: give --tls DIR/);
    const open = await serveAll(plain);
    await expect(status(open.address, security)).rejects.toThrow(/it speaks plain text, not TLS/);
    await expect(status({ ...address, port: 9 }, security)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('whose certificate is of another authority is told so', async () => {
    const { security } = await clusterSecurity();
    const stranger = (await clusterSecurity()).security;
    const { address } = await serveAll(security);
    const mixed = { tls: { ...stranger.tls!, ca: security.tls!.ca } };
    expect(await findConnectionProblem(address, mixed)).toEqual({
      kind: 'absent',
      text: expect.stringMatching(/ended the connection after the handshake; does it trust .*cert\.pem\?/),
    });
  });
});

describe('the handshake', () => {
  it.each([
    ['without a client certificate', { minVersion: 'TLSv1.3' as SecureVersion }, /certificate required/i],
    ['below TLS 1.3', { maxVersion: 'TLSv1.2' as SecureVersion }, /protocol version/i],
  ])('%s fails', async (_what, options, message) => {
    const { security } = await clusterSecurity();
    const { port } = (await serveAll(security)).address;
    const { ca } = security.tls!;
    const socket = connect({
      host: '127.0.0.1',
      port,
      ca,
      servername: 'locmoe',
      ALPNProtocols: ['h2'],
      ...options,
    });
    expect(await failureOf(socket)).toMatch(message);
  });
});

describe('health', () => {
  it('needs the certificate but not the token', async () => {
    const { folder, security } = await clusterSecurity();
    const { address } = await serveAll(security);
    const at = formatAddress(address);
    await checkHealth(at, loadSecurity({ tls: folder }));
    await expect(checkHealth(at, NO_SECURITY)).rejects.toThrow(/is not healthy: it asks for TLS/);
    await expect(checkHealth('127.0.0.1:9', NO_SECURITY)).rejects.toThrow(/nothing listens on that port/);
  });

  it('does not wait for ever for one that is silent', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    await expect(checkHealth(`127.0.0.1:${port}`, NO_SECURITY)).rejects.toThrow(/no answer within 3 s/);
  });
});

/** Status code with which a call of any method ends. */
function codeOf(method: string, address: Address, security: Security): Promise<grpc.status> {
  const {
    path: at,
    requestSerialize,
    responseDeserialize,
  } = loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator')[method];
  const client = new grpc.Client(formatAddress(address), security.channelCredentials, security.clientOptions);
  return new Promise<grpc.status>((resolve) => {
    const call = client.makeBidiStreamRequest(at, requestSerialize, responseDeserialize);
    call.on('status', ({ code }) => resolve(code));
    call.on('error', () => undefined);
    call.on('data', () => undefined);
    call.write({});
    call.end();
  }).finally(() => client.close());
}

function failureOf(socket: TLSSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('error', ({ message }) => resolve(message));
    socket.once('data', () => reject(new Error('the server spoke to this client')));
  });
}
