import { hostname } from 'node:os';
import { Metadata, type Server, status } from '@grpc/grpc-js';
import { GRACE } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import { collectSeldom } from '../garbage-collection.js';
import { isLoopback, parseAddress } from '../rpc/address.js';
import { findConnectionProblem } from '../rpc/connection-problem.js';
import type { Open, Peer, PullRequest, PullRequestInput } from '../rpc/generated/messages.js';
import type { ByteReceiver } from '../rpc/http2/direct-client.js';
import { loadProto, withUndecodable } from '../rpc/load-proto.js';
import type { Security } from '../rpc/security.js';
import { toServiceError } from '../rpc/status.js';
import type {
  FrameSender,
  PeerTransport,
  PullCall,
  PullError,
  SendFrame,
  ServedCall,
} from './transport/peer-transport.js';

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 1000;
/** Codes of a call that the other agent has not answered. */
const NO_ANSWER: readonly status[] = [status.CANCELLED, status.DEADLINE_EXCEEDED, status.UNAVAILABLE];

const loaded = loadProto('collectives', 'locmoe.collectives.v1.Collectives');
const service = {
  Pull: { ...withUndecodable(loaded.Pull), responseSerialize: (encoded: Buffer) => encoded },
};

export interface PeerStreamsOptions extends Open {
  readonly numNodes: number;
  /** Server for the other nodes, which may be listening already; it serves Collectives until `close`. */
  readonly server: Server;
  /** Credentials for connecting to the other nodes. */
  readonly security: Security;
  /** A silent stream breaks after one to two times this duration; see Timeouts. */
  readonly keepaliveMs: number;
  readonly transport: PeerTransport;
  /** Called when another node has opened its stream; `send` takes frames for it. */
  readonly onPull: (node: number, send: SendFrame) => void;
  /** Creates the receiver of a stream's bytes, which throws `BAD_MESSAGE` if they violate the protocol. */
  readonly receiver: (node: number) => ByteReceiver;
  readonly onCredit: (node: number, consumed: readonly number[]) => void;
  /** Called at most once, when a stream broke (`NODE_LOST`) or violated the protocol (`BAD_MESSAGE`). */
  readonly onError: (error: TrainerError) => void;
}

/** Address of a peer; the host is only needed for error messages. */
export type PeerAddress = Omit<Peer, 'host'> & Partial<Peer>;

interface Puller extends PeerAddress {
  readonly call: PullCall;
}

export class PeerStreams {
  readonly #pullers = new Map<number, Puller>();
  readonly #served = new Map<number, FrameSender>();
  /** Credit for bytes that arrived before the answer to the call. */
  readonly #earlyCredit = new Map<number, number[]>();
  #state: 'open' | 'failed' | 'closed' = 'open';

  constructor(private readonly options: PeerStreamsOptions) {
    // Frames are external memory, and with V8's defaults garbage collection took half the time of an all-to-all.
    collectSeldom();
    options.server.addService(service, { Pull: (call: ServedCall) => this.#serve(call) });
  }

  /**
   * Opens the streams from all other nodes, with retries while their agents are not ready.
   *
   * @throws TrainerError `NODE_LOST` if one is still unreachable, or in another run or generation, after `timeoutMs`
   */
  async connect(peers: readonly PeerAddress[], timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    await Promise.all(peers.map((peer) => this.#connectTo(peer, deadline)));
  }

  async #connectTo(peer: PeerAddress, deadline: number): Promise<void> {
    let refusal: PullError | null = null;
    for (let delayMs = FIRST_RETRY_MS; ; delayMs = Math.min(2 * delayMs, LAST_RETRY_MS)) {
      try {
        const { runId, generation, node, ringBytes, security, keepaliveMs, transport } = this.options;
        const open: PullRequestInput = { request: 'open', open: { runId, generation, node, ringBytes } };
        // The previous wait may have ended after the deadline, and Node warns of negative times.
        const timeoutMs = Math.max(0, deadline - performance.now());
        const call = await transport.pull(
          { address: peer.address, security, keepaliveMs, timeoutMs, open },
          this.#guarded(peer.node, this.options.receiver(peer.node)),
        );
        if (this.#state === 'closed') {
          call.cancel('the node is closing');
          return;
        }
        this.#pullers.set(peer.node, { ...peer, call });
        void call.ended.then((why) => why !== null && this.#lose(peer.node, peer.address, why));
        const early = this.#earlyCredit.get(peer.node);
        if (early !== undefined) this.credit(peer.node, early);
        return;
      } catch (caught) {
        const error = caught as PullError;
        // The last try may be too short to be answered; the answer to an earlier one then says why the peer refuses.
        if (!NO_ANSWER.includes(error.code)) refusal = error;
        if (performance.now() + delayMs >= deadline || this.#state !== 'open')
          throw await this.#unreachable(peer, refusal ?? error);
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }

  /**
   * Reports violations of the protocol; all errors break the stream. `close` waits for open calls only, so any other
   * call gets no memory for its socket to write to, and none of its bytes are taken after the close.
   */
  #guarded(peer: number, receiver: ByteReceiver): ByteReceiver {
    const isOpen = () => this.#pullers.has(peer);
    return {
      place: (max) => (isOpen() ? receiver.place(max) : null),
      filled: (bytes) => receiver.filled(bytes),
      take: (bytes) => {
        if (this.#state === 'closed' && !isOpen()) throw new Error('the node is closing');
        try {
          receiver.take(bytes);
        } catch (error) {
          if (error instanceof TrainerError && error.code === 'BAD_MESSAGE') this.#fail(error);
          throw error;
        }
      },
    };
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
          const sender = this.options.transport.serve(call);
          this.#served.set(peer, sender);
          call.sendMetadata(new Metadata());
          this.options.onPull(peer, sender.send);
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
      // A call that is reset (RFC 9113, section 6.4) ends here too, and is cancelled in this turn of the event loop.
      setImmediate(() => {
        if (call.cancelled) return;
        finished = true;
        call.end();
      });
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

  /** True if all frames passed to `send` have left this process, or their streams broke. */
  get isDrained(): boolean {
    return [...this.#served.values()].every(({ isDrained }) => isDrained);
  }

  /** Grants credit to `node`: triples (source rank, destination rank, stream position consumed up to). */
  credit(node: number, consumed: number[]): void {
    const puller = this.#pullers.get(node);
    if (puller === undefined)
      this.#earlyCredit.set(node, [...(this.#earlyCredit.get(node) ?? []), ...consumed]);
    else puller.call.write({ request: 'credit', credit: { consumed } });
  }

  async #unreachable({ node, address, host }: PeerAddress, error: PullError): Promise<TrainerError> {
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

  /**
   * Closes all streams; frames passed to `send` before are still delivered if the remote side lives. Once it has
   * resolved, no stream touches the memory that it was given to read or write.
   */
  async close(): Promise<void> {
    this.#state = 'closed';
    this.options.server.removeService(service);
    const served = [...this.#served.values()].map((sender) => sender.close(GRACE.closeMs));
    const pulled = [...this.#pullers.values()].map(async ({ call }) => {
      const timer = setTimeout(() => call.cancel('its agent does not end it'), GRACE.closeMs);
      call.end();
      await call.ended;
      clearTimeout(timer);
    });
    await Promise.all([...served, ...pulled]);
    this.#pullers.clear();
  }
}

function badMessage(what: string): TrainerError {
  return new TrainerError('BAD_MESSAGE', what);
}
