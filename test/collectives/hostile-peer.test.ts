import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Server } from '@grpc/grpc-js';
import { endOf, type FromRank, forkProgram, type RankSpec } from '@locmoe/test-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataPlane } from '../../src/agent/data-plane.js';
import { PeerStreams } from '../../src/agent/peer-streams.js';
import { grpcTransport } from '../../src/agent/transport/grpc-transport.js';
import { encodeHeader, MESSAGE_HEADER_BYTES } from '../../src/collectives/message.js';
import type { TrainerError } from '../../src/errors.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { listenOnLoopback } from '../agent/support.js';
import { encodeFrame, frameReader } from '../rpc/whole-frame.js';

// Node 0 is real: a data plane, and rank 0 in its own process, which waits in a barrier for rank 1. Node 1 is only a
// stream that sends arbitrary bytes.

const WORKER = fileURLToPath(new URL('./failures.program.ts', import.meta.url));
const RUN = { runId: `hostile-${process.pid}`, generation: 1, ringBytes: 1 << 14, keepaliveMs: 5_000 };
const TIMEOUT_MS = 20_000;

let errors: TrainerError[];
let servers: Server[];
let plane: DataPlane;
let peer: PeerStreams;
let worker: ChildProcess;
let send: (encoded: Buffer) => void;
/** Deadline of the collectives of rank 0. */
let timeoutMs: number;

beforeEach(async () => {
  errors = [];
  timeoutMs = TIMEOUT_MS;
  const [ours, theirs] = [new Server(), new Server()];
  servers = [ours, theirs];
  const addresses = [await listenOnLoopback(ours), await listenOnLoopback(theirs)];
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

/** Starts rank 0 and sends it `frames` from node 1; returns how rank 0 ends. */
async function receive(...frames: readonly Buffer[]): Promise<FromRank> {
  worker = forkProgram(WORKER);
  const spec: RankSpec = {
    rank: 0,
    numNodes: 2,
    workersPerNode: 1,
    timeoutMs,
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

/** Makes the header of the message that rank 0 waits for, or of a later one. */
function header(sequence = 1): Uint8Array {
  const encoded = new Uint8Array(MESSAGE_HEADER_BYTES);
  encodeHeader(encoded, { kind: 'barrier', purpose: 'step' }, { sequence, step: 0 }, 0, true);
  return encoded;
}

/** Makes a frame with part of the message from rank 1 to rank 0, starting at byte `offset`. */
function frame(offset: number, payload: Uint8Array): Buffer {
  return encodeFrame({ generation: 1, operation: 1, sections: [1, 0, offset, payload.length], payload });
}

describe('an invalid frame from another node', () => {
  // Violations of the protocol are tested in ring-relay.test.ts, mismatches in collective-errors.test.ts.
  it('ends the run with BAD_MESSAGE and names the node', async () => {
    const message = /from node 1 carries offset 20 instead of 0/;
    const outcome = await receive(frame(20, header().subarray(20)), frame(0, header().subarray(0, 20)));
    expect(errors).toEqual([expect.objectContaining({ code: 'BAD_MESSAGE' })]);
    expect(errors[0].message).toMatch(message);
    expect(outcome).toMatchObject({
      type: 'error',
      error: { code: 'ABORTED', message: expect.stringMatching(message) },
    });
  });

  it('breaks the stream where it is cut off, names the node and says what was wrong', async () => {
    const cut = frame(0, header());
    const outcome = await receive(cut.subarray(0, cut.length - 10));
    expect(errors).toEqual([expect.objectContaining({ code: 'NODE_LOST' })]);
    expect(errors[0].message).toMatch(
      /between node 0 and node 1 at \S+ broke: .*a data frame from another node/,
    );
    expect(outcome).toMatchObject({ type: 'error', error: { code: 'ABORTED' } });
  });

  it('is a mismatch that names the rank if it is of another operation', async () => {
    const message = /rank 1 \(node 1\) sent barrier step \(operation 9\)/;
    expect(await receive(frame(0, header(9)))).toMatchObject({
      type: 'error',
      error: { code: 'COLLECTIVE_MISMATCH', message: expect.stringMatching(message) },
    });
    expect(errors).toEqual([]);
  });
});

it('a node that sends nothing is a time-out that names its rank', async () => {
  timeoutMs = 500;
  expect(await receive()).toMatchObject({
    type: 'error',
    error: {
      code: 'COLLECTIVE_TIMEOUT',
      message: expect.stringMatching(/^waited \d+\.\d s for rank 1 \(node 1\)$/),
    },
  });
});
