import type { ServerDuplexStream, ServiceError } from '@grpc/grpc-js';
import type { TrainerError } from '../../errors.js';
import type { PullRequest, PullRequestInput } from '../../rpc/generated/messages.js';
import type { ByteReceiver } from '../../rpc/http2/direct-client.js';
import type { Security } from '../../rpc/security.js';

/**
 * A way to send frames between nodes. The receiving node opens a call of `Collectives.Pull` and the sending node serves
 * it; `selectTransport` chooses the way.
 */
export interface PeerTransport {
  /**
   * Opens a stream from another node; resolves once its agent has accepted the call, rejects with a PullError.
   *
   * @param receiver takes the messages of the call, each with the prefix that gRPC gives it; an error that it throws breaks
   *   the stream, and `ended` quotes it
   */
  pull(options: PullOptions, receiver: ByteReceiver): Promise<PullCall>;
  /** Returns the sender of frames to the node that has opened a call, which must not be answered before. */
  serve(call: ServedCall): FrameSender;
}

export interface PullOptions {
  /** HOST:PORT of the other agent. */
  readonly address: string;
  readonly security: Security;
  /** Interval of pings in ms, and the time for the answer to each. */
  readonly keepaliveMs: number;
  /** Deadline for the answer to the call. */
  readonly timeoutMs: number;
  /** The first request. */
  readonly open: PullRequestInput;
}

/** The status of a call that ended before its stream was open. */
export type PullError = Pick<ServiceError, 'code' | 'details'>;

/** An open stream from another node. */
export interface PullCall {
  write(request: PullRequestInput): void;
  /** Asks the other side to end the stream. */
  end(): void;
  /** Breaks the stream for a reason, which `ended` quotes. */
  cancel(why: string): void;
  /** Resolves once the stream is over and no more bytes arrive: to null if it ended well, else to what broke it. */
  readonly ended: Promise<string | null>;
}

/** A call of another node, whose messages are encoded frames; a request that cannot be decoded is its error. */
export type ServedCall = ServerDuplexStream<PullRequest | TrainerError, Buffer>;

/**
 * Sends a frame in parts, the first of which is its head.
 *
 * @param parts must not change until `done` is called
 * @param done called once the parts may change; never if the stream breaks
 */
export type SendFrame = (parts: readonly Uint8Array[], done: () => void) => void;

/** The sending end of a stream to another node. */
export interface FrameSender {
  readonly send: SendFrame;
  /** True if the kernel has all that `send` was given, or the stream broke. */
  readonly isDrained: boolean;
  /** Ends the call once all frames are sent; resolves within `timeoutMs`, and no part is read after that. */
  close(timeoutMs: number): Promise<void>;
}
