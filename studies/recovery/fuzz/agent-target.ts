import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Metadata, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { DataPlane } from 'locmoe/internal/agent/data-plane';
import { ShmSegment } from 'locmoe/internal/collectives/shm-segment';
import { timeoutsOf } from 'locmoe/internal/config/timeouts';
import type { TrainerError } from 'locmoe/internal/errors';
import { encodeHead } from 'locmoe/internal/rpc/frame-codec';
import type { Frame } from 'locmoe/internal/rpc/generated/messages';
import { loadProto } from 'locmoe/internal/rpc/load-proto';
import { RawClient } from './raw-grpc.js';

export const { Pull } = loadProto('collectives', 'locmoe.collectives.v1.Collectives');

/** The first message of a peer to the agent. */
export const OPEN = { runId: `fuzz-${process.pid}`, generation: 2, node: 1, ringBytes: 4096 };

const SETTLE_MS = 2_000;

type PeerCall = ServerDuplexStream<object, Buffer>;

/** The bytes of a frame. */
export function encodeFrame({ generation, operation, sections, payload }: Frame): Buffer {
  return Buffer.concat([encodeHead(generation, operation, sections, payload.length), payload]);
}

/** Waits until a condition holds; false if it does not in time. */
export async function until(isSo: () => boolean): Promise<boolean> {
  const deadline = performance.now() + SETTLE_MS;
  while (!isSo()) {
    if (performance.now() > deadline) return false;
    await turn();
  }
  return true;
}

async function listen(server: Server): Promise<string> {
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return `127.0.0.1:${port}`;
}

/**
 * The live data plane of node 0, with one worker that exists only as its shared memory. The caller plays node 1: it
 * sends arbitrary bytes through `toAgent`, and calls the agent with `raw`.
 */
export class AgentTarget {
  readonly #servers: readonly Server[];
  readonly plane: DataPlane;
  readonly errors: readonly TrainerError[];
  /** The segment as the worker sees it. */
  readonly segment: ShmSegment;
  /** The server's side of the call by which the agent pulls from node 1; what is written here reaches the agent. */
  readonly toAgent: PeerCall;
  readonly raw: RawClient;

  private constructor(
    servers: readonly Server[],
    plane: DataPlane,
    errors: readonly TrainerError[],
    toAgent: PeerCall,
    address: string,
  ) {
    this.#servers = servers;
    this.plane = plane;
    this.errors = errors;
    this.toAgent = toAgent;
    this.raw = new RawClient(address);
    const place = { node: 0, numNodes: 2, workersPerNode: 1 };
    this.segment = ShmSegment.attach(plane.segmentPath, OPEN.generation, place);
  }

  static async start(): Promise<AgentTarget> {
    const [ours, theirs] = [new Server(), new Server()];
    const opened = new Promise<PeerCall>((resolve) => {
      theirs.addService(
        { Pull: { ...Pull, responseSerialize: (encoded: Buffer) => encoded } },
        {
          Pull: async (call: PeerCall) => {
            call.on('error', () => undefined);
            await once(call, 'data');
            call.sendMetadata(new Metadata());
            resolve(call);
          },
        },
      );
    });
    const addresses = [await listen(ours), await listen(theirs)];
    const errors: TrainerError[] = [];
    const plane = DataPlane.create({
      ...OPEN,
      node: 0,
      numNodes: 2,
      workersPerNode: 1,
      interNodeLink: null,
      server: ours,
      keepaliveMs: timeoutsOf({ collectiveTimeoutS: 10 }).peerKeepaliveMs,
      onError: (error) => errors.push(error),
    });
    await plane.connect([{ node: 1, address: addresses[1]! }], 5_000);
    return new AgentTarget([ours, theirs], plane, errors, await opened, addresses[0]!);
  }

  async close(): Promise<void> {
    this.plane.abort('the end of a round');
    this.raw.close();
    this.toAgent.end();
    await this.plane.close();
    this.segment.close();
    for (const server of this.#servers) server.forceShutdown();
  }
}
