import type { Writable } from 'node:stream';
import { FLOW_CONTROL_WINDOW_BYTES } from 'locmoe/internal/agent/transport/grpc-transport';

/** Run identity used by both ends of the measured gRPC stream. */
export const STREAM_RUN = {
  runId: 'stream',
  generation: 1,
  numNodes: 2,
  ringBytes: FLOW_CONTROL_WINDOW_BYTES,
  keepaliveMs: 5_000,
} as const;

export const CHUNK_BYTES = 1 << 20;
/** Period of the byte pattern; divides a chunk. */
const PERIOD = 256;

/** Returns a chunk of the stream: byte i is i modulo 256. */
export function streamChunk(): Buffer {
  return Buffer.alloc(CHUNK_BYTES, Buffer.from(Array.from({ length: PERIOD }, (_, i) => i)));
}

/** Writes chunks until the receiver closes. */
export function pourInto(stream: Writable): void {
  const chunk = streamChunk();
  const pour = () => {
    while (!stream.destroyed && stream.write(chunk));
  };
  stream.on('drain', pour);
  // The receiver closes once it has enough bytes.
  stream.on('error', () => undefined);
  pour();
}

/** Times each piece of a stream; warm-up pieces are also verified. */
export class PieceClock {
  readonly ms: number[] = [];
  readonly #expected = Buffer.concat([streamChunk(), streamChunk()]);
  #bytes = 0;
  #numPieces = 0;
  #since = 0;

  /** @param enough called after the last piece */
  constructor(
    private readonly pieceBytes: number,
    private readonly warmUps: number,
    private readonly pieces: number,
    private readonly enough: () => void,
  ) {}

  /** @throws Error if bytes of a warm-up piece are wrong */
  take(chunk: Uint8Array): void {
    if (this.ms.length === this.pieces) return;
    if (this.#numPieces < this.warmUps) this.#check(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < (this.#numPieces + 1) * this.pieceBytes) return;
    const now = performance.now();
    this.#numPieces++;
    if (this.#numPieces > this.warmUps) this.ms.push(now - this.#since);
    this.#since = now;
    if (this.ms.length === this.pieces) this.enough();
  }

  #check(chunk: Uint8Array): void {
    const at = this.#bytes % PERIOD;
    if (Buffer.compare(chunk, this.#expected.subarray(at, at + chunk.length)) !== 0)
      throw new Error(`the stream is wrong at byte ${this.#bytes} or in the ${chunk.length} after it`);
  }
}
