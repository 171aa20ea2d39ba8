import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { pythonWith } from '../../scripts/python-oracles.mjs';
import { PeerStreams } from '../../src/agent/peer-streams.js';
import { pullDirectly } from '../../src/agent/transport/direct-transport.js';
import type { PullCall, SendFrame } from '../../src/agent/transport/peer-transport.js';
import { selectTransport } from '../../src/agent/transport/select-transport.js';
import { NAME_HEADER } from '../../src/rpc/http2/connection-name.js';
import { tokenMetadata } from '../../src/rpc/join-token.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { loadSecurity, NO_SECURITY, type Security, withOwnToken } from '../../src/rpc/security.js';
import { createRpcServer, listen, type RpcServer } from '../../src/rpc/server.js';
import { skipLoudly } from '../debian-tool.js';
import { NIGHTLY } from '../nightly.js';
import { certificateFolder } from './certificate-folder.js';
import { frameReader } from './whole-frame.js';

// The bulk stream against gRPC's C core, which Python's package wraps.

const SIZES = [0, 1, 64 << 10, 5 << 20];
const TOKEN = 'the-token-of-this-cluster';
const PATTERN = Uint8Array.from({ length: 251 }, (_, i) => i);
const MESSAGES = SIZES.map((size) => Buffer.alloc(size, PATTERN));
const LAST = MESSAGES.length;
/** By night this exceeds both windows of a stream, so that the stream stalls unless they are updated. */
const CANCEL_AFTER_BYTES = NIGHTLY ? 2.1 * 2 ** 30 : 2 ** 20;

interface Answer {
  readonly code: string;
  readonly details: string;
  /** Length and SHA-256 of each message. */
  readonly got: readonly (readonly [number, string])[];
  readonly states: readonly string[];
}

const digested = (messages: readonly Buffer[]) =>
  messages.map((each) => [each.length, createHash('sha256').update(each).digest('hex')]);
const EXPECTED = digested(MESSAGES);

let python: ChildProcess | null = null;
const answers: unknown[] = [];
/** Number of credits received by each ended call to the Python server, by the run id of the call. */
const ended = new Map<string, number>();

beforeAll(() => {
  const interpreter = pythonWith(['grpc']);
  if (interpreter === null) return;
  const program = path.join(import.meta.dirname, 'grpc_peer.py');
  python = spawn(interpreter, [program], { stdio: ['pipe', 'pipe', 'inherit'] });
  createInterface(python.stdout!).on('line', (line) => {
    const said = JSON.parse(line);
    if ('answer' in said) answers.push(said.answer);
    else ended.set(said.ended, said.credits);
  });
});
afterAll(() => void python?.kill('SIGKILL'));
beforeEach(({ skip }) => {
  if (python === null)
    skipLoudly(skip, 'no Python with grpc; as root on Debian: node scripts/python-oracles.mjs');
});

async function ask<T>(order: object): Promise<T> {
  python!.stdin!.write(`${JSON.stringify(order)}\n`);
  await vi.waitUntil(() => answers.length > 0, { timeout: 30_000, interval: 2 });
  return answers.shift() as T;
}

describe('a client of another implementation', () => {
  interface Served {
    readonly port: number;
    readonly rpc: RpcServer;
    readonly errors: readonly Error[];
  }

  /** Serves the bulk method as an agent does. */
  async function serve(
    security: Security,
    onPull: (send: SendFrame, rpc: RpcServer) => void,
  ): Promise<Served> {
    const rpc = createRpcServer(security);
    const errors: Error[] = [];
    const streams = new PeerStreams({
      runId: 'r',
      generation: 1,
      node: 0,
      numNodes: 2,
      ringBytes: 4096,
      keepaliveMs: 5_000,
      server: rpc.server,
      security,
      transport: selectTransport({ findDirect: (name) => rpc.findDirect(name) }),
      onPull: (_, send) => onPull(send, rpc),
      receiver: () => frameReader(),
      onCredit: () => undefined,
      onError: (error) => errors.push(error),
    });
    const { port } = await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen');
    onTestFinished(async () => {
      await streams.close();
      rpc.close();
    });
    return { port, rpc, errors };
  }

  const { Pull } = loadProto('collectives', 'locmoe.collectives.v1.Collectives');
  const open = { runId: 'r', generation: 1, node: 1, ringBytes: 4096 };
  const request = Pull.requestSerialize({ request: 'open', open }).toString('hex');

  function call(port: number, { tls, token }: Security, more: object = {}): Promise<Answer> {
    const metadata = Object.entries(tokenMetadata(token));
    return ask({ do: 'call', port, tls: tls?.directory ?? null, metadata, request, ...more });
  }

  const send = (sendFrame: SendFrame, messages: readonly Buffer[]) => {
    for (const each of messages) sendFrame([each], () => undefined);
  };

  it('gets every message, of 0 B to 5 MiB, and a status, in plain text and with certificates', async () => {
    for (const security of [NO_SECURITY, loadSecurity({ tls: await certificateFolder() })]) {
      const { port, errors } = await serve(security, (sendFrame) => send(sendFrame, MESSAGES));
      expect(await call(port, security, { end_after: LAST })).toMatchObject({ code: 'OK', got: EXPECTED });
      expect(errors).toEqual([]);
    }
  });

  it('that has a name for its connection which the connection does not say gets them too', async () => {
    const { port } = await serve(NO_SECURITY, (sendFrame) => send(sendFrame, MESSAGES));
    const metadata = [[NAME_HEADER, '0'.repeat(32)]];
    expect(await call(port, NO_SECURITY, { end_after: LAST, metadata })).toMatchObject({
      code: 'OK',
      got: EXPECTED,
    });
  });

  it('is refused without the token, and let in with it', async () => {
    const security = withOwnToken(TOKEN);
    const { port } = await serve(security, (sendFrame) => send(sendFrame, MESSAGES));
    expect(await call(port, NO_SECURITY)).toMatchObject({
      code: 'UNAUTHENTICATED',
      details: expect.stringMatching(/^none was given/),
    });
    expect(await call(port, withOwnToken('another'))).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(await call(port, security, { end_after: LAST })).toMatchObject({ code: 'OK', got: EXPECTED });
  });

  it('that cancels in the middle, or whose deadline passes, is lost to the agent', async () => {
    for (const [more, code] of [
      [{ cancel_after: 2 }, 'CANCELLED'],
      [{ timeout: 0.3 }, 'DEADLINE_EXCEEDED'],
    ] as const) {
      const { port, errors } = await serve(NO_SECURITY, (sendFrame) => send(sendFrame, MESSAGES));
      expect(await call(port, NO_SECURITY, more)).toMatchObject({ code });
      await vi.waitUntil(() => errors.length > 0);
      expect(errors).toEqual([expect.objectContaining({ code: 'NODE_LOST' })]);
    }
  });

  it('whose server ends in the middle is told so', async () => {
    const { port } = await serve(NO_SECURITY, (sendFrame, rpc) => {
      send(sendFrame, MESSAGES.slice(0, 2));
      setTimeout(() => rpc.close(), 100);
    });
    const { code, got } = await call(port, NO_SECURITY);
    expect(code).toMatch(/^(UNAVAILABLE|CANCELLED)$/);
    expect(got).toEqual(EXPECTED.slice(0, 2));
  });

  it('gets the rest of its call after a GOAWAY (RFC 9113, section 6.8)', async () => {
    const { port } = await serve(NO_SECURITY, (sendFrame, rpc) => {
      send(sendFrame, MESSAGES.slice(0, 2));
      rpc.server.tryShutdown(() => undefined);
      setTimeout(() => send(sendFrame, MESSAGES.slice(2)), 100);
    });
    const { code, got, states } = await call(port, NO_SECURITY, { end_after: LAST });
    expect({ code, got }).toEqual({ code: 'OK', got: EXPECTED });
    expect(states.slice(states.indexOf('READY'))).toEqual(['READY', 'IDLE']);
  });
});

describe('a server of another implementation', () => {
  interface Pulled {
    readonly run: string;
    readonly call: PullCall;
    /** Total bytes received; `memory` keeps only the first of them. */
    readonly total: () => number;
    readonly memory: Buffer;
  }

  let numRuns = 0;

  /** Calls a server directly. */
  async function pull(
    port: number,
    behaviour: string,
    security = NO_SECURITY,
    timeoutMs = 10_000,
  ): Promise<Pulled> {
    const run = `${behaviour}-${numRuns++}`;
    const memory = Buffer.alloc(16 << 20);
    let total = 0;
    const room = () => memory.subarray(total % memory.length);
    const call = await pullDirectly(
      {
        address: `127.0.0.1:${port}`,
        security,
        keepaliveMs: 5_000,
        timeoutMs,
        open: { request: 'open', open: { runId: run, generation: 1, node: 0, ringBytes: 4096 } },
      },
      {
        take(bytes) {
          bytes.copy(room());
          total += bytes.length;
        },
        place: (max) => room().subarray(0, max),
        filled(bytes) {
          total += bytes;
        },
      },
    );
    onTestFinished(() => call.cancel('the test is over'));
    return { run, call, total: () => total, memory };
  }

  const serve = (more: object = {}) => ask<number>({ do: 'serve', tls: null, ...more });

  /** Splits received bytes into gRPC messages. */
  function messagesOf(bytes: Buffer): Buffer[] {
    const messages: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      expect(bytes[at]).toBe(0);
      const end = at + 5 + bytes.readUInt32BE(at + 1);
      messages.push(bytes.subarray(at + 5, end));
      at = end;
    }
    return messages;
  }

  async function expectAll({ run, call, total, memory }: Pulled): Promise<void> {
    const all = MESSAGES.reduce((sum, { length }) => sum + 5 + length, 0);
    call.write({ request: 'credit', credit: { consumed: [0, 1, 5] } });
    await vi.waitUntil(() => total() === all, { timeout: 10_000, interval: 2 });
    call.end();
    expect(await call.ended).toBeNull();
    expect(digested(messagesOf(memory.subarray(0, all)))).toEqual(EXPECTED);
    await vi.waitUntil(() => ended.get(run) === 1);
  }

  it('sends us every message, of 0 B to 5 MiB, and a status, in plain text and with certificates', async () => {
    const tls = await certificateFolder();
    await expectAll(await pull(await serve(), 'pour'));
    await expectAll(await pull(await serve({ tls }), 'pour', loadSecurity({ tls })));
  });

  it('refuses us without the token, and lets us in with it', async () => {
    const port = await serve({ token: TOKEN });
    const refusal = { code: 16, details: 'no token' };
    await expect(pull(port, 'pour')).rejects.toEqual(refusal);
    await expect(pull(port, 'pour', withOwnToken('another'))).rejects.toEqual(refusal);
    await expectAll(await pull(port, 'pour', withOwnToken(TOKEN)));
  });

  it('learns that we cancel in the middle, or that our deadline has passed', async () => {
    const port = await serve();
    const { run, call, total } = await pull(port, 'endless');
    await vi.waitUntil(() => total() > CANCEL_AFTER_BYTES, { timeout: 120_000, interval: 2 });
    call.cancel('enough');
    await call.ended;
    await vi.waitUntil(() => ended.has(run));
    await expect(pull(port, 'silent', NO_SECURITY, 300)).rejects.toEqual({
      code: 14,
      details: 'no answer within 300 ms',
    });
    await vi.waitUntil(() => [...ended.keys()].some((each) => each.startsWith('silent')));
  });

  it('that breaks off in the middle is quoted', async () => {
    const { call } = await pull(await serve(), 'abort');
    expect(await call.ended).toBe('Größe: 100 %');
  });

  it('sends us the rest of our call after a GOAWAY (RFC 9113, section 6.8)', async () => {
    const port = await serve();
    await expectAll(await pull(port, 'leave'));
    await expect(pull(port, 'pour', NO_SECURITY, 2_000)).rejects.toMatchObject({ code: 14 });
  });
});
