import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PeerStreams, type PeerStreamsOptions } from '../../src/agent/peer-streams.js';
import type { TrainerError } from '../../src/errors.js';
import { decodeFrame } from '../../src/rpc/frame-codec.js';
import { loadService } from '../../src/rpc/load-proto.js';
import { NO_SECURITY } from '../../src/rpc/security.js';

const SEED = 20_260_101;
const RUN = { runId: 'fuzz', generation: 1, numNodes: 2, ringBytes: 4096 };
const errors: TrainerError[] = [];
const { Pull } = loadService('collectives', 'locmoe.collectives.v1.Collectives');

let server: Server;
let address: string;
let streams: PeerStreams;

beforeAll(async () => {
  server = new Server();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  address = `127.0.0.1:${port}`;
  streams = new PeerStreams(optionsOf(0, server));
});

afterAll(async () => {
  await streams.close();
  server.forceShutdown();
});

function optionsOf(node: number, of: Server): PeerStreamsOptions {
  return {
    ...{ ...RUN, node, keepaliveMs: 5_000, server: of, security: NO_SECURITY },
    onPull: () => undefined,
    onFrame: () => undefined,
    onCredit: () => undefined,
    onError: (error) => errors.push(error),
  };
}

const uint32 = fc.oneof(fc.nat(3), fc.constantFrom(2 ** 31, 2 ** 32 - 1));
const open = fc
  .record({
    ...{ runId: fc.constantFrom('fuzz', 'other', ''), generation: fc.constantFrom(0, 1, 2 ** 32 - 1) },
    ...{ node: uint32, ringBytes: fc.constantFrom(0, 4096, 2 ** 32 - 1) },
  })
  // That one would be the peer.
  .filter(
    ({ runId, generation, node, ringBytes }) =>
      runId !== 'fuzz' || generation !== 1 || node !== 1 || ringBytes !== 4096,
  );
const message = fc.oneof(
  open.map((each) => ({ open: each })),
  fc.record({ credit: fc.record({ consumed: fc.array(uint32, { maxLength: 7 }) }) }),
  fc.constant({}),
);
/** What does not decode to an open: its field would begin with 0x0a. */
const garbage = fc
  .uint8Array({ maxLength: 60 })
  .filter((bytes) => !bytes.includes(0x0a))
  .map((bytes) => Buffer.from(bytes));

function call(client: Client, messages: readonly object[]): Promise<void> {
  return new Promise((resolve) => {
    const stream = client.makeBidiStreamRequest<object, object>(
      Pull.path,
      (each) => (Buffer.isBuffer(each) ? each : Pull.requestSerialize(each)),
      decodeFrame,
    );
    stream.on('data', () => undefined);
    stream.on('error', () => undefined);
    stream.on('status', () => resolve());
    for (const each of messages) stream.write(each);
    stream.end();
  });
}

it('whatever strangers send to a node agent, its peer still gets its stream', async () => {
  const client = new Client(address, credentials.createInsecure());
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.oneof(message, garbage), { minLength: 1, maxLength: 4 }), {
        minLength: 40,
        maxLength: 40,
      }),
      async (calls) => {
        await Promise.all(calls.map((messages) => call(client, messages)));
        return errors.length === 0;
      },
    ),
    { seed: SEED, numRuns: 15 },
  );
  client.close();
  const other = new Server();
  const peer = new PeerStreams(optionsOf(1, other));
  await peer.connect([{ node: 0, address }], 5_000);
  expect(errors).toEqual([]);
  await peer.close();
});
