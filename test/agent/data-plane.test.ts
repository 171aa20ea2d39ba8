import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { DataPlane, type DataPlaneOptions } from '../../src/agent/data-plane.js';
import { FaultyLink } from '../../src/agent/faulty-link.js';
import { encodeHeader, MESSAGE_HEADER_BYTES } from '../../src/collectives/message.js';
import { ShmSegment } from '../../src/collectives/shm-segment.js';
import { GRACE } from '../../src/config/timeouts.js';
import type { TrainerError } from '../../src/errors.js';
import { formatAddress } from '../../src/rpc/address.js';
import { loadSecurity, NO_SECURITY } from '../../src/rpc/security.js';
import { createRpcServer, listen, type RpcServer } from '../../src/rpc/server.js';
import { certificateFolder } from '../rpc/certificate-folder.js';
import { listenOnLoopback, until } from './support.js';

// Two nodes of one worker each, both in this process, with real memory, futexes and streams. The test plays the
// workers.
const RING_BYTES = 1 << 14;
const SHAPE = { numNodes: 2, workersPerNode: 1 };

let numRuns = 0;
let runId: string;
let nodes: Node[];

interface Node {
  readonly plane: DataPlane;
  readonly rpc: RpcServer;
  readonly address: string;
  /** The segment as the node's worker has mapped it. */
  readonly memory: ShmSegment;
  readonly errors: TrainerError[];
}

beforeEach(() => {
  runId = `plane-test-${process.pid}-${numRuns++}`;
  nodes = [];
});

afterEach(async () => {
  for (const { plane } of nodes) plane.abort('the test is over');
  await Promise.all(nodes.map(({ plane }) => plane.close()));
  for (const { rpc, memory } of nodes) {
    rpc.close();
    memory.close();
  }
});

type Changes = Partial<DataPlaneOptions> & {
  /** Whether the server accepts direct streams. */
  readonly accepts?: 'direct' | 'grpc-js';
};

async function startNode(node: number, { accepts = 'direct', ...changes }: Changes = {}): Promise<Node> {
  const rpc = createRpcServer(changes.security);
  const address =
    accepts === 'direct'
      ? formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen'))
      : await listenOnLoopback(rpc.server);
  const errors: TrainerError[] = [];
  const plane = DataPlane.create({
    ...SHAPE,
    runId,
    generation: 1,
    node,
    ringBytes: RING_BYTES,
    interNodeLink: null,
    keepaliveMs: 5_000,
    server: rpc.server,
    findDirect: rpc.findDirect,
    onError: (error) => errors.push(error),
    ...changes,
  });
  const memory = ShmSegment.attach(plane.segmentPath, 1, { ...SHAPE, node });
  const started = { plane, rpc, address, memory, errors };
  nodes.push(started);
  return started;
}

async function connect(a: Node, b: Node): Promise<void> {
  await Promise.all([
    a.plane.connect([{ node: 1, address: b.address }], 5_000),
    b.plane.connect([{ node: 0, address: a.address }], 5_000),
  ]);
}

async function startPair(changes: Changes = {}): Promise<readonly [Node, Node]> {
  const [a, b] = [await startNode(0, changes), await startNode(1, changes)];
  await connect(a, b);
  return [a, b];
}

const payloadOf = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) & 255);

/**
 * Starts sending as the worker of `node` would. Returns a function that continues, and is true once all is in the ring.
 */
function sender({ memory }: Node, from: number, to: number, payload: Uint8Array): () => boolean {
  const header = new Uint8Array(MESSAGE_HEADER_BYTES);
  const operation = { kind: 'all-to-all', purpose: 'dispatch' } as const;
  encodeHeader(header, operation, { sequence: 1, step: 1 }, payload.length, false);
  const bytes = Buffer.concat([header, payload]);
  const [ring, agent] = [memory.ring(from, to), memory.doorbell(SHAPE.workersPerNode)];
  let at = 0;
  return () => {
    const count = ring.write(bytes, at);
    at += count;
    if (count > 0) agent.ring();
    return at === bytes.length;
  };
}

/**
 * Reads a message as the worker of `node` would. Returns a function that gives the payload once all of it has arrived.
 */
function receiver({ memory }: Node, from: number, to: number, bytes: number): () => Uint8Array | null {
  const got = new Uint8Array(MESSAGE_HEADER_BYTES + bytes);
  const [ring, agent] = [memory.ring(from, to), memory.doorbell(SHAPE.workersPerNode)];
  let at = 0;
  return () => {
    const count = ring.read(got.subarray(at), 0);
    at += count;
    if (count > 0) agent.ring();
    return at === got.length ? got.subarray(MESSAGE_HEADER_BYTES) : null;
  };
}

describe('between two nodes', () => {
  it.each([
    { stream: 'direct', accepts: 'direct' },
    { stream: 'direct', accepts: 'grpc-js' },
    { stream: 'grpc-js', accepts: 'direct' },
    { interNodeLink: { gbps: 1, latencyMs: 1 } },
    { faultyLink: new FaultyLink() },
  ] as const)(
    'bytes pass from ring to ring, both ways, many times what a ring holds: %o',
    async (changes) => {
      const [a, b] = await startPair(changes);
      const [there, back] = [payloadOf(20 * RING_BYTES), payloadOf(7 * RING_BYTES + 3)];
      const sends = [sender(a, 0, 1, there), sender(b, 1, 0, back)];
      const receives = [receiver(b, 0, 1, there.length), receiver(a, 1, 0, back.length)];
      await until(() => {
        for (const send of sends) send();
        return receives.every((receive) => receive() !== null);
      });
      expect(Buffer.compare(receives[0]()!, there)).toBe(0);
      expect(Buffer.compare(receives[1]()!, back)).toBe(0);
      expect(a.plane.stats.bytesSent).toBe(there.length + MESSAGE_HEADER_BYTES);
      expect(a.plane.stats.framesSent).toBeGreaterThan(1);
      expect([...a.errors, ...b.errors]).toEqual([]);
    },
  );

  it.each(['direct', 'grpc-js'] as const)('the same with mutual TLS and a token: %s', async (stream) => {
    const folder = await certificateFolder();
    const security = loadSecurity({ tls: folder, tokenFile: `${folder}/token` });
    const [a, b] = await startPair({ stream, security });
    const payload = payloadOf(20 * RING_BYTES);
    const [send, receive] = [sender(a, 0, 1, payload), receiver(b, 0, 1, payload.length)];
    await until(() => {
      send();
      return receive() !== null;
    });
    expect(Buffer.compare(receive()!, payload)).toBe(0);
    expect([...a.errors, ...b.errors]).toEqual([]);
    for (const { rpc } of [a, b]) expect(rpc.strangers.size).toBe(0);
  });

  it.each(['direct', 'grpc-js'] as const)('a node without the token is told so: %s', async (stream) => {
    const folder = await certificateFolder();
    const security = loadSecurity({ tokenFile: `${folder}/token` });
    const [a, b] = [await startNode(0, { security }), await startNode(1, { stream, security: NO_SECURITY })];
    await expect(b.plane.connect([{ node: 0, address: a.address }], 1_000)).rejects.toThrow(
      /cannot open the data stream from node 0 at \S+: .*none was given; pass --token-file/,
    );
  });

  it('messages of an ended worker are still sent before the node leaves', async () => {
    const [a, b] = await startPair();
    const payload = payloadOf(3 * RING_BYTES);
    const [send, receive] = [sender(a, 0, 1, payload), receiver(b, 0, 1, payload.length)];
    await until(() => {
      receive();
      return send();
    });
    const closed = a.plane.close();
    await until(() => receive() !== null);
    await closed;
    expect(Buffer.compare(receive()!, payload)).toBe(0);
  });

  it('an aborted node does not wait for what lies in its rings', async () => {
    const { drainMs } = GRACE;
    Object.assign(GRACE, { drainMs: 3_600_000 });
    onTestFinished(() => void Object.assign(GRACE, { drainMs }));
    const [a] = await startPair();
    const send = sender(a, 0, 1, payloadOf(3 * RING_BYTES));
    send();
    await until(() => a.plane.stats.framesSent > 0);
    send();
    a.plane.abort('rank 1 failed');
    await a.plane.close();
    expect(a.memory.ring(0, 1).readable).toBeGreaterThan(0);
  });

  it('a limited link holds bytes back for its latency', async () => {
    const [a, b] = await startPair({ interNodeLink: { gbps: 1, latencyMs: 120 } });
    const payload = payloadOf(100);
    const [send, receive] = [sender(a, 0, 1, payload), receiver(b, 0, 1, payload.length)];
    const started = performance.now();
    send();
    await until(() => receive() !== null);
    expect(performance.now() - started).toBeGreaterThanOrEqual(119);
  });

  it('a cut link holds bytes back until it is whole again', async () => {
    const faultyLink = new FaultyLink();
    const [a, b] = [await startNode(0, { faultyLink }), await startNode(1)];
    await connect(a, b);
    const payload = payloadOf(5 * RING_BYTES);
    const [send, receive] = [sender(a, 0, 1, payload), receiver(b, 0, 1, payload.length)];
    faultyLink.inflict({ seconds: 3600, bytesPerS: 0 });
    send();
    await until(() => a.plane.stats.framesSent > 0);
    expect(b.memory.ring(0, 1).readable).toBe(0);
    faultyLink.inflict({ seconds: 0, bytesPerS: 0 });
    await until(() => {
      send();
      return receive() !== null;
    });
    expect(Buffer.compare(receive()!, payload)).toBe(0);
    expect([...a.errors, ...b.errors]).toEqual([]);
  });

  it('a dead peer is told once, as a lost node', async () => {
    const [a, b] = await startPair();
    b.rpc.close();
    await until(() => a.errors.length > 0);
    expect(a.errors.map(({ code }) => code)).toEqual(['NODE_LOST']);
  });
});

describe('the memory of a node', () => {
  it('loses its name as soon as all its workers have mapped it, and works on', async () => {
    const [a, b] = await startPair();
    const path = a.plane.segmentPath;
    expect(existsSync(path)).toBe(true);
    a.memory.control(0).pid = process.pid;
    a.memory.doorbell(SHAPE.workersPerNode).ring();
    await until(() => !existsSync(path));
    const [send, receive] = [sender(a, 0, 1, payloadOf(10)), receiver(b, 0, 1, 10)];
    send();
    await until(() => receive() !== null);
  });

  it('loses its name at the end, also where no worker came', async () => {
    const { plane } = await startNode(0);
    await plane.close();
    expect(existsSync(plane.segmentPath)).toBe(false);
    nodes[0].memory.close();
    nodes[0].rpc.close();
    nodes = [];
  });

  it('tells workers to stop and why the run is over: the first reason stays', async () => {
    const { plane, memory } = await startNode(0);
    expect([memory.stopRequested, memory.abortReason]).toEqual([false, null]);
    plane.requestStop();
    plane.abort('first');
    plane.abort('second');
    expect([memory.stopRequested, memory.abortReason]).toEqual([true, 'first']);
  });

  it('shows what a worker is doing and what it did', async () => {
    const { plane, memory } = await startNode(0);
    expect(plane.progressOf(0)).toMatchObject({ pid: 0, operation: null });
    memory.control(0).setProgress(3, 'reduce');
    memory.control(0).startOperation({ kind: 'all-reduce', purpose: 'gradients' }, 8);
    const start = {
      step: 3,
      sequence: 8,
      numSends: 1,
      numReceives: 1,
      bytesOut: 4,
      bytesIn: 4,
      startMs: 1,
    };
    memory.flight(0).begin({ kind: 'all-reduce', purpose: 'gradients' }, start);
    expect(plane.progressOf(0)).toMatchObject({
      step: 3,
      phase: 'reduce',
      operation: { sequence: 8, active: true },
    });
    expect(plane.flightOf(0).read()).toMatchObject([{ sequence: 8, purpose: 'gradients', step: 3 }]);
  });
});
