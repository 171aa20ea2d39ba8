import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { endOf, type FromRank, forkProgram, type RankSpec } from '@locmoe/test-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataPlane } from '../../src/agent/data-plane.js';
import { PeerStreams } from '../../src/agent/peer-streams.js';
import { grpcTransport } from '../../src/agent/transport/grpc-transport.js';
import { encodeHeader, MESSAGE_HEADER_BYTES } from '../../src/collectives/message.js';
import type { TrainerError } from '../../src/errors.js';
import type { Frame } from '../../src/rpc/generated/messages.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { encodeFrame, frameReader } from '../rpc/whole-frame.js';

// Node 0 is real: a data plane, and rank 0 in a process of its own, which waits in a barrier for rank 1. Node 1 has
// only a stream, and sends what it likes.

const WORKER = fileURLToPath(new URL('./failures.program.ts', import.meta.url));
const RUN = { runId: `hostile-${process.pid}`, generation: 1, ringBytes: 1 << 14, keepaliveMs: 5_000 };
const TIMEOUT_MS = 20_000;

let errors: TrainerError[];
let servers: Server[];
let plane: DataPlane;
let peer: PeerStreams;
let worker: ChildProcess;
let send: (encoded: Buffer) => void;

async function listen(server: Server): Promise<string> {
  servers.push(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return `127.0.0.1:${port}`;
}

beforeEach(async () => {
  errors = [];
  servers = [];
  const [ours, theirs] = [new Server(), new Server()];
  const addresses = [await listen(ours), await listen(theirs)];
  plane = DataPlane.create({
    ...RUN,
    node: 0,
    numNodes: 2,
    workersPerNode: 1,
    interNodeLink: null,
    server: ours,
    onError: (error) => {
      errors.push(error);
      plane.abort(error.line);
    },
  });
  const pulled = new Promise<(encoded: Buffer) => void>((resolve) => {
    peer = new PeerStreams({
      ...RUN,
      node: 1,
      numNodes: 2,
      server: theirs,
      security: NO_SECURITY,
      onPull: (_node, write) => resolve((encoded) => write([encoded], () => undefined)),
      transport: grpcTransport,
      receiver: () => frameReader(),
      onCredit: () => undefined,
      onError: () => undefined,
    });
  });
  await Promise.all([
    plane.connect([{ node: 1, address: addresses[1] }], TIMEOUT_MS),
    peer.connect([{ node: 0, address: addresses[0] }], TIMEOUT_MS),
  ]);
  send = await pulled;
});

afterEach(async () => {
  worker.kill('SIGKILL');
  await Promise.all([plane.close(), peer.close()]);
  for (const server of servers) server.forceShutdown();
});

/** Rank 0 begins, `frames` come from node 1; returns how rank 0 ends. */
async function receive(...frames: readonly Buffer[]): Promise<FromRank> {
  worker = forkProgram(WORKER);
  const spec: RankSpec = {
    rank: 0,
    numNodes: 2,
    workersPerNode: 1,
    timeoutMs: TIMEOUT_MS,
    segmentPath: plane.segmentPath,
    args: 'endless',
  };
  const outcome = new Promise<FromRank>((resolve) => worker.once('message', resolve));
  const ended = endOf(worker);
  worker.send(spec);
  for (const frame of frames) send(frame);
  await ended;
  return outcome;
}

/** The header of the message that rank 0 waits for, with changes. */
function header(changes: { sequence?: number; bytes?: number; countsHash?: number } = {}): Uint8Array {
  const { sequence = 1, bytes = 0, countsHash } = changes;
  const encoded = new Uint8Array(MESSAGE_HEADER_BYTES);
  const operation = { kind: 'barrier', purpose: 'step', countsHash } as const;
  encodeHeader(encoded, operation, { sequence, step: 0 }, bytes, true);
  return encoded;
}

/** A piece of what rank 1 sends to rank 0, from a byte on. */
function frame(offset: number, payload: Uint8Array, changes: Omit<Partial<Frame>, 'payload'> = {}): Buffer {
  const sections = [1, 0, offset, payload.length];
  return encodeFrame({ generation: 1, operation: 1, sections, payload, ...changes });
}

describe('a frame from another node that is not what it must be', () => {
  const [first, second] = [header().subarray(0, 20), header().subarray(20)];
  const cut = frame(0, header());

  it.each([
    ['reordered', [frame(20, second), frame(0, first)], /from node 1 carries offset 20 instead of 0/],
    ['duplicated', [frame(0, first), frame(0, first)], /from node 1 carries offset 0 instead of 20/],
    ['lost', [frame(0, first), frame(30, second)], /from node 1 carries offset 30 instead of 20/],
    [
      'of another generation',
      [frame(0, header(), { generation: 7 })],
      /from node 1 carries generation 7 instead of 1/,
    ],
    [
      'of a rank that is not there',
      [frame(0, header(), { sections: [3, 0, 0, MESSAGE_HEADER_BYTES] })],
      /from node 1 carries bytes of rank 3 for rank 0/,
    ],
    ['larger than the ring', [frame(0, new Uint8Array(1 << 15))], /from node 1 carries more than its credit/],
  ])('%s ends the run with BAD_MESSAGE and names the node', async (_what, frames, message) => {
    const outcome = await receive(...frames);
    expect(errors.map(({ code }) => code)).toEqual(['BAD_MESSAGE']);
    expect(errors[0].message).toMatch(message);
    expect(outcome).toMatchObject({ type: 'error', error: { code: 'ABORTED' } });
    expect(outcome).toMatchObject({ error: { message: expect.stringMatching(message) } });
  });

  it.each([
    ['in the middle', cut.subarray(0, cut.length - 10)],
    [
      'in its sections',
      encodeFrame({ generation: 1, operation: 1, sections: [1, 0, 0, 48], payload: first }),
    ],
  ])('cut off %s breaks the stream, names the node and says what was wrong', async (_what, encoded) => {
    const outcome = await receive(encoded);
    expect(errors.map(({ code }) => code)).toEqual(['NODE_LOST']);
    expect(errors[0].message).toMatch(
      /between node 0 and node 1 at \S+ broke: .*a data frame from another node/,
    );
    expect(outcome).toMatchObject({ type: 'error', error: { code: 'ABORTED' } });
  });

  it.each([
    ['the wrong hash', header({ countsHash: 0xabc }), /rank 1 \(node 1\) sent .* by counts with hash abc/],
    [
      'the wrong operation number',
      header({ sequence: 9 }),
      /rank 1 \(node 1\) sent barrier step \(operation 9\)/,
    ],
    ['the wrong size', header({ bytes: 12 }), /rank 1 \(node 1\) sent .* with 12 bytes/],
  ])('with %s is a mismatch that names the rank', async (_what, payload, message) => {
    const outcome = await receive(frame(0, payload));
    expect(outcome).toMatchObject({ type: 'error', error: { code: 'COLLECTIVE_MISMATCH' } });
    expect(outcome).toMatchObject({ error: { message: expect.stringMatching(message) } });
    expect(errors).toEqual([]);
  });
});
