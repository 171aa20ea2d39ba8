import { hostname } from 'node:os';
import { Client, credentials, Server, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { PeerStreams, type PeerStreamsOptions } from '../../src/agent/peer-streams.js';
import { grpcTransport } from '../../src/agent/transport/grpc-transport.js';
import { TrainerError } from '../../src/errors.js';
import type { Frame } from '../../src/rpc/generated/messages.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { encodeFrame, frameReader } from '../rpc/whole-frame.js';
import { listenOnLoopback, until } from './support.js';

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
  const address = await listenOnLoopback(server);
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
  const started = { streams, server, address, errors, frames, credits, sends };
  nodes.push(started);
  return started;
}

async function connectPair(a: Node, b: Node): Promise<void> {
  await Promise.all([
    a.streams.connect([{ node: 1, address: b.address }], 5000),
    b.streams.connect([{ node: 0, address: a.address }], 5000),
  ]);
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

it('calls of strangers are refused for a reason, and the peer still gets its stream', async () => {
  const [a, b] = [await startNode(0), await startNode(1)];
  const { INVALID_ARGUMENT, FAILED_PRECONDITION } = status;
  const refusals: [object[], status, RegExp][] = [
    [[{ open: { ...OPEN, node: 5 } }], INVALID_ARGUMENT, /node 5 is no peer of node 0/],
    [[{ open: { ...OPEN, node: 0 } }], INVALID_ARGUMENT, /node 0 is no peer of node 0/],
    [[{ open: { ...OPEN, node: 7 } }, { open: OPEN }], INVALID_ARGUMENT, /node 7 is no peer/],
    [[{ credit: { consumed: [0, 1, 5] } }], INVALID_ARGUMENT, /first message must be `open`/],
    [[{}], INVALID_ARGUMENT, /first message must be `open`/],
    [[Buffer.from('1a7f', 'hex')], INVALID_ARGUMENT, /Pull: a message cannot be decoded: index out of/],
    [
      [{ open: { ...OPEN, runId: 'b' } }],
      FAILED_PRECONDITION,
      /node 0 takes part in run run-a, not in run b/,
    ],
    [[{ open: { ...OPEN, generation: 2 } }], FAILED_PRECONDITION, /is in generation 1, not in generation 2/],
    [
      [{ open: { ...OPEN, ringBytes: 1 } }],
      FAILED_PRECONDITION,
      /ringBytes is 4096 on node 0 and 1 on node 1/,
    ],
  ];
  for (const [messages, code, details] of refusals)
    expect(await pull(a.address, ...messages)).toEqual({ code, details: expect.stringMatching(details) });
  await connectPair(a, b);
  expect([...a.errors, ...b.errors]).toEqual([]);
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
    await listenOnLoopback(server, Number(address.split(':')[1]));
    await startNode(1, { server });
    await connected;
    server.forceShutdown();
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

it('a node says which peer refused it and why, also if its last try has no answer', async () => {
  const node = await startNode(1);
  const peer = new Server();
  let numCalls = 0;
  peer.addService(loadProto('collectives', 'locmoe.collectives.v1.Collectives'), {
    Pull: (call: { emit(event: 'error', error: Outcome): void }) => {
      if (numCalls++ === 0) call.emit('error', { code: status.UNAUTHENTICATED, details: 'no token' });
    },
  });
  const address = await listenOnLoopback(peer);
  await expect(
    node.streams.connect([{ node: 0, address }], 1_000).finally(() => peer.forceShutdown()),
  ).rejects.toThrow(/cannot open the data stream from node 0 at \S+: no token;/);
  expect(numCalls).toBe(2);
});
