import { hostname } from 'node:os';
import {
  Client,
  type ClientDuplexStream,
  Metadata,
  type Server,
  type ServerDuplexStream,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { GRACE } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import { collectSeldom } from '../garbage-collection.js';
import { isLoopback, parseAddress } from '../rpc/address.js';
import { findConnectionProblem } from '../rpc/connection-problem.js';
import { decodeFrame } from '../rpc/frame-codec.js';
import type { Frame, Open, Peer, PullRequest, PullRequestInput } from '../rpc/generated/messages.js';
import { loadProto, withUndecodable } from '../rpc/load-proto.js';
import type { Security } from '../rpc/security.js';
import { toServiceError } from '../rpc/status.js';

/** HTTP/2 flow-control window of a stream; gRPC's default of 64 KiB costs two thirds of the throughput. */
export const FLOW_CONTROL_WINDOW_BYTES = 4 << 20;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 1000;

const loaded = loadProto('collectives', 'locmoe.collectives.v1.Collectives');
const service = {
  Pull: { ...withUndecodable(loaded.Pull), responseSerialize: (encoded: Buffer) => encoded },
};

type PullCall = ClientDuplexStream<PullRequestInput, Frame>;
type ServedCall = ServerDuplexStream<PullRequest | TrainerError, Buffer>;

export interface PeerStreamsOptions extends Open {
  readonly numNodes: number;
  /** Server for the other nodes, which may be listening already; it serves Collectives until `close`. */
  readonly server: Server;
  /** Credentials for connecting to the other nodes. */
  readonly security: Security;
  /** A silent stream breaks after one to two times this duration; see Timeouts. */
  readonly keepaliveMs: number;
  /** Called when another node has opened its stream; `send` takes encoded frames for it. */
  readonly onPull: (node: number, send: (encoded: Buffer) => void) => void;
  readonly onFrame: (node: number, frame: Frame) => void;
  readonly onCredit: (node: number, consumed: readonly number[]) => void;
  /** Called at most once, when a stream broke (`NODE_LOST`) or violated the protocol (`BAD_MESSAGE`). */
  readonly onError: (error: TrainerError) => void;
}

/** A peer, whose host is for messages alone. */
export type PeerAddress = Omit<Peer, 'host'> & Partial<Peer>;

interface Puller extends PeerAddress {
  readonly client: Client;
  readonly call: PullCall;
  /** Resolves when the call is over, whoever ended it. */
  readonly ended: Promise<unknown>;
}

export class PeerStreams {
  readonly #pullers = new Map<number, Puller>();
  readonly #served = new Map<number, ServedCall>();
  #state: 'open' | 'failed' | 'closed' = 'open';

  constructor(private readonly options: PeerStreamsOptions) {
    // Frames are external memory, and with V8's defaults garbage collection took half the time of an all-to-all.
    collectSeldom();
    options.server.addService(service, { Pull: (call: ServedCall) => this.#serve(call) });
  }

  /**
   * Opens the streams from all other nodes, with retries while their agents are not ready.
   *
   * @throws TrainerError `NODE_LOST` if one is still unreachable, or in another run or generation, after
   *   `timeoutMs`
   */
  async connect(peers: readonly PeerAddress[], timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    await Promise.all(peers.map((peer) => this.#connectTo(peer, deadline)));
  }

  async #connectTo(peer: PeerAddress, deadline: number): Promise<void> {
    const { keepaliveMs, security } = this.options;
    const { channelCredentials, clientOptions } = security;
    const client = new Client(peer.address, channelCredentials, {
      ...clientOptions,
      'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': keepaliveMs,
      'grpc.initial_reconnect_backoff_ms': FIRST_RETRY_MS,
      'grpc.max_reconnect_backoff_ms': LAST_RETRY_MS,
    });
    for (let delayMs = FIRST_RETRY_MS; ; delayMs = Math.min(2 * delayMs, LAST_RETRY_MS)) {
      const started = performance.now();
      try {
        // A wait before this may have ended after the deadline, and Node warns of negative times.
        const call = await this.#openPull(client, Math.max(0, deadline - started));
        const ended = new Promise((resolve) => call.once('status', resolve));
        this.#pullers.set(peer.node, { ...peer, client, call, ended });
        this.#listen(peer, call);
        return;
      } catch (error) {
        if (performance.now() + delayMs >= deadline || this.#state !== 'open') {
          client.close();
          throw await this.#unreachable(peer, error as ServiceError);
        }
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }

  /** Resolves once the other agent has accepted the call. */
  #openPull(client: Client, timeoutMs: number): Promise<PullCall> {
    const { requestSerialize, path } = service.Pull;
    const call = client.makeBidiStreamRequest(path, requestSerialize, decodeFrame);
    const { runId, generation, node, ringBytes } = this.options;
    call.write({ request: 'open', open: { runId, generation, node, ringBytes } });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => call.cancel(), timeoutMs);
      call.once('metadata', () => {
        clearTimeout(timer);
        call.removeListener('error', reject);
        resolve(call);
      });
      call.once('error', (error) => {
        clearTimeout(timer);
        reject(error);
      });
    });
  }

  #listen({ node, address }: PeerAddress, call: PullCall): void {
    call.on('data', (frame: Frame) => {
      try {
        this.options.onFrame(node, frame);
      } catch (error) {
        call.cancel();
        this.#fail(asTrainerError(error, { node: this.options.node }));
      }
    });
    call.on('error', (error: ServiceError) => this.#lose(node, address, error.details));
  }

  #serve(call: ServedCall): void {
    let peer: number | null = null;
    call.on('data', (request: PullRequest | TrainerError) => {
      if (call.writableEnded) return;
      try {
        if (request instanceof TrainerError) throw request;
        if (request.request === 'open') {
          if (peer !== null) throw badMessage(`node ${peer} opens the same stream twice`);
          this.#assertPeer(request.open);
          peer = request.open.node;
          this.#served.set(peer, call);
          call.sendMetadata(new Metadata());
          this.options.onPull(peer, (encoded) => call.write(encoded));
        } else {
          if (peer === null || request.request !== 'credit')
            throw badMessage('the first message must be `open`');
          this.options.onCredit(peer, request.credit.consumed);
        }
      } catch (error) {
        call.emit('error', toServiceError(error));
        // A call that never identified itself must not fail the run, but a peer's must.
        if (peer !== null) this.#fail(asTrainerError(error, { node: this.options.node }));
      }
    });
    let finished = false;
    const caller = call.getPeer();
    call.on('end', () => {
      finished = true;
      call.end();
    });
    // `cancelled` is emitted after every end of a call, a good one too.
    call.on('cancelled', () => {
      if (peer !== null && !finished)
        this.#lose(peer, this.#pullers.get(peer)?.address ?? caller, 'its agent closed the connection');
    });
    call.on('error', () => {
      // Refused and broken calls end here too; the handler of `cancelled` reports the broken ones.
    });
  }

  /**
   * @throws TrainerError `BAD_INPUT` if the call is not from a peer of this generation of this run, `BAD_MESSAGE` if no
   *   peer would send it
   */
  #assertPeer(open: Open): void {
    const { runId, generation, node, numNodes, ringBytes } = this.options;
    const refuse = (why: string) => {
      throw new TrainerError('BAD_INPUT', why);
    };
    if (this.#state !== 'open') refuse(`node ${node} is closing`);
    if (open.runId !== runId) refuse(`node ${node} takes part in run ${runId}, not in run ${open.runId}`);
    if (open.generation !== generation)
      refuse(`node ${node} is in generation ${generation}, not in generation ${open.generation}`);
    if (open.node >= numNodes || open.node === node)
      throw badMessage(`node ${open.node} is no peer of node ${node}, which has ${numNodes - 1}`);
    if (open.ringBytes !== ringBytes)
      refuse(`cluster.ringBytes is ${ringBytes} on node ${node} and ${open.ringBytes} on node ${open.node}`);
    if (this.#served.has(open.node)) refuse(`node ${open.node} receives from node ${node} already`);
  }

  /** Grants credit to `node`: triples (source rank, destination rank, stream position consumed up to). */
  credit(node: number, consumed: number[]): void {
    this.#pullers.get(node)?.call.write({ request: 'credit', credit: { consumed } });
  }

  async #unreachable({ node, address, host }: PeerAddress, error: ServiceError): Promise<TrainerError> {
    const target = parseAddress('data address', address);
    const problem =
      error.code === status.FAILED_PRECONDITION
        ? null
        : await findConnectionProblem(target, this.options.security);
    const elsewhere = host !== undefined && host !== hostname();
    return new TrainerError(
      'NODE_LOST',
      `node ${this.options.node} on ${hostname()} cannot open the data stream from node ` +
        `${node}${host === undefined ? '' : ` on ${host}`} at ${address}: ` +
        `${problem?.text ?? error.details}; ` +
        (elsewhere && isLoopback(target.host)
          ? `that address is only for node ${node} itself: start it with --listen 0.0.0.0:PORT`
          : 'check that its agent runs and that the address can be reached from here (--listen, ' +
            '--advertise)'),
      { node: this.options.node },
    );
  }

  #lose(node: number, address: string, details: string): void {
    this.#fail(
      new TrainerError(
        'NODE_LOST',
        `the data stream between node ${this.options.node} and node ${node} at ${address} broke: ${details}`,
        { node: this.options.node },
      ),
    );
  }

  #fail(error: TrainerError): void {
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    this.options.onError(error);
  }

  /** Closes all streams; frames passed to `send` before are still delivered if the remote side lives. */
  async close(): Promise<void> {
    this.#state = 'closed';
    this.options.server.removeService(service);
    for (const call of this.#served.values()) call.end();
    await Promise.all([...this.#pullers.values()].map(endPull));
  }
}

function badMessage(what: string): TrainerError {
  return new TrainerError('BAD_MESSAGE', what);
}

async function endPull({ call, client, ended }: Puller): Promise<void> {
  const timer = setTimeout(() => call.cancel(), GRACE.closeMs);
  call.end();
  await ended;
  clearTimeout(timer);
  client.close();
}
