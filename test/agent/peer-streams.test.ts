import { hostname } from 'node:os';
import { Client, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { PeerStreams, type PeerStreamsOptions } from '../../src/agent/peer-streams.js';
import { grpcTransport } from '../../src/agent/transport/grpc-transport.js';
import { TrainerError } from '../../src/errors.js';
import type { Frame } from '../../src/rpc/generated/messages.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { encodeFrame, frameReader } from '../rpc/whole-frame.js';

interface Node {
  readonly streams: PeerStreams;
  readonly server: Server;
  readonly address: string;
  readonly errors: TrainerError[];
  readonly frames: Frame[];
  readonly credits: (readonly number[])[];
  readonly sends: Map<number, (encoded: Uint8Array) => void>;
}

const nodes: Node[] = [];

afterEach(async () => {
  await Promise.all(nodes.map(({ streams }) => streams.close()));
  for (const { server } of nodes.splice(0)) server.forceShutdown();
});

async function startNode(node: number, changes: Partial<PeerStreamsOptions> = {}): Promise<Node> {
  const server = new Server();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const errors: TrainerError[] = [];
  const frames: Frame[] = [];
  const credits: (readonly number[])[] = [];
  const sends = new Map<number, (encoded: Uint8Array) => void>();
  const streams = new PeerStreams({
    runId: 'run-a',
    generation: 1,
    node,
    numNodes: 2,
    ringBytes: 4096,
    keepaliveMs: 5_000,
    server,
    security: NO_SECURITY,
    onPull: (peer, send) => sends.set(peer, (encoded) => send([encoded], () => undefined)),
    transport: grpcTransport,
    receiver: () => frameReader((frame) => frames.push(frame)),
    onCredit: (_peer, consumed) => credits.push(consumed),
    onError: (error) => errors.push(error),
    ...changes,
  });
  const started = { streams, server, address: `127.0.0.1:${port}`, errors, frames, credits, sends };
  nodes.push(started);
  return started;
}

async function connectPair(a: Node, b: Node): Promise<void> {
  await Promise.all([
    a.streams.connect([{ node: 1, address: b.address }], 5000),
    b.streams.connect([{ node: 0, address: a.address }], 5000),
  ]);
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5000; !condition() && Date.now() < deadline; )
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
}

interface Outcome {
  readonly code: status;
  readonly details: string;
}

/** Sends messages to a node's Pull as anybody can; returns how the call ends. */
function pull(address: string, ...messages: object[]): Promise<Outcome> {
  const client = new Client(address, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = loadProto(
    'collectives',
    'locmoe.collectives.v1.Collectives',
  ).Pull;
  const serialize = (message: object) => (Buffer.isBuffer(message) ? message : requestSerialize(message));
  const call = client.makeBidiStreamRequest<object, object>(path, serialize, responseDeserialize);
  for (const message of messages) call.write(message);
  call.on('data', () => undefined);
  return new Promise((resolve) => {
    call.on('error', () => undefined);
    call.on('status', ({ code, details }) => {
      client.close();
      resolve({ code, details });
    });
  });
}

const OPEN = { runId: 'run-a', generation: 1, node: 1, ringBytes: 4096 };

describe('a call of a stranger', () => {
  it.each([
    ['of a node that the run has not', [{ open: { ...OPEN, node: 5 } }], /node 5 is no peer of node 0/],
    ['in the name of the node itself', [{ open: { ...OPEN, node: 0 } }], /node 0 is no peer of node 0/],
    ['of credit without a name', [{ credit: { consumed: [0, 1, 5] } }], /first message must be `open`/],
    ['of nothing', [{}], /first message must be `open`/],
    [
      'that cannot be decoded',
      [Buffer.from('1a7f', 'hex')],
      /Pull: a message cannot be decoded: index out of/,
    ],
    ['that goes on when refused', [{ open: { ...OPEN, node: 7 } }, { open: OPEN }], /node 7 is no peer/],
  ])('%s is refused, and the peer still gets its stream', async (_what, messages, details) => {
    const [a, b] = [await startNode(0), await startNode(1)];
    expect(await pull(a.address, ...messages)).toEqual({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(details),
    });
    await connectPair(a, b);
    expect([...a.errors, ...b.errors]).toEqual([]);
  });
});

describe('streams between two nodes', () => {
  it('carry frames in order one way and credit the other, and end without an error', async () => {
    const [a, b] = [await startNode(0), await startNode(1)];
    await connectPair(a, b);
    for (let i = 0; i < 50; i++) {
      const payload = Buffer.alloc(1 << 16, i);
      a.sends.get(1)?.(encodeFrame({ generation: 1, operation: i, sections: [0, 1, 0, 1 << 16], payload }));
    }
    await until(() => b.frames.length === 50);
    expect(b.frames.map(({ operation, payload }) => [operation, payload[9]])).toEqual(
      Array.from({ length: 50 }, (_, i) => [i, i]),
    );
    b.streams.credit(0, [0, 1, 12345]);
    await until(() => a.credits.length === 1);
    expect(a.credits).toEqual([[0, 1, 12345]]);
    await a.streams.close();
    await b.streams.close();
    expect([...a.errors, ...b.errors]).toEqual([]);
  });

  it('wait for an agent that is not up yet', async () => {
    const late = await startNode(1);
    const { address } = late;
    await late.streams.close();
    late.server.forceShutdown();
    nodes.splice(0);
    const a = await startNode(0);
    const connected = a.streams.connect([{ node: 1, address }], 10_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const server = new Server();
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      );
    });
    await startNode(1, { server });
    await connected;
    server.forceShutdown();
  });

  it.each([
    ['another run', { runId: 'run-b' }, /node 1 takes part in run run-b, not in run run-a/],
    ['another generation', { generation: 2 }, /node 1 is in generation 2, not in generation 1/],
    ['another ring size', { ringBytes: 8192 }, /cluster.ringBytes is 8192 on node 1 and 4096 on node 0/],
  ])('refuse %s', async (_what, changes, message) => {
    const [a, b] = [await startNode(0), await startNode(1, changes)];
    const error = await a.streams.connect([{ node: 1, address: b.address }], 1_000).catch((e) => e);
    expect(error).toMatchObject({ code: 'NODE_LOST' });
    expect(error.message).toMatch(message);
    expect(b.sends.size).toBe(0);
  });

  it('name both nodes, their machines and the address that cannot be reached', async () => {
    const a = await startNode(0);
    const messageFor = (host?: string) =>
      a.streams
        .connect([{ node: 1, address: '127.0.0.1:9', ...(host === undefined ? {} : { host }) }], 300)
        .catch(({ code, message }) => `${code}: ${message}`);
    const start = `NODE_LOST: node 0 on ${hostname()} cannot open the data stream from node 1`;
    const why = 'at 127.0.0.1:9: nothing listens on that port; ';
    expect(await messageFor()).toBe(
      `${start} ${why}check that its agent runs and that the address can be reached from here (--listen, --advertise)`,
    );
    expect(await messageFor('far')).toBe(
      `${start} on far ${why}that address is only for node 1 itself: start it with --listen 0.0.0.0:PORT`,
    );
  });

  it('report a peer that is gone, once', async () => {
    const [a, b] = [await startNode(0), await startNode(1)];
    await connectPair(a, b);
    b.server.forceShutdown();
    await until(() => a.errors.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(a.errors.map(({ code }) => code)).toEqual(['NODE_LOST']);
    expect(a.errors[0].message).toMatch(/between node 0 and node 1/);
  });

  it('report a credit that cannot be taken, and end that call', async () => {
    const a = await startNode(0, {
      onCredit: () => {
        throw new Error('no such bytes');
      },
    });
    expect(await pull(a.address, { open: OPEN }, { credit: { consumed: [0] } })).toMatchObject({
      details: 'no such bytes',
    });
    expect(a.errors.map(({ message }) => message)).toEqual(['no such bytes']);
  });

  it('report a frame that cannot be taken', async () => {
    const b = await startNode(1, {
      receiver: () =>
        frameReader(() => {
          throw new TrainerError('BAD_MESSAGE', 'no room');
        }),
    });
    const a = await startNode(0);
    await connectPair(a, b);
    a.sends.get(1)?.(encodeFrame({ generation: 1, operation: 1, sections: [], payload: new Uint8Array(0) }));
    await until(() => b.errors.length > 0);
    expect(b.errors[0].message).toBe('no room');
  });
});

it('a node says why it was refused, also if its last try has no answer', async () => {
  const node = await startNode(1);
  const peer = new Server();
  let numCalls = 0;
  peer.addService(loadProto('collectives', 'locmoe.collectives.v1.Collectives'), {
    Pull: (call: { emit(event: 'error', error: Outcome): void }) => {
      if (numCalls++ === 0) call.emit('error', { code: status.UNAUTHENTICATED, details: 'no token' });
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    peer.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  await expect(
    node.streams
      .connect([{ node: 0, address: `127.0.0.1:${port}` }], 1_000)
      .finally(() => peer.forceShutdown()),
  ).rejects.toThrow(/cannot open the data stream from node 0 at \S+: no token;/);
  expect(numCalls).toBe(2);
});
