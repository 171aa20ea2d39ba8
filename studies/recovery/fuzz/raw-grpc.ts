import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';

/** A call that takes longer counts as hanging. */
const CALL_MS = 5_000;

/** Status of a stream that was reset without a status. */
const RESET = -1;
/** Status of a call that did not end in time. */
export const HANGS = -2;

/** How a call ended. */
export interface CallEnd {
  /** A gRPC status, or one of the above. */
  readonly status: number;
  readonly details: string;
}

/** A gRPC message on the wire: five bytes in front of it. */
export function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** One call, which may send any bytes. */
export class RawCall {
  /** Resolves once the server has ended it. */
  readonly ended: Promise<CallEnd>;
  /** Resolves with the first response of the server, even if it is only the headers. */
  readonly answered: Promise<void>;
  readonly #stream: ClientHttp2Stream;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    let end: CallEnd = { status: RESET, details: 'reset' };
    const look = (headers: Record<string, unknown>) => {
      const status = headers['grpc-status'];
      if (status !== undefined)
        end = { status: Number(status), details: decodeURIComponent(String(headers['grpc-message'] ?? '')) };
    };
    this.answered = new Promise((resolve) => stream.once('response', () => resolve()));
    stream
      .on('response', look)
      .on('trailers', look)
      .on('error', () => undefined)
      .resume();
    this.ended = new Promise((resolve) => stream.on('close', () => resolve(end)));
  }

  write(bytes: Uint8Array): void {
    if (!this.#stream.closed) this.#stream.write(bytes);
  }

  /** Sends the last bytes; resolves once the server has ended the call, or it hangs. */
  async end(bytes: Uint8Array = new Uint8Array()): Promise<CallEnd> {
    if (!this.#stream.closed) this.#stream.end(bytes);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<CallEnd>((resolve) => {
      timer = setTimeout(() => resolve({ status: HANGS, details: `no end within ${CALL_MS} ms` }), CALL_MS);
    });
    const end = await Promise.race([this.ended, late]);
    clearTimeout(timer);
    return end;
  }

  cancel(): void {
    this.#stream.close();
  }
}

/** A gRPC client below the level of messages. */
export class RawClient {
  readonly #session: ClientHttp2Session;

  constructor(address: string) {
    this.#session = connect(`http://${address}`);
    this.#session.on('error', () => undefined);
  }

  open(path: string, metadata: Readonly<Record<string, string>> = {}): RawCall {
    const headers = { 'content-type': 'application/grpc', te: 'trailers' };
    const stream = this.#session.request({ ':method': 'POST', ':path': path, ...headers, ...metadata });
    return new RawCall(stream);
  }

  close(): void {
    this.#session.destroy();
  }
}
